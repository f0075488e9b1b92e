"""Holds the words that ask for a story, around what it is to be about."""

import re

# Name a topic: as adults do, as children do, and what happens in it.
ASKS = ("Tell me a story about {}.",) * 12 + (
    "Tell me a story about {}", "Tell me a story about {}!", "Please tell me a story about {}.", "A story about {}.",
    "A story about {}", "Tell me about {}.", "I want a story about {}.", "Can you tell me a story about {}?",
    "Could you tell a story about {}, please?", "Tell us a story about {}.", "Story about {}", "I would like a story about {}.",
    "Write a story about {}.", "Make up a story about {}.", "Once more, a story about {}.", "A bedtime story about {}, please.",
    "Tell me a funny story about {}.", "Tell me a short story about {}.", "Do you know a story about {}?")
ASKS_AS_A_CHILD = ("tell me a story about {}", "tell me a story about {} please", "please tell me a story about {}",
                   "i want a story about {}", "i want a story about {} please", "a story about {}", "{} please", "{}",
                   "story about {}", "can you tell me about {}", "can i have a story about {}", "tell us about {}",
                   "one with {}", "i want {}", "i want one about {}", "a funny story about {}", "please a story with {}",
                   "make a story about {}", "do one about {}", "now a story about {}", "tell me one about {} please please")
ASKS_WHERE = ("i want a story where {}", "tell me a story where {}", "a story where {} please", "can you tell one where {}",
              "please tell me a story where {}", "a story in which {}", "tell me how {}")
WHO = ("who", "who", "that")
# Finds, in a regular expression, what "an" stands before.
VOWEL = "(?:[aeio]|u(?!ni|se|ku)|hour|honest)"


def article(text: str) -> str:
    """Puts "a" or "an" before a phrase."""
    return ("an " if re.match(VOWEL, text) else "a ") + text
