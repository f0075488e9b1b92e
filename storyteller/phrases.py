"""Lists what can be said to the storyteller: the phrases of its grammar, which its parser (wishes.cpp) knows too.

All are small English letters and apostrophes, as a recogniser's dictionary has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Say how somebody asks, before "a story" or "about".
ASKS = (
    "tell me", "tell us", "tell", "can you tell me", "can you tell us", "could you tell me", "will you tell me", "i want to hear",
    "i want", "we want", "i would like", "can i have", "can we have", "may i have", "give me", "read me",
)  # fmt: skip

# Name what is asked for, and how long it shall be: -1 shorter than usual, 1 longer. What is "another" is only such where no
# topic follows.
STORIES = ("a story", "story", "a bedtime story", "one")
OTHERS = ("another story", "another one", "another", "one more", "one more story", "a new story", "a different story", "something else")
LENGTHS = (
    ("a short story", -1), ("a shorter story", -1), ("a short one", -1), ("a shorter one", -1),
    ("a long story", 1), ("a longer story", 1), ("a long one", 1), ("a longer one", 1),
)  # fmt: skip

# Stand between the story and its topic.
LINKS = ("about", "of", "with")

# Are understood when typed, not listened for: too near to others, and a board pays for each phrase.
UNHEARD = frozenset({
    "of", "tell", "we want", "read me", "a new story", "a different story", "something else", "story", "one", "too quiet", "too long",
    "too short", "more", "more of it", "no stop", "stop stop",
})  # fmt: skip

# Say how somebody is called: "a boy named tom".
NAMED = ("named", "called")
NAMES = (
    "adam", "alex", "alice", "amy", "anna", "ben", "bella", "charlie", "chloe", "clara", "daisy", "daniel", "david", "ella", "emily",
    "emma", "eva", "felix", "finn", "george", "grace", "hannah", "harry", "henry", "hugo", "isabella", "jack", "jacob", "james", "julia",
    "kate", "laura", "leo", "lily", "lisa", "lucas", "lucy", "luna", "maria", "mary", "max", "maya", "mia", "molly", "nick", "nina",
    "noah", "nora", "oliver", "olivia", "oscar", "paul", "peter", "rosie", "ruby", "sam", "sara", "simon", "sophie", "sue", "theo", "tim",
    "toby", "tom", "william", "zoe",
)  # fmt: skip

# Limits the topics that may be heard behind "and".
MAX_FRIENDS = 100

# Stand at either end of what somebody says, and mean nothing.
POLITE = ("please", "now", "then", "okay", "yes", "hey", "hello", "hi", "robot", "well", "thanks", "so", "and", "um", "uh")

# Are whole utterances, also after an ask ("can you tell me that one again"): the words, and the name of wishes.hpp's Command.
COMMANDS = (
    ("again", "kAgain"), ("it again", "kAgain"), ("that again", "kAgain"), ("that one again", "kAgain"), ("the same again", "kAgain"),
    ("the same story", "kAgain"), ("the same story again", "kAgain"), ("the story again", "kAgain"), ("once more", "kAgain"),
    ("one more time", "kAgain"),
    ("next", "kNext"), ("next one", "kNext"), ("the next one", "kNext"), ("next story", "kNext"), ("the next story", "kNext"),
    ("what happens next", "kContinue"), ("what happened next", "kContinue"), ("what happens then", "kContinue"), ("go on", "kContinue"),
    ("continue", "kContinue"), ("continue the story", "kContinue"), ("more", "kContinue"), ("more of it", "kContinue"),
    ("longer", "kLonger"), ("longer stories", "kLonger"), ("make it longer", "kLonger"), ("too short", "kLonger"),
    ("shorter", "kShorter"), ("shorter stories", "kShorter"), ("make it shorter", "kShorter"), ("too long", "kShorter"),
    ("louder", "kLouder"), ("too quiet", "kLouder"), ("softer", "kSofter"), ("quieter", "kSofter"), ("too loud", "kSofter"),
    ("stop", "kStop"), ("stop it", "kStop"), ("stop now", "kStop"), ("stop it now", "kStop"), ("stop the story", "kStop"),
    ("no stop", "kStop"), ("stop stop", "kStop"), ("can you stop", "kStop"), ("be quiet", "kStop"),
    ("good night", "kGoodNight"), ("goodnight", "kGoodNight"), ("night night", "kGoodNight"), ("good night robot", "kGoodNight"),
    ("sleep well", "kGoodNight"), ("bye bye", "kGoodNight"), ("goodbye", "kGoodNight"),
    ("what can you tell", "kTopics"), ("what can you tell me", "kTopics"), ("what do you know", "kTopics"),
    ("what stories do you know", "kTopics"), ("what stories can you tell", "kTopics"), ("which stories do you know", "kTopics"),
    ("help", "kHelp"), ("help me", "kHelp"), ("what can i say", "kHelp"), ("what can you do", "kHelp"),
)  # fmt: skip


def friends(topics: Sequence[str]) -> list[str]:
    """Returns the topics that may come with somebody: "a dog and a cat"."""
    return [topic for topic in topics if topic.startswith(("a ", "an ")) and topic.count(" ") == 1][:MAX_FRIENDS]


def grammar(topics: tuple[str, ...]) -> list[str]:
    """Writes the lines of the grammar, in JSGF, but for the names, which the program adds: <name> = tom | lily;

    What a board pays for is each word that may come at a point, and each that may follow it: topics stand in it once, and
    who comes with somebody is one of friends().
    """
    stories = (*STORIES, *OTHERS, *(words for words, _ in LENGTHS))

    def any_of(phrases: Iterable[str]) -> str:
        return " | ".join(phrase for phrase in phrases if phrase not in UNHEARD)

    some = friends(topics)
    return [
        "#JSGF V1.0;",
        "grammar wishes;",
        "public <said> = [please] (<wish> | <story> | <command>) [please] | please;",
        f"<ask> = {any_of(ASKS)};",
        f"<what> = {any_of(stories)};",
        "<story> = [<ask>] <what>;",
        "<wish> = [<start>] <topic> [<more>] | <start> (<name> | me);",
        f"<start> = [<ask>] <what> ({any_of(LINKS)}) | <ask> about;",
        f"<more> = ({any_of(NAMED)}) <name>{' | and <friend>' if some else ''};",
        *([f"<friend> = {' | '.join(some)};"] if some else []),
        f"<topic> = {' | '.join(topics)};",
        f"<command> = [<told>] ({any_of(words for words, _ in COMMANDS)});",
        "<told> = tell me | can you tell me;",
    ]


def own_words() -> frozenset[str]:
    """Returns the words of the grammar that are there whatever the topics; names are apart."""
    tables = (ASKS, STORIES, OTHERS, LINKS, NAMED, [words for words, _ in (*LENGTHS, *COMMANDS)], ["please me and about can you tell"])
    return frozenset(" ".join(phrase for table in tables for phrase in table).split())
