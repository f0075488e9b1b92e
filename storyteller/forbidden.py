"""Reads a list of what must not be told: what the storyteller's guard is baked with, and what tools/judge-stories looks for.

A line has a category and its words: `weapons | gun guns pistol* machine-gun`. A star stands for any ending, a hyphen for a
space, a hyphen or nothing. The list lies beside the model as `<stem>.forbidden.txt`; a model without one has the default's.
"""

from __future__ import annotations

import re
from pathlib import Path

from codegen.errors import BakeError, shown
from codegen.input import read_small
from codegen.tokenizer import stems

DEFAULT_FORBIDDEN = Path(__file__).resolve().parent.parent / "models" / "tinytales.forbidden.txt"
MAX_WORDS = 5000
MAX_BYTES = 1 << 20
MAX_WORD = 40  # letters
LEAST_BEFORE_STAR = 3  # letters: a* would be half of all words
WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*\*?")

Forbidden = dict[str, tuple[str, ...]]  # has the words of each category


def list_text(path: Path, what: str) -> str:
    """Reads the text of a list beside a model. Raises BakeError when it can't be read, is too large or no UTF-8."""
    try:
        return read_small(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BakeError(f"{path}: {what}: not UTF-8 at byte {error.start}") from error


def read_forbidden(path: Path) -> Forbidden:
    """Reads a list, each word in small letters. Raises BakeError with the line's number when it is none, and 66 when it can't be
    read: an empty one would leave a robot without a guard that seems to have one."""
    text = list_text(path, "list of what must not be told")
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        category, bar, words = (part.strip() for part in line.partition("|"))
        if not bar or not category or not words:
            raise BakeError(f"{path.name}: line {number}: found {shown(line)}, expected a category and its words: weapons | gun pistol*")
        for word in words.lower().split():
            if not WORD.fullmatch(word) or len(word) > MAX_WORD or word.endswith("*") and len(word) <= LEAST_BEFORE_STAR:
                raise BakeError(
                    f"{path.name}: line {number}: found {shown(word)}, expected at most {MAX_WORD} letters and hyphens, and a star "
                    f"only behind {LEAST_BEFORE_STAR} of them"
                )
            found.setdefault(category, []).append(word)
    count = sum(map(len, found.values()))
    if not 1 <= count <= MAX_WORDS:
        raise BakeError(f"{path.name}: {count} words that must not be told, expected 1 to {MAX_WORDS}")
    return {category: tuple(dict.fromkeys(words)) for category, words in found.items()}


def forbidden_beside(model: Path) -> list[Path]:
    """Lists the names that a list beside a model may have."""
    return [model.parent / f"{stem}.forbidden.txt" for stem in stems(model)]


def find_forbidden(model: Path) -> Path:
    """Finds the list beside the model, or else the default's."""
    return next((path for path in forbidden_beside(model) if path.is_file()), DEFAULT_FORBIDDEN)


def pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Makes the pattern that finds any of some words of a list in a text."""
    any_of = "|".join(re.escape(word).replace(r"\*", r"\w*").replace(r"\-", r"[\s-]?") for word in words)
    return re.compile(rf"(?<!\w)(?:{any_of})(?!\w)", re.IGNORECASE)
