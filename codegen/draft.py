"""Makes the table of guesses of a model's own stories (runtime/draft.hpp looks them up): an n-gram of up to four tokens with
backoff.

A guess never changes a story: it is computed beside the token before it, and is right or not. So a table of other stories, or
of other weights with the same vocabulary, is slower and nothing else; one of another vocabulary is refused.

    file:   "SBDRAFT1", u32 vocab_size, u32 slots, u64 fingerprint of the vocabulary, then the slots, little-endian
    slot:   token in 16 bits, check in 12, chance in sixteenths in 4; 0: empty
    bucket: SLOTS slots; the hash of the last k tokens, the latest first, chooses it by its low bits, and is checked by its
            upper 12
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codegen.errors import BakeError
from codegen.fingerprint import fingerprint
from codegen.input import read_small
from codegen.tokenizer import Vocabulary, stems

MAGIC = b"SBDRAFT1"
HEADER = struct.Struct("<8sIIQ")
ORDER = 4  # counts the tokens that a guess may look back
SLOTS = 4  # are in a bucket
TABLE_SLOTS = 1 << 14  # 64 KB
MOST_SLOTS = 1 << 20
TOKENS = 1 << 16  # a slot has 16 bits for one
SEEN = 3  # counts how often a context has to be there before its guess is believed
SUFFIX = ".draft"

Slots = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Guess:
    """Holds what the table says for some last tokens: the next one, and how often that is right."""

    token: int
    chance: float


def vocabulary_fingerprint(vocabulary: Vocabulary) -> int:
    """Tells vocabularies apart, whatever else their tokenizers say."""
    return fingerprint(b"".join(struct.pack("<I", len(piece)) + piece for piece in vocabulary.pieces))


def hashes(last: Sequence[int]) -> list[int]:
    """Yields the hashes of the last token, the last two, ... of `last`, whose latest is its last."""
    found, so_far = [], 0
    for token in reversed(last):
        mixed = (so_far + token + 1) * 0x9E3779B1 & 0xFFFFFFFF
        so_far = mixed ^ (mixed >> 15)
        found.append(so_far)
    return found


def look_up(slots: Slots, last: Sequence[int]) -> Guess | None:
    """Finds the guess of the most of the last tokens that the table knows, as the runtime finds it."""
    buckets = slots.reshape(-1, SLOTS)
    found = None
    for hashed in hashes(last[-ORDER:]):
        for slot in map(int, buckets[hashed & (len(buckets) - 1)]):
            if slot >> 28 and (slot >> 16 & 0xFFF) == hashed >> 20:
                found = Guess(slot & 0xFFFF, (slot >> 28) / 16)
    return found


def make_slots(stories: Sequence[Sequence[int]], count: int = TABLE_SLOTS) -> Slots:
    """Makes the table of some stories, each its tokens in order: contexts by how many more guesses they make right than the
    shorter context would, as far as there is room."""
    following: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for story in stories:
        for at in range(1, len(story)):
            for order in range(1, min(ORDER, at) + 1):
                following[tuple(story[at - order : at])][story[at]] += 1
    gains: list[tuple[int, tuple[int, ...], int, float]] = []
    for context, tokens in following.items():
        token, right = max(tokens.items(), key=lambda item: (item[1], -item[0]))
        seen = tokens.total()
        shorter = following.get(context[1:])
        instead = tokens[max(shorter.items(), key=lambda item: (item[1], -item[0]))[0]] if shorter else 0
        if seen >= SEEN and right > instead and token < TOKENS:
            gains.append((right - instead, context, token, right / (seen + 1)))
    slots = np.zeros(count, np.uint32)
    buckets = slots.reshape(-1, SLOTS)
    for _, context, token, chance in sorted(gains, key=lambda gain: (-gain[0], gain[1])):
        hashed = hashes(context)[-1]
        bucket = buckets[hashed & (len(buckets) - 1)]
        free = np.flatnonzero(bucket == 0)
        if free.size and not ((bucket >> 16 & 0xFFF == hashed >> 20) & (bucket != 0)).any():
            bucket[free[0]] = min(max(round(16 * chance), 1), 15) << 28 | hashed >> 20 << 16 | token
    return slots


def tokens_a_pass(slots: Slots, stories: Sequence[Sequence[int]]) -> float:
    """Counts how many tokens a pass would compute, on average, of stories that are guessed ahead by one."""
    passes = tokens = 0
    for story in stories:
        at = 1
        while at < len(story):
            guess = look_up(slots, story[max(at - ORDER, 0) : at])
            step = 2 if guess is not None and guess.token == story[at] else 1
            passes, tokens, at = passes + 1, tokens + step, at + step
    return tokens / max(passes, 1)


def table_of(slots: Slots, vocabulary: Vocabulary, vocab_size: int) -> bytes:
    """Makes the file of a table."""
    return HEADER.pack(MAGIC, vocab_size, slots.size, vocabulary_fingerprint(vocabulary)) + slots.astype("<u4").tobytes()


def read_table(path: Path, vocabulary: Vocabulary, vocab_size: int) -> bytes:
    """Reads the slots of a file, as they are baked. Raises BakeError where it is no table, or one of another vocabulary."""
    again = "make it again: tools/draft"
    data = read_small(path, HEADER.size + 4 * MOST_SLOTS)
    if len(data) < HEADER.size or not data.startswith(MAGIC):
        raise BakeError(f"{path.name}: expected a table of guesses that begins with {MAGIC.decode()}, found another file; {again}")
    _, size, count, owner = HEADER.unpack_from(data)
    if count < SLOTS or count & (count - 1) or len(data) != HEADER.size + 4 * count:
        raise BakeError(
            f"{path.name}: expected {HEADER.size} bytes and a power of two of slots, found {len(data)} bytes for {count} "
            f"slots: is it cut short? {again}"
        )
    if (size, owner) != (vocab_size, vocabulary_fingerprint(vocabulary)):
        raise BakeError(f"{path.name}: a table for another vocabulary, of {size} tokens; the model has {vocab_size}; {again}")
    slots = np.frombuffer(data, "<u4", offset=HEADER.size)
    largest = int((slots & 0xFFFF).max())
    if largest >= vocab_size:
        raise BakeError(f"{path.name}: guesses token {largest}, the model has {vocab_size}; {again}")
    return data[HEADER.size :]


def companions(model: Path) -> list[Path]:
    """Lists where the table of a model may lie: beside its file, or in its folder."""
    return [model / f"model{SUFFIX}"] if model.is_dir() else [model.parent / f"{stem}{SUFFIX}" for stem in stems(model)]


def find_table(model: Path) -> Path | None:
    """Finds the table beside a model, or None."""
    return next((path for path in companions(model) if path.is_file()), None)
