"""Counts the memory that the storyteller takes beside its model: voice, recogniser, acoustic model."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.memory import MB, memory_of
from codegen.plan import Plan
from codegen.templating import thousands as n
from storyteller.phrases import ARTICLES, friends

# Count what was measured on the Duo's program, all of its pages (tests/storyteller/programs.py), and a
# little more. A voice: its tables, a sentence of 200 letters at its own speed, which is the longest, and 16 s that wait for
# the player. The statistical voices keep 1 MB for each second of a sentence.
VOICE_BYTES = {"slt": 14_000_000, "kal16": 6_500_000, "rms": 15_000_000, "awb": 13_500_000, "kal": 4_000_000, "espeak": 11_000_000}
# Count for PocketSphinx its decoder, which grows with the grammar (10 to 278 topics were measured), and the files of Debian's
# acoustic model, mapped or copied.
DECODER_BYTES = 6_900_000
TOPIC_WORD_BYTES = 6_000
FRIEND_WORD_BYTES = 14_700  # come on top, for those that may follow an "and"
ACOUSTIC_MODEL_BYTES = 6_610_000


def decoder_bytes(topics: Sequence[str]) -> int:
    """Counts what hearing takes beside the acoustic model."""
    words = [sum(len(topic.split()) - topic.startswith(ARTICLES) for topic in some) for some in (topics, friends(topics))]
    return DECODER_BYTES + TOPIC_WORD_BYTES * words[0] + FRIEND_WORD_BYTES * words[1]


def memory_text(plan: Plan, topics: Sequence[str], budget: int = 0) -> str:
    """Tells the memory of the storyteller, and whether it can hear and tell at once within `budget` MB, 0 being the
    target's."""
    voice = next(iter(VOICE_BYTES))
    model, recogniser = memory_of(plan), ACOUSTIC_MODEL_BYTES + decoder_bytes(topics)
    telling = model.total + VOICE_BYTES[voice]
    hearing = model.total - model.weights + recogniser  # the weights are pages of a file, which give way
    both = telling + recogniser
    budget = budget or plan.target.ram_budget
    verdict = ""
    if budget:
        lacking = [name for name, size in (("telling", telling), ("hearing", hearing)) if size > budget * MB]
        fits = "both fit" if both <= budget * MB else "one after the other"
        verdict = f"  of {budget} MB: {'no room for ' + ' nor '.join(lacking) if lacking else fits}"
    lines = [
        "the storyteller's memory, in bytes:",
        f"  telling           {n(telling):>14}  voice {voice}",
        f"  hearing           {n(hearing):>14}  {len(topics)} topics",
        f"  both at once      {n(both):>14}{verdict}",
    ]
    return "\n".join(lines) + "\n"
