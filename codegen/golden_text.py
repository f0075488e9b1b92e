"""Computes the golden text, when the model is baked: what tokenizer, sampler and decoder must give.

A text is encoded, tokens are drawn from the last logits of the golden run, and these are decoded: by plain loops over pieces,
merges and probabilities, as llama2.c and GPT-2's encoder have them, which share nothing with the runtime. A baked program
repeats it (--selftest).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codegen.byte_level import ByteLevelData
from codegen.fingerprint import fingerprint
from codegen.frame import looked_for
from codegen.golden_run import exp
from codegen.tensor import FloatArray
from codegen.tokenizer import TokenizerData, Vocabulary

TEXT = "Once upon a time"  # has words that every rule cuts at their spaces
DRAWS = 8  # counts draws, with the seeds 1, 2, ...: from the likeliest, then as many from all
TEMPERATURE = 0.9
TOP_P = 0.9
UNK = 0  # is <unk> of llama2.c's kind
NOTHING = -1  # stands for a byte that has no id
NEVER_MERGED = -1e10  # bounds the scores of pieces that are never merged, by llama2.c's merge_lookup

# Finds the merge of two neighbours by their ids: what is larger is merged first, and what they become.
Merge = Callable[[int, int], tuple[float, int] | None]


@dataclass(frozen=True)
class GoldenText:
    """Holds the ids of `text`, the tokens that are drawn, and the fingerprint of the bytes that these stand for."""

    text: str
    ids: tuple[int, ...]
    drawn: tuple[int, ...]
    said: int


def golden_text(data: Vocabulary, logits: FloatArray) -> GoldenText:
    """Computes what is to come of the last logits (vocab_size,) of the golden run."""
    # A token that is found as a whole is nothing for a plain loop: then the text is empty.
    plain = not any(looked_for(token, data.frame) in f" {TEXT}".encode() for token in data.frame.added.values())
    text = TEXT if plain else ""
    drawn = [draw(logits, topp, seed) for topp in (TOP_P, 1.0) for seed in range(1, DRAWS + 1)]
    return GoldenText(text, tuple(encode(data, text)), tuple(drawn), fingerprint(decode(data, drawn)))


def encode(data: Vocabulary, text: str) -> list[int]:
    """Encodes an ASCII text of words and single spaces, without added tokens in it."""
    frame = data.frame
    spaced = f" {text}" if text and frame.spaces != "none" else text
    ids = list(frame.before)
    if isinstance(data, TokenizerData):
        ids += encode_pieces(data, spaced)
    else:
        words = spaced.replace(" ", "\n ").split("\n")
        ids += [at for word in words if word for at in encode_word(data, word.encode())]
    ids += frame.after
    return ids or [frame.bos]


def encode_pieces(data: TokenizerData, text: str) -> list[int]:
    """Encodes as llama2.c does: letters, then the pair of the best score, the first of equals, until none is left."""
    ids: dict[bytes, int] = {}
    for at, piece in enumerate(data.pieces):
        if at not in data.apart:
            ids.setdefault(piece, at)
    scores = np.array(data.scores, np.float32)

    def merge(left: int, right: int) -> tuple[float, int] | None:
        made = ids.get(data.pieces[left] + data.pieces[right])
        return None if made is None or scores[made] <= np.float32(NEVER_MERGED) else (float(scores[made]), made)

    first = data.first_byte
    letters = (ids.get(bytes([byte]), first + byte if first else UNK) for byte in text.encode())
    return merged(list(letters), merge)


def encode_word(data: ByteLevelData, word: bytes) -> list[int]:
    """Encodes as GPT-2 does: bytes, then the pair of the lowest rank, the first of equals, until none is left."""
    if data.whole_words:
        for at in sorted(data.words):
            if data.pieces[at] == word:
                return [at]
    byte_ids, ranks = data.byte_ids, {(left, right): (-rank, made) for rank, (left, right, made) in enumerate(data.merges)}
    ids = [byte_ids.get(byte, NOTHING if data.unk is None else data.unk) for byte in word]
    return merged([at for at in ids if at != NOTHING], lambda left, right: ranks.get((left, right)))


def merged(ids: list[int], merge: Merge) -> list[int]:
    """Returns the ids after all merges."""
    while True:
        best: tuple[float, int, int] | None = None
        for at, (left, right) in enumerate(zip(ids, ids[1:])):
            found = merge(left, right)
            if found is not None and (best is None or found[0] > best[0]):
                best = (found[0], at, found[1])
        if best is None:
            return ids
        ids[best[1] : best[1] + 2] = [best[2]]


def decode(data: Vocabulary, tokens: list[int]) -> bytes:
    """Returns the bytes of tokens after BOS."""
    frame, text, previous = data.frame, b"", data.frame.bos
    first = data.first_byte if isinstance(data, TokenizerData) else 0
    for token in tokens:
        piece = data.pieces[token]
        if first and first <= token < first + 256:
            piece = bytes([token - first])
        if frame.strip and previous == frame.bos:
            piece = piece.removeprefix(b" ")
        if token not in frame.added or not frame.added[token].special:
            text += piece
        previous = token
    return text


def coin(seed: int) -> np.float32:
    """Returns the first number of llama2.c's generator, xorshift64*, for a seed: in [0, 1)."""
    state = seed
    state ^= state >> 12
    state ^= state << 25 & 0xFFFFFFFFFFFFFFFF
    state ^= state >> 27
    return np.float32((state * 0x2545F4914F6CDD1D >> 32 & 0xFFFFFFFF) >> 8) / np.float32(16777216)


def draw(logits: FloatArray, topp: float, seed: int) -> int:
    """Draws as llama2.c's sample() does: one token of logits (vocab_size,), by the first random number of a seed."""
    quotients = logits / np.float32(TEMPERATURE)
    e = exp(quotients - quotients.max())
    p = e / np.add.accumulate(e)[-1]  # in order
    if topp >= 1:
        return _first_above(np.add.accumulate(p), coin(seed))
    cutoff = (np.float32(1) - np.float32(topp)) / np.float32(p.size - 1)
    likely = np.flatnonzero(p >= cutoff)
    if likely.size == 0:
        return int(p.argmax())
    likely = likely[np.argsort(-p[likely], kind="stable")]
    sums = np.add.accumulate(p[likely])
    sums = sums[: _first_above(sums, np.float32(topp)) + 1]
    return int(likely[_first_above(sums, coin(seed) * sums[-1])])


def _first_above(sums: FloatArray, limit: np.float32) -> int:
    """Finds the place of the first sum above a limit; the last one's when there is none."""
    above = np.flatnonzero(sums > limit)
    return int(above[0]) if above.size else sums.size - 1
