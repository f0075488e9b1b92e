"""Draws wishes that no story fulfils, from `forbidden.txt`, and says what is answered instead."""

import random
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

from . import forms, lexicon
from .wording import ASKS, ASKS_AS_A_CHILD, ASKS_WHERE, article

INSTEAD = ("I do not know that story, but I know this one.", "Let me tell you another one.", "I would rather tell you this one.",
           "That is not a story of mine, but this is.")


@lru_cache(maxsize=None)
def _read() -> dict[str, tuple[str, ...]]:
    """Reads what no story tells of, by section: things, adjectives, brands, clauses of what happens, deeds as forms, brands that
    there are none of, and the CRC-32 of prompts that are kept for judging."""
    found = lexicon.sections(lexicon.FOLDER / "forbidden.txt")
    whole = {"deeds": tuple(found.pop("deeds")), "made up": tuple(found.pop("made up")[0].split("; "))}
    return whole | {title: tuple(", ".join(lines).split(", ")) for title, lines in found.items()}


def kept_for_judging(prompt: str) -> bool:
    """Tells whether a prompt is one of those that training never sees, so that they can be judged."""
    return str(zlib.crc32(prompt.encode())) in _read()["kept for judging"]


def draw(rng: random.Random, kinds: Sequence[str]) -> str:
    """Draws a wish that no story fulfils, in the words that ask for others; `kinds` are those of heroes."""
    prompt = _drawn(rng, kinds)
    while kept_for_judging(prompt):
        prompt = _drawn(rng, kinds)
    return prompt


def _drawn(rng: random.Random, kinds: Sequence[str]) -> str:
    found, kind = _read(), rng.choice(kinds)
    somebody = article(kind)
    section = rng.choices(("things", "adjectives", "brands", "where", "deeds", "made up"), (27, 6, 32, 6, 23, 6))[0]
    one, other = rng.sample(found[section], 2)
    if section == "where":
        return rng.choice(ASKS_WHERE).format(one)
    if section == "things":
        options = [one] * 5 + [f"{somebody} and {one}", f"{one} and {other}", f"{somebody} with {one}", f"{one} and {somebody}"]
    elif section == "adjectives":
        options = [article(f"{one} {kind}")]
    elif section == "deeds":
        options = ["".join(map(str, forms.expand(one, {}, rng)))]
    elif section == "made up":
        options = [re.sub(r"\{brand\}", lambda _: lexicon.load().coined(rng).capitalize(), one)]
    else:
        # Name nobody after them: which names are theirs can't be told from those that nobody has heard of.
        options = [one] * 5 + [article(one), f"{one} and {other}", f"{somebody} and {one}"]
    topic = rng.choice(options)
    return rng.choice(ASKS).format(topic) if rng.random() < 0.5 else rng.choice(ASKS_AS_A_CHILD).format(topic.lower())
