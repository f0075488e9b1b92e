"""What the storyteller can hear: a grammar of wishes, made from the topics that the model knows.

A topics file has one topic a line ("a dragon", "the sea", "sharing"): English words in small letters, which is what a
recogniser's dictionary has. It lies beside the model as `<stem>.topics.txt`. A model without one is taken to go on from
the beginning of a story instead of knowing requests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from codegen.emit import environment, write_if_changed
from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.tokenizer import stems

TEMPLATE = "wishes.cpp.jinja"
DEFAULT_TOPICS = Path(__file__).resolve().parent.parent / "models" / "tinytales.topics.txt"
MAX_TOPICS = 5000
TOPIC = re.compile(r"[a-z]+(?:'[a-z]+)?(?: [a-z]+(?:'[a-z]+)?)*")

# How a wish may begin; the longest first, since one may be the end of another.
REQUESTS = (
    "please tell me a story about",
    "can you tell me a story about",
    "could you tell me a story about",
    "i want to hear a story about",
    "i would like a story about",
    "tell us a story about",
    "tell me a story about",
    "tell a story about",
    "i want a story about",
    "a story about",
)

# What else can be said: the words, and the name of runtime/speech/wishes.hpp's Command.
COMMANDS = (
    ("again", "kAgain"),
    ("tell it again", "kAgain"),
    ("next", "kNext"),
    ("another story", "kNext"),
    ("louder", "kLouder"),
    ("softer", "kSofter"),
    ("stop", "kStop"),
)

@dataclass(frozen=True)
class Wishes:
    """The topics, and the prompt that asks the model for one: before, after, and whether it is part of the story."""

    topics: tuple[str, ...]
    before: str
    after: str
    told: bool

    @property
    def grammar(self) -> list[str]:
        """The lines of the grammar, in JSGF."""
        return [
            "#JSGF V1.0;",
            "grammar wishes;",
            "public <said> = <wish> | <command>;",
            "<wish> = [<request>] <topic> [please];",
            f"<request> = {' | '.join(REQUESTS)};",
            f"<topic> = {' | '.join(self.topics)};",
            f"<command> = {' | '.join(words for words, _ in COMMANDS)};",
        ]


def read_topics(path: Path) -> tuple[str, ...]:
    """The topics of a file, each once. Raises BakeError with the line's number when one can't be said."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BakeError(f"{path}: topics can't be read: {error.strerror}; name a file with -Dtopics=PATH", MISSING_FILE) from error
    except UnicodeDecodeError as error:
        raise BakeError(f"{path}: topics: not UTF-8 at byte {error.start}") from error
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


def find_topics(model: Path, named: str) -> tuple[Path, bool]:
    """The topics file that was named or lies beside the model, and whether the model was trained on requests for them."""
    if named:
        return Path(named), True
    for stem in stems(model):
        path = model.parent / f"{stem}.topics.txt"
        if path.is_file():
            return path, True
    return DEFAULT_TOPICS, False


def wishes_for(model: Path, named: str) -> Wishes:
    """The wishes that a model can be asked for."""
    path, trained = find_topics(model, named)
    topics = read_topics(path)
    if trained:
        return Wishes(topics, "Tell me a story about ", ".", told=False)
    creatures = tuple(topic for topic in topics if topic.startswith(("a ", "an ")))
    return Wishes(creatures, "Once upon a time, there was ", "", told=True)


def write_wishes(wishes: Wishes, folder: Path) -> None:
    """Writes wishes.cpp."""
    text = environment().get_template(TEMPLATE).render(wishes=wishes, requests=REQUESTS, commands=COMMANDS)
    write_if_changed(folder / "wishes.cpp", text.encode())
