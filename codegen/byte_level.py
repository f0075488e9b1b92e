"""Bakes byte-level BPE, GPT-2's kind of tokenizer: holds what there is to know of one, and makes the blob that the runtime views.

The readers are codegen.formats.byte_level_json and gguf_tokenizer; the layout is in runtime/byte_level_bpe.hpp.
"""

from __future__ import annotations

import functools
import itertools
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from codegen.errors import BakeError, shown
from codegen.frame import Frame, padded
from codegen.model import LIMITS

MAGIC = 0x4C424253  # "SBBL"
NONE = 0xFFFFFFFF
LONGEST_PIECE = 4096  # bytes
MOST_MERGES = 1 << 22  # ranks stay exact in a float
# Lists what cuts a text into words, by the runtime's numbers (words.hpp).
RULES = ("gpt2", "gpt2 with single digits", "llama3", "qwen2")
OTHER, LETTER, NUMBER, SPACE = range(4)  # kinds of characters, by the runtime's numbers


@dataclass(frozen=True)
class ByteLevelData:
    """Holds a byte-level BPE tokenizer.

    `pieces` are the bytes of each id, none of an id without a piece; `merges` pairs of ids and what they become, in the order
    of their rank; `words` the ids that words are made of, not found whole. `unk` is what a byte without a piece becomes,
    None for nothing.
    """

    pieces: tuple[bytes, ...]
    merges: tuple[tuple[int, int, int], ...]
    words: frozenset[int]
    rule: str
    frame: Frame
    unk: int | None = None
    whole_words: bool = False

    @property
    def byte_ids(self) -> dict[int, int]:
        """Returns the id of each byte's own piece; some bytes may have none."""
        return {piece[0]: at for at, piece in enumerate(self.pieces) if len(piece) == 1 and at in self.words}

    @property
    def has_all_bytes(self) -> bool:
        """Tells whether every text has ids of its own."""
        return len(self.byte_ids) == 256


def alphabet() -> dict[str, int]:
    """Returns the byte that each character of a vocabulary stands for: the printable ones of Latin-1 for themselves, the others
    for those from U+0100 on, in order (bytes_to_unicode in GPT-2's encoder.py)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}


ALPHABET = alphabet()


def make(
    vocabulary: Mapping[int, str],
    size: int,
    merges: list[tuple[str, str]],
    rule: str,
    frame: Frame,
    source: str,
    *,
    unk: int | None = None,
    whole_words: bool = False,
) -> ByteLevelData:
    """Checks and converts a tokenizer as other programs have it: texts of GPT-2's byte alphabet by id, of `size` ids in all,
    added tokens in the frame as they are. Raises BakeError naming the piece or merge at fault."""
    if not 1 <= size <= LIMITS["vocab_size"]:
        raise BakeError(f"{source}: expected 1 to {LIMITS['vocab_size']} pieces, found {size}")
    if len(merges) > MOST_MERGES:
        raise BakeError(f"{source}: expected at most {MOST_MERGES} merges, found {len(merges)}")
    pieces = [b""] * size
    for at, token in frame.added.items():
        pieces[at] = token.text
    ids: dict[str, int] = {}
    for at, text in vocabulary.items():
        if ids.setdefault(text, at) != at:
            raise BakeError(f"{source}: piece {at}: expected another text than piece {ids[text]}, found {shown(text)}")
    # An added token may be a piece as well, which merges make: it is found whole first, and is printed as it is written.
    merged = {part for left, right in merges for part in (left, right, left + right)}
    words = []
    for at, text in vocabulary.items():
        if at not in frame.added or text in merged:
            piece = _piece(at, text, source)
            words.append(at)
            if at not in frame.added:
                pieces[at] = piece
    for at, piece in enumerate(pieces):
        if len(piece) > LONGEST_PIECE:
            raise BakeError(f"{source}: piece {at}: expected 1 to {LONGEST_PIECE} bytes, found {len(piece)}; is it the right file?")
    ranked = tuple(_merge(pair, ids, source) for pair in merges)
    seen: set[tuple[int, int]] = set()
    for (left, right, _), pair in zip(ranked, merges, strict=True):
        if (left, right) in seen:
            raise BakeError(f"{source}: merges: expected {shown(pair)} once, found it twice; export the tokenizer again")
        seen.add((left, right))
    if unk is not None and not 0 <= unk < size:
        raise BakeError(f"{source}: unk: expected an id below {size}, found {shown(unk)}")
    return ByteLevelData(tuple(pieces), ranked, frozenset(words), rule, frame, unk, whole_words)


def _piece(at: int, text: str, source: str) -> bytes:
    """Returns the bytes of a piece that words are made of."""
    if not 1 <= len(text) <= LONGEST_PIECE:
        raise BakeError(
            f"{source}: piece {at}: {shown(text)}: expected 1 to {LONGEST_PIECE} bytes, found {len(text)}; is it the right file?"
        )
    try:
        return bytes([ALPHABET[letter] for letter in text])
    except KeyError as error:
        raise BakeError(
            f"{source}: piece {at}: {shown(text)}: expected characters of GPT-2's byte alphabet, found {shown(error.args[0])}; it is not "
            "byte-level BPE"
        ) from error


def _merge(pair: tuple[str, str], ids: dict[str, int], source: str) -> tuple[int, int, int]:
    left, right = pair
    for text in (left, right, left + right):
        if text not in ids:
            raise BakeError(
                f"{source}: merges: {shown(left)} and {shown(right)}: expected pieces that make a piece, found none "
                f"that is {shown(text)}"
            )
    return ids[left], ids[right], ids[left + right]


@functools.cache
def char_kinds() -> tuple[tuple[int, int], ...]:
    """Returns (first code point, kind) of every run of characters of one kind: Unicode's letters (L) and numbers (N) as this
    Python's unicodedata has them, white space as regular expressions have it (White_Space), and all others."""
    spaces = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}

    def kind(code: int) -> int:
        return SPACE if code in spaces else {"L": LETTER, "N": NUMBER}.get(unicodedata.category(chr(code))[0], OTHER)

    return tuple((next(codes), found) for found, codes in itertools.groupby(range(0x110000), kind))


def bake(data: ByteLevelData) -> bytes:
    """Returns the blob that the runtime views without copying."""
    pieces, text, byte_ids = data.pieces, b"".join(data.pieces), data.byte_ids
    in_order = sorted(data.words, key=lambda at: (pieces[at], at)) if data.whole_words else []
    ranked = sorted((left, right, made, rank) for rank, (left, right, made) in enumerate(data.merges))
    kinds = char_kinds()
    words = [
        MAGIC, len(pieces), len(text), len(ranked), len(kinds), len(in_order), NONE if data.unk is None else data.unk,
        RULES.index(data.rule), int(data.whole_words),
        *(byte_ids.get(byte, NONE) for byte in range(256)),
        *(first << 2 | kind for first, kind in kinds),
        *itertools.chain.from_iterable((right, left, made, rank) for left, right, made, rank in ranked),
        *itertools.accumulate(map(len, pieces), initial=0),
        *in_order,
    ]  # fmt: skip
    return struct.pack(f"<{len(words)}I", *words) + padded(text)
