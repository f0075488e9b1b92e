"""Reads the words that a model was trained on: in a rehearsal any other is one that the model has garbled.

The list lies beside the model as `<stem>.words.txt`, a word a line in small letters; `tools/train` writes it. Of a model without
one nothing is known, and no word is looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

from codegen.errors import BakeError, shown
from codegen.tokenizer import stems
from storyteller.forbidden import list_text

MAX_WORDS = 50_000
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")


def read_words(path: Path) -> tuple[str, ...]:
    """Reads a list, in the order of the bytes of its words. Raises BakeError with the line's number when it is none, and 66 when it
    can't be read."""
    found = set()
    for number, line in enumerate(list_text(path, "list of words").splitlines(), 1):
        word = line.strip()
        if word and not word.startswith("#"):
            if not WORD.fullmatch(word) or word != word.lower() or len(word) > 40:
                raise BakeError(f"{path.name}: line {number}: found {shown(word)}, expected a word of at most 40 small letters")
            found.add(word)
    if len(found) > MAX_WORDS:
        raise BakeError(f"{path.name}: {len(found)} words, expected at most {MAX_WORDS}")
    return tuple(sorted(found, key=str.encode))


def words_beside(model: Path) -> list[Path]:
    """Lists the names that a list beside a model may have."""
    return [model.parent / f"{stem}.words.txt" for stem in stems(model)]


def words_of(model: Path) -> tuple[str, ...]:
    """Reads the list beside a model; empty where there is none. Raises BakeError as read_words()."""
    path = next((path for path in words_beside(model) if path.is_file()), None)
    return () if path is None else read_words(path)
