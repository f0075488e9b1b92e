"""Reads the small language in which clause forms are written, and expands it into literals and slots.

`[a|b|c]` chooses one branch (they nest; a branch may be empty), `[what=a|b|c]` remembers it as `{what}`, `~[a|b]` often says
nothing at all, `{A.his}` is a slot that the realiser fills from the world, `{@name}` a shared passage.  A form is parsed once
and expanded often.
"""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Union

from .lexicon import FOLDER

_TOKEN = re.compile(r"~?\[(?:\w+=)?|[|\]]|\{[^{}]*\}|[^~\[|\]{}]+|[~{}]")
_LEFT_OUT = 0.6  # says how often a "~[...]" says nothing


@dataclass(frozen=True)
class Slot:
    """Holds one `{key.case}` of a form; a passage has the key `@name`."""

    key: str
    case: str


@dataclass(frozen=True)
class _Choice:
    """Holds a bracket: its branches, whether it was marked with ~, and what the one that is chosen is remembered as."""

    often_left_out: bool
    branches: "tuple[tuple[Part, ...], ...]"
    name: str = ""


Part = Union[str, Slot, _Choice]


@lru_cache(maxsize=None)
def _synonyms() -> "tuple[re.Pattern[str], dict[str, tuple[str, ...]]]":
    """Reads what may be said in another way: a pattern that finds it, and the ways."""
    found: dict[str, tuple[str, ...]] = {}
    for line in (FOLDER / "synonyms.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("//"):
            key, *ways = line.split("|")
            found[key.removesuffix("{")] = tuple(way.removesuffix("{") for way in ways)
    keys = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
    return re.compile(rf"(?<![\w'-])(?:{keys})(?![\w'-])|(?<=\w), too\."), found


def _varied(text: str) -> "Iterator[Part]":
    """Puts a choice for each piece of a literal that has synonyms."""
    pattern, ways = _synonyms()
    at = 0
    for match in pattern.finditer(text):
        yield from [text[at:match.start()]] if match.start() > at else []
        yield _Choice(False, tuple((way,) for way in ways[match.group()]))
        at = match.end()
    yield from [text[at:]] if at < len(text) else []


@lru_cache(maxsize=None)
def parse(form: str) -> tuple[Part, ...]:
    """Parses a form into literals, slots and choices.  Raises ValueError when brackets or braces do not match."""
    stack: list[list[list[Part]]] = [[[]]]
    marks: list[str] = []
    for piece in _TOKEN.findall(form):
        if piece.startswith(("[", "~[")):
            stack.append([[]])
            marks.append(piece)
        elif piece == "|" and marks:
            stack[-1].append([])
        elif piece == "]" and marks:
            branches = tuple(tuple(branch) for branch in stack.pop())
            mark, _, name = marks.pop().rstrip("=").partition("[")
            stack[-1][-1].append(_Choice(mark == "~", branches, name))
        elif piece in ("]", "|", "{", "}", "~"):
            raise ValueError(f"form {form!r}: {piece} stands alone; close every bracket and brace")
        elif piece.startswith("{"):
            key, _, case = piece[1:-1].partition(".")
            stack[-1][-1].append(Slot(key, case))
        else:
            stack[-1][-1] += _varied(piece)
    if marks:
        raise ValueError(f"form {form!r}: a bracket is not closed")
    return tuple(stack[0][0])


def expand(form: str, passages: Mapping[str, tuple[str, ...]], rng: random.Random,
           chosen: "dict[str, str] | None" = None) -> "Iterator[str | Slot]":
    """Yields the literals and slots of one reading of a form, passages included; keeps what has a name in `chosen`.

    Raises ValueError for a passage that nobody wrote.
    """
    yield from _expand(parse(form), passages, rng, {} if chosen is None else chosen)


def _expand(parts: tuple[Part, ...], passages: Mapping[str, tuple[str, ...]],
            rng: random.Random, chosen: dict[str, str]) -> "Iterator[str | Slot]":
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, _Choice):
            if not (part.often_left_out and rng.random() < _LEFT_OUT):
                said = list(_expand(part.branches[int(rng.random() * len(part.branches))], passages, rng, chosen))
                if part.name:
                    chosen[part.name] = "".join(one if isinstance(one, str) else f"{{{one.key}.{one.case}}}" for one in said)
                yield from said
        elif part.key.startswith("@"):
            options = passages.get(part.key[1:])
            if not options:
                raise ValueError(f"passage {part.key} is not written; add it to a file of passages")
            yield from _expand(parse(options[int(rng.random() * len(options))]), passages, rng, chosen)
        else:
            yield part


@lru_cache(maxsize=None)
def own_words(form: str) -> frozenset[str]:
    """Lists the words that a form may say by itself, outside its slots."""
    return frozenset(re.findall(r"[^\W\d_]+", re.sub(r"\{[^{}]*\}", " ", form).lower()))


@lru_cache(maxsize=None)
def remembered(form: str) -> frozenset[str]:
    """Lists the names under which a form remembers what it says."""
    return frozenset(re.findall(r"\[(\w+)=", form))


@lru_cache(maxsize=None)
def slots(form: str) -> frozenset[str]:
    """Lists the keys of every slot that a form may use, its passages not included."""
    def walk(parts: tuple[Part, ...]) -> Iterator[str]:
        for part in parts:
            if isinstance(part, Slot):
                yield part.key
            elif isinstance(part, _Choice):
                for branch in part.branches:
                    yield from walk(branch)
    return frozenset(walk(parse(form)))
