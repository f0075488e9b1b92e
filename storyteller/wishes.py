"""Bakes what the storyteller can hear: a grammar of wishes, made from the topics that the model knows.

A topics file has one topic a line ("a dragon", "the sea", "sharing"): English words in small letters, which is what a
recogniser's dictionary has. It lies beside the model as `<stem>.topics.txt`. A model without one is taken to go on from
the beginning of a story instead of knowing requests.

Of the dictionary, the CMU's of 135,000 lines ("dragon D R AE G AH N"), those of the grammar's words are baked: a board
needs neither the file nor the memory.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codegen.errors import BakeError, shown
from codegen.input import read_small
from codegen.memory import PROGRAM_BYTES
from codegen.output import write_if_changed
from codegen.templating import environment
from codegen.tokenizer import stems
from storyteller import phrases
from storyteller.forbidden import Forbidden
from storyteller.memory import VOICE_BYTES, decoder_bytes
from storyteller.phrases import own_words

TEMPLATE = Path(__file__).resolve().parent / "wishes.cpp.jinja"
DEFAULT_TOPICS = Path(__file__).resolve().parent.parent / "models" / "tinytales.topics.txt"
MAX_TOPICS = 5000
MAX_TOPICS_BYTES = 1 << 20
MAX_DICTIONARY_BYTES = 64 << 20
TOPIC = re.compile(r"[a-z]+(?:'[a-z]+)?(?: [a-z]+(?:'[a-z]+)?)*")

# Matches an entry: a word that has several pronunciations is listed again as read(2), read(3).
ENTRY = re.compile(r"([^\s()]+)(?:\((\d+)\))?\s+([A-Z]+(?: [A-Z]+)*)\s*")
SHORTEST_HALF = 3  # letters
OWN_WORDS = own_words()  # are there whatever the topics

Dictionary = dict[str, tuple[str, ...]]  # has the phones of a word's pronunciations, the commonest first


@dataclass(frozen=True)
class Wishes:
    """Holds the topics, and the prompt that asks the model for one: before, after, whether it is part of the story, and what asks
    for any story, where a prompt does; `chat`: it is what a user says in a chat."""

    topics: tuple[str, ...]
    before: str
    after: str
    told: bool
    any: str = ""
    chat: bool = False

    @property
    def words(self) -> list[str]:
        """Returns the words of the grammar."""
        return sorted(OWN_WORDS.union(phrases.NAMES, *(topic.split() for topic in self.topics)))

    @property
    def grammar(self) -> list[str]:
        """Returns the lines of the grammar, in JSGF, but for the names."""
        return phrases.grammar(self.topics)


def _text(path: Path, what: str, largest: int, remedy: str) -> str:
    """Reads the text of a file. Raises BakeError, with the remedy, when it can't be read or is too large."""
    try:
        return read_small(path, largest).decode("utf-8")
    except BakeError as error:
        raise BakeError(f"{what}: {error}; {remedy}", error.exit_code) from error
    except UnicodeDecodeError as error:
        raise BakeError(f"{path}: {what}: not UTF-8 at byte {error.start}") from error


def read_topics(path: Path) -> tuple[str, ...]:
    """Reads the topics of a file, each once. Raises BakeError with the line's number when one can't be said."""
    lines = _text(path, "topics", MAX_TOPICS_BYTES, "name a file with -Dtopics=PATH").splitlines()
    topics = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not TOPIC.fullmatch(line) or len(line) > 80:
            raise BakeError(
                f"{path.name}: line {number}: found {shown(line)}, expected at most 80 small English letters, apostrophes "
                "and single spaces, such as: a dragon"
            )
        topics.append(line)
    if not 1 <= len(topics) <= MAX_TOPICS:
        raise BakeError(f"{path.name}: {len(topics)} topics, expected 1 to {MAX_TOPICS}, one a line")
    return tuple(dict.fromkeys(topics))


def read_dictionary(path: Path, words: list[str]) -> Dictionary:
    """Reads what a dictionary has of `words`, or of the two words that make one ("seahorse"). Raises BakeError when it can't be
    read or lacks the words of every wish."""
    text = _text(path, "dictionary", MAX_DICTIONARY_BYTES, "install pocketsphinx-en-us, or name one with -Ddictionary=PATH")
    halves = {word: [(word[:at], word[at:]) for at in range(SHORTEST_HALF, len(word) - SHORTEST_HALF + 1)] for word in words}
    wanted = set(words).union(*(pair for pairs in halves.values() for pair in pairs))
    found: dict[str, dict[int, str]] = {}
    for line in text.splitlines():
        if (entry := ENTRY.fullmatch(line)) and entry[1] in wanted:
            found.setdefault(entry[1], {})[int(entry[2] or 1)] = entry[3]
    for word in set(words) - found.keys():
        if pair := next((pair for pair in halves[word] if found.keys() >= set(pair)), None):
            found[word] = {1: " ".join(found[half][min(found[half])] for half in pair)}
    if lacking := sorted(OWN_WORDS - found.keys()):
        raise BakeError(
            f"{path}: dictionary: lacks {', '.join(lacking[:5])}, expected the CMU dictionary's lines, such as: story S T AO R IY; "
            "name another with -Ddictionary=PATH"
        )
    return {word: tuple(phones for _, phones in sorted(found[word].items())) for word in words if word in found}


def lacking_words(wishes: Wishes, dictionary: Dictionary) -> str:
    """Writes a line about the words that the dictionary lacks, each with a topic that has it; empty when it has them all."""
    of = {word: topic for topic in reversed(wishes.topics) for word in topic.split()}
    lacking = [word for word in sorted(of) if word not in dictionary]
    named = (f'{word} ("{of[word]}")' for word in lacking)
    return f"topics with words that the dictionary lacks, heard as Flite would say them: {', '.join(named)}" if lacking else ""


def find_topics(model: Path, named: str) -> tuple[Path, bool]:
    """Finds the topics file that was named or lies beside the model, and whether the model was trained on requests for them."""
    if named:
        return Path(named), True
    path = next((path for path in topics_beside(model) if path.is_file()), None)
    return (DEFAULT_TOPICS, False) if path is None else (path, True)


def topics_beside(model: Path) -> list[Path]:
    """Lists the names that a topics file beside a model may have."""
    return [model.parent / f"{stem}.topics.txt" for stem in stems(model)]


def wishes_for(path: Path, trained: bool, chat: bool) -> Wishes:
    """Makes the wishes for the topics of a file, as find_topics() has found it; of a model that chats, in its own words."""
    topics = read_topics(path)
    if chat:
        return Wishes(topics, "Tell me a short story about ", ".", told=False, any="Tell me a short story.", chat=True)
    if trained:
        return Wishes(topics, "Tell me a story about ", ".", told=False)
    creatures = tuple(topic for topic in topics if topic.startswith(("a ", "an ")))
    return Wishes(creatures, "Once upon a time, there was ", "", told=True)


def write_wishes(wishes: Wishes, dictionary: Dictionary | None, forbidden: Forbidden, words: Sequence[str],
                 folder: Path) -> None:  # fmt: skip
    """Writes wishes.cpp; without a dictionary for a storyteller without ears."""
    pronunciations = []
    for word in wishes.words if dictionary is not None else ():
        for number, phones in enumerate((dictionary or {}).get(word, ("",)), 1):
            pronunciations.append((word if number == 1 else f"{word}({number})", phones))
    text = environment(TEMPLATE.parent).get_template(TEMPLATE.name).render(
        wishes=wishes,
        phrases=phrases,
        forbidden=tuple(dict.fromkeys(word for words in forbidden.values() for word in words)),
        words=words,
        pronunciations=pronunciations,
        program_bytes=PROGRAM_BYTES,
        decoder_bytes=decoder_bytes(wishes.topics),
        voice_bytes=VOICE_BYTES,
    )
    write_if_changed(folder / "wishes.cpp", text.encode())
