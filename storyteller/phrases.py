"""Lists what can be said to the storyteller: the phrases of its grammar, which its parser (wishes.cpp) knows too.

All are small English letters and apostrophes, as a recogniser's dictionary has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

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
    "too short", "more", "more of it", "no stop", "stop stop", "first", "the first", "number one", "second", "the second", "number two",
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
MAX_FRIENDS = 240

ARTICLES = ("a ", "an ", "the ")

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
    ("first", "kFirst"), ("the first", "kFirst"), ("the first one", "kFirst"), ("number one", "kFirst"),
    ("second", "kSecond"), ("the second", "kSecond"), ("the second one", "kSecond"), ("number two", "kSecond"),
    ("help", "kHelp"), ("help me", "kHelp"), ("what can i say", "kHelp"), ("what can you do", "kHelp"),
)  # fmt: skip

# Are asked for more often than other topics: animals that every child knows, and who lives in fairy tales.
LIKED = (
    "a bear", "a cat", "a dinosaur", "a dog", "a dragon", "an elephant", "a fairy", "a fox", "a horse", "a king", "a knight", "a lion",
    "a monkey", "a monster", "a mouse", "a pirate", "a prince", "a princess", "a queen", "a rabbit", "a robot", "a tiger", "a unicorn",
    "a witch", "a wolf", "a girl", "a boy",
)  # fmt: skip

# What is said more often than the others of its kind, and how many times as often: of what sounds alike, it is heard.
OFTEN = {
    "tell me": 10, "can you tell me": 4, "tell us": 3, "i want": 3,
    "a story": 20, "another story": 3, "another one": 3, "a short story": 2, "a longer story": 2,
    "about": 8, **dict.fromkeys(LIKED, 6),
    "stop": 40, "stop it": 20, "stop now": 10, "help": 20, "good night": 8, "again": 4, "that again": 8, "it again": 4,
    "that one again": 4, "what happens next": 4, "what can you tell": 4, "longer": 4, "shorter": 4, "louder": 4, "softer": 4, "quieter": 4,
}  # fmt: skip

# How much the probabilities of the grammar count against those of sounds, which are given for each hundredth of a second as if
# it were the only one: all are raised to this power. PocketSphinx's own -lw reaches no grammar in JSGF.
LANGUAGE = 8
BARE = 200  # times as often as a topic alone, which sounds like anything that is short, is one asked for


def friends(topics: Sequence[str]) -> list[str]:
    """Returns the topics that may come with somebody: "a dog and a cat"."""
    return [topic for topic in topics if topic.startswith(("a ", "an ")) and topic.count(" ") == 1][:MAX_FRIENDS]


def choice(shares: Mapping[str, float]) -> str:
    """Writes alternatives in brackets with their probabilities, of shares: JSGF's weights, which PocketSphinx takes as they are, 1
    where there is none, and only of words: <NULL>, in brackets, is one. Each is what LANGUAGE makes of it."""
    alternatives = []
    for phrase, share in shares.items():
        weighed = weight(share / sum(shares.values()))
        is_rule = phrase[0] in "(<" and phrase != "<NULL>"
        alternatives.append(f"(/{weighed}/ <NULL>) {phrase}" if is_rule else f"/{weighed}/ {phrase}")
    return f"({' | '.join(alternatives)})"


def weight(probability: float) -> str:
    """Writes a probability in the grammar, with three digits that count."""
    weighed = probability**LANGUAGE
    return f"{weighed:.{2 - math.floor(math.log10(weighed))}f}"


def any_of(phrases: Iterable[str]) -> str:
    """Writes one of some phrases, if it is listened for at all."""
    return choice({phrase: OFTEN.get(phrase, 1) for phrase in phrases if phrase not in UNHEARD})


def any_topic(topics: Sequence[str]) -> str:
    """Writes one of some topics, as any_of() does, but those with an article share it: a board pays for each word that may come."""
    shares = {topic: OFTEN.get(topic, 1) for topic in topics}
    groups = []
    for article in (*ARTICLES, ""):
        found = {topic: share for topic, share in shares.items() if topic.startswith(article or ARTICLES) == bool(article)}
        if not found:
            continue
        # Weigh at the article as much as can be: a search that learns it late follows too many.
        most = max(found.values()) if article else sum(shares.values())
        words = " | ".join(f"/{weight(share / most)}/ {topic.removeprefix(article)}" for topic, share in found.items())
        groups.append(f"/{weight(most / sum(shares.values()))}/ {article}({words})" if article else words)
    return f"({' | '.join(groups)})"


def grammar(topics: tuple[str, ...]) -> list[str]:
    """Returns the lines of the grammar, in JSGF, but for the names, which the program adds: <name> = tom | lily;

    What a board pays for is each word that may come at a point, and each that may follow it: topics stand in it once, and
    who comes with somebody is one of friends(). A topic alone is seldom said, but sounds like anything that is short.
    """
    stories = (*STORIES, *OTHERS, *(words for words, _ in LENGTHS))
    some = friends(topics)
    more = {f"{any_of(NAMED)} <called>": 1.0} | ({"and <friend>": 2.0} if some else {})
    please = choice({"<NULL>": 4, "please": 1})
    return [
        "#JSGF V1.0;",
        "grammar wishes;",
        f"public <said> = {choice({f'{please} <heard> {please}': 30, 'please': 1})};",
        f"<heard> = {choice({'<wish>': 10, '<story>': 3, '<command>': 10})};",
        f"<ask> = {any_of(ASKS)};",
        f"<what> = {any_of(stories)};",
        f"<story> = {choice({'<ask>': 2, '<NULL>': 1})} <what>;",
        f"<wish> = {choice({'<of>': 20, '<start> <called>': 1, '<start> me': 1})};",
        f"<of> = {choice({'<start>': BARE, '<NULL>': 1})} <topic> {choice({'<NULL>': 4, '<more>': 1})};",
        f"<start> = {choice({f'<asked> {any_of(LINKS)}': 4, '<ask> about': 1})};",
        f"<asked> = {choice({'<ask>': 3, '<NULL>': 1})} <what>;",
        f"<called> = (/{weight(1 / len(NAMES))}/ <NULL>) <name>;",
        f"<more> = {choice(more)};",
        *([f"<friend> = {any_topic(some)};"] if some else []),
        f"<topic> = {any_topic(topics)};",
        f"<command> = {choice({'<told>': 1, '<NULL>': 3})} {any_of(words for words, _ in COMMANDS)};",
        f"<told> = {choice({'tell me': 3, 'can you tell me': 1})};",
    ]


def own_words() -> frozenset[str]:
    """Returns the words of the grammar that are there whatever the topics; names are apart."""
    tables = (ASKS, STORIES, OTHERS, LINKS, NAMED, [words for words, _ in (*LENGTHS, *COMMANDS)], ["please me and about can you tell"])
    return frozenset(" ".join(phrase for table in tables for phrase in table).split())
