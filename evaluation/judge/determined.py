"""Finds places of held-out stories where a thing is named that the prompt, or the story so far, has determined."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.judge.asks import Program
from models import engine
from models.engine import lexicon

# Seeds stories that no training and no other measure sees.
SEED = 9_000_000


@dataclass(frozen=True)
class Place:
    """Holds a story up to just before a thing is named: what a program gets, and the thing (a noun in small letters)."""

    before: str
    thing: str
    again: bool  # tells whether the story has named it before, or only the prompt has


def places(count: int) -> list[Place]:
    """Finds `count` places where the asked thing comes first, and as many where a thing comes again; one of each a story."""
    nouns = frozenset(noun for noun in lexicon.load().nouns if " " not in noun)
    found: dict[bool, list[Place]] = {False: [], True: []}
    index = 0
    while min(len(held) for held in found.values()) < count:
        document = engine.document(SEED, index)
        index += 1
        asked = {word for word in re.findall(r"([a-z]+)(?=$|[.,!?]| and | named )", document.prompt) if word in nouns}
        seen: set[str] = set()
        taken: set[bool] = set()
        for word in re.finditer(r"(?<= )[a-z]+\b", document.story):
            thing = word.group()
            if thing not in nouns:
                continue
            again = thing in seen
            if (again or thing in asked) and again not in taken and len(found[again]) < count:
                taken.add(again)
                told = len(document.text) - len(document.story) + word.start() - 1
                found[again].append(Place(document.text[:told], thing, again))
            seen.add(thing)
    return found[False] + found[True]


def shares(program: Program, wanted: Sequence[Place], show: Callable[[int, int], None]) -> tuple[float, float]:
    """Computes how often the likeliest word is the asked thing where it comes first, and the right thing where one comes again: of
    the places where the program names a thing at all, since "He looked at the" may go on with anything.  NaN without any."""
    nouns = lexicon.load().nouns
    right: dict[bool, list[bool]] = {False: [], True: []}
    for number, place in enumerate(wanted):
        word = program.likeliest_word(place.before)
        if word in nouns:
            right[place.again].append(word == place.thing)
        show(number + 1, len(wanted))
    asked, again = (sum(held) / len(held) if held else float("nan") for held in (right[False], right[True]))
    return asked, again
