"""Byte-level BPE, GPT-2's kind of tokenizer: what there is to know of one, and the blob that the runtime views.

The readers are codegen.formats.byte_level_json and gguf_tokenizer; the layout is in runtime/byte_level_bpe.hpp.
"""

from __future__ import annotations

import itertools
import struct
import unicodedata
from dataclasses import dataclass

from codegen.errors import BakeError, shown
from codegen.model import LIMITS

MAGIC = 0x4C424253  # "SBBL"
NONE = 0xFFFFFFFF
LONGEST_PIECE = 4096  # bytes
MOST_MERGES = 1 << 22  # ranks stay exact in a float
MOST_ADDED = 4096
MOST_ENDS = 64
# What cuts a text into words, by the runtime's numbers (words.hpp).
RULES = ("gpt2", "gpt2 with single digits", "llama3", "qwen2")
OTHER, LETTER, NUMBER, SPACE = range(4)  # kinds of characters, by the runtime's numbers
# Tokens that end a text where the files don't list them, as chat models leave it to their templates.
END_NAMES = ("<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|im_end|>")


@dataclass(frozen=True)
class ByteLevelData:
    """A byte-level BPE tokenizer.

    `pieces` are the bytes of each id; `merges` pairs of ids and what they become, in the order of their rank; `added`
    the ids that are found in a text as a whole, with whether each is special, that is without text. `unk` is what a
    byte without a piece becomes, None for nothing.
    """

    pieces: tuple[bytes, ...]
    merges: tuple[tuple[int, int, int], ...]
    added: dict[int, bool]
    rule: str
    bos: int
    ends: tuple[int, ...]
    add_bos: bool = False
    unk: int | None = None
    whole_words: bool = False

    @property
    def byte_ids(self) -> dict[int, int]:
        """The id of each byte's own piece; some bytes may have none."""
        return {piece[0]: at for at, piece in enumerate(self.pieces) if len(piece) == 1 and at not in self.added}

    @property
    def has_all_bytes(self) -> bool:
        """Whether every text has ids of its own."""
        return len(self.byte_ids) == 256


def alphabet() -> dict[str, int]:
    """The byte that each character of a vocabulary stands for: the printable ones of Latin-1 for themselves, the others
    for those from U+0100 on, in order (bytes_to_unicode in GPT-2's encoder.py)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}


ALPHABET = alphabet()


def make(
    texts: list[str],
    merges: list[tuple[str, str]],
    added: dict[int, bool],
    rule: str,
    special: dict[str, int | None],
    ends: list[int],
    source: str,
    *,
    add_bos: bool,
    whole_words: bool,
) -> ByteLevelData:
    """A tokenizer of the texts of all ids, those of added tokens as they are and the others in the alphabet above.

    `special` has the ids of "bos" and "unk", None for none; without BOS, what ends a text begins one. Raises BakeError
    with the piece or merge at fault.
    """
    if not 1 <= len(texts) <= LIMITS["vocab_size"]:
        raise BakeError(f"{source}: expected 1 to {LIMITS['vocab_size']} pieces, found {len(texts)}")
    if len(merges) > MOST_MERGES or len(added) > MOST_ADDED:
        raise BakeError(
            f"{source}: expected at most {MOST_MERGES} merges and {MOST_ADDED} added tokens, found {len(merges)} and "
            f"{len(added)}"
        )
    pieces = tuple(_piece(at, text, at in added, source) for at, text in enumerate(texts))
    ids: dict[tuple[bytes, bool], int] = {}  # an added token may have the text of a piece: it comes first
    for at, piece in enumerate(pieces):
        first = ids.setdefault((piece, at in added), at)
        if first != at:
            raise BakeError(f"{source}: piece {at}: expected another text than piece {first}, found {shown(texts[at])}")
    by_text = {text: at for at, text in enumerate(texts) if at not in added}
    ranked = tuple(_merge(pair, by_text, source) for pair in merges)
    seen: set[tuple[int, int]] = set()
    for (left, right, _), pair in zip(ranked, merges, strict=True):
        if (left, right) in seen:
            raise BakeError(f"{source}: merges: expected {shown(pair)} once, found it twice; export the tokenizer again")
        seen.add((left, right))
    ends = list(dict.fromkeys([*ends, *(at for at in added if added[at] and texts[at] in END_NAMES)]))
    bos = special.get("bos")
    if bos is None:
        bos = ends[0] if ends else None
    if bos is None:
        raise BakeError(
            f"{source}: bos, eos: expected the id of a token that begins or ends a text, found none; give the folder "
            "with the model's tokenizer_config.json or config.json beside it"
        )
    for name, found in (*(("eos", end) for end in ends), ("bos", bos), ("unk", special.get("unk"))):
        if found is not None and not 0 <= found < len(pieces):
            raise BakeError(f"{source}: {name}: expected an id below {len(pieces)}, found {found}")
    ends = list(dict.fromkeys([*ends, bos]))
    if len(ends) > MOST_ENDS:
        raise BakeError(f"{source}: eos: expected at most {MOST_ENDS} ids, found {len(ends)}")
    return ByteLevelData(pieces, ranked, added, rule, bos, tuple(ends), add_bos, special.get("unk"), whole_words)


def _piece(at: int, text: str, is_added: bool, source: str) -> bytes:
    what = f"{source}: piece {at}: {shown(text)}"
    if is_added:
        try:
            piece = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BakeError(f"{what}: expected text, found a lone surrogate") from error
    else:
        strange = next((letter for letter in text if letter not in ALPHABET), None)
        if strange is not None:
            raise BakeError(
                f"{what}: expected characters of GPT-2's byte alphabet, found {shown(strange)}; this tokenizer is not "
                "byte-level BPE"
            )
        piece = bytes(ALPHABET[letter] for letter in text)
    if not 1 <= len(piece) <= LONGEST_PIECE:
        raise BakeError(f"{what}: expected 1 to {LONGEST_PIECE} bytes, found {len(piece)}; is it the right file?")
    return piece


def _merge(pair: tuple[str, str], ids: dict[str, int], source: str) -> tuple[int, int, int]:
    left, right = pair
    for text in (left, right, left + right):
        if text not in ids:
            raise BakeError(
                f"{source}: merges: {shown(left)} and {shown(right)}: expected pieces that make a piece, found none "
                f"that is {shown(text)}"
            )
    return ids[left], ids[right], ids[left + right]


def char_kinds() -> list[tuple[int, int]]:
    """(first code point, kind) of every run of characters of one kind: Unicode's letters (L) and numbers (N) as this
    Python's unicodedata has them, white space as regular expressions have it (White_Space), and all others."""
    spaces = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}

    def kind(code: int) -> int:
        return SPACE if code in spaces else {"L": LETTER, "N": NUMBER}.get(unicodedata.category(chr(code))[0], OTHER)

    return [(next(codes), found) for found, codes in itertools.groupby(range(0x110000), kind)]


def bake(data: ByteLevelData) -> bytes:
    """The blob that the runtime views without copying."""
    pieces, text, byte_ids = data.pieces, b"".join(data.pieces), data.byte_ids
    normal = [at for at in range(len(pieces)) if at not in data.added]
    in_order = sorted(normal, key=lambda at: pieces[at]) if data.whole_words else []
    added = sorted(data.added, key=lambda at: (-len(pieces[at]), at))
    ranked = sorted((left, right, made, rank) for rank, (left, right, made) in enumerate(data.merges))
    kinds = char_kinds()
    words = [
        MAGIC, len(pieces), len(text), len(ranked), len(added), len(kinds), len(in_order), len(data.ends),
        data.bos, NONE if data.unk is None else data.unk, RULES.index(data.rule),
        int(data.add_bos) | int(data.whole_words) << 1,
        *data.ends,
        *(byte_ids.get(byte, NONE) for byte in range(256)),
        *(first << 2 | kind for first, kind in kinds),
        *(at << 1 | int(data.added[at]) for at in added),
        *itertools.chain.from_iterable((right, left, made, rank) for left, right, made, rank in ranked),
        *itertools.accumulate(map(len, pieces), initial=0),
        *in_order,
    ]  # fmt: skip
    return struct.pack(f"<{len(words)}I", *words) + text + bytes(-len(text) % 4)
