"""Reads llama2.c's tokenizer.bin, and bakes any tokenizer into the blob that the runtime views.

Layouts: runtime/llama_bpe.hpp and runtime/byte_level_bpe.hpp.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from codegen import byte_level
from codegen.byte_level import ByteLevelData
from codegen.errors import MISSING_FILE, BakeError

MAGIC = 0x4B544253  # "SBTK"
FIRST_BYTE = 3  # id of <0x00>
BYTE_TOKENS = [b"<0x%02X>" % byte for byte in range(256)]


@dataclass(frozen=True)
class TokenizerData:
    """A vocabulary: piece and score of each id, both checked."""

    pieces: tuple[bytes, ...]
    scores: tuple[float, ...]

    @property
    def has_bytes(self) -> bool:
        """Whether the ids 3 to 258 are the byte tokens <0x00> to <0xFF>."""
        return list(self.pieces[FIRST_BYTE : FIRST_BYTE + 256]) == BYTE_TOKENS


# A tokenizer of a kind that the runtime knows.
Vocabulary = TokenizerData | ByteLevelData


def read_tokenizer(path: Path, vocab_size: int) -> TokenizerData:
    """Reads tokenizer.bin: u32 max_token_length, then a piece an id: f32 score, i32 length, bytes.

    Raises BakeError when the file is missing or is not a tokenizer of exactly `vocab_size` pieces. The same files are
    refused by the runtime's `-z`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BakeError(f"{path}: cannot read the tokenizer: {error.strerror}", MISSING_FILE) from error
    return parse(data, vocab_size, path.name)


def parse(data: bytes, vocab_size: int, name: str) -> TokenizerData:
    """The vocabulary in the bytes of a tokenizer.bin; `name` is the file's, for messages."""
    if len(data) < 4:
        raise BakeError(f"{name}: {len(data)} bytes, a tokenizer.bin has at least 4: is it the right file?")
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4
    hint = f"the model has {vocab_size} pieces: is the file cut short, or another vocabulary's?"
    while at < len(data):
        left = len(data) - at
        if left < 8:
            raise BakeError(f"{name}: piece {len(pieces)}: found {left} bytes, need 8 for its score and length; {hint}")
        score, length = struct.unpack_from("<fi", data, at)
        if not 1 <= length <= left - 8:
            raise BakeError(
                f"{name}: piece {len(pieces)}: found a length of {length}, need 1 to {left - 8}, the bytes left; {hint}"
            )
        piece = data[at + 8 : at + 8 + length]
        if not math.isfinite(score):
            raise BakeError(f"{name}: piece {len(pieces)}: its score is not finite: export the tokenizer again")
        if 0 in piece:
            raise BakeError(f"{name}: piece {len(pieces)}: found a zero byte, need text: export the tokenizer again")
        pieces.append(piece)
        scores.append(score)
        at += 8 + length
    if len(pieces) != vocab_size:
        raise BakeError(
            f"{name}: found {len(pieces)} pieces, the model has {vocab_size}: give the tokenizer of this model"
        )
    declared = struct.unpack_from("<I", data)[0]
    longest = max(len(piece) for piece in pieces)
    if declared != longest:
        raise BakeError(
            f"{name}: max_token_length: found {declared}, the longest piece has {longest} bytes: export it again"
        )
    tokenizer = TokenizerData(tuple(pieces), tuple(scores))
    byte_tokens = sum(a == b for a, b in zip(pieces[FIRST_BYTE:], BYTE_TOKENS, strict=False))
    if byte_tokens not in (0, 256):
        raise BakeError(
            f"{name}: found {byte_tokens} of the byte tokens <0x00> to <0xFF> at ids 3 to 258, need all 256 or none: "
            "export the tokenizer again"
        )
    if b" " not in pieces:
        raise BakeError(
            f"{name}: found no piece for a single space, need one to begin a prompt with: export it again"
        )
    return tokenizer


def to_bytes(data: TokenizerData) -> bytes:
    """The tokenizer.bin of a vocabulary: what `parse` reads."""
    entries = (
        struct.pack("<fI", score, len(piece)) + piece for piece, score in zip(data.pieces, data.scores, strict=True)
    )
    return struct.pack("<I", max(map(len, data.pieces))) + b"".join(entries)


def bake(data: Vocabulary) -> bytes:
    """The little-endian blob that the runtime views without copying."""
    if isinstance(data, ByteLevelData):
        return byte_level.bake(data)
    pieces = data.pieces
    text = b"".join(pieces)
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    order = sorted(range(len(pieces)), key=lambda i: (pieces[i], i))
    header = (MAGIC, len(pieces), len(text), max(map(len, pieces)), pieces.index(b" "), int(data.has_bytes))
    return b"".join(
        (
            struct.pack("<6I", *header),
            struct.pack(f"<{len(pieces)}f", *data.scores),
            struct.pack(f"<{len(offsets)}I", *offsets),
            struct.pack(f"<{len(order)}I", *order),
            text,
            bytes(-len(text) % 4),
        )
    )


def stems(model_path: Path) -> tuple[str, ...]:
    """What the names of a model's companions may begin with: the int8 twin, `<stem>_q8.bin`, shares its float32 one's."""
    return tuple(dict.fromkeys((model_path.stem, model_path.stem.removesuffix("_q8"))))


def find_tokenizer(model_path: Path, vocab_size: int) -> Path | None:
    """The tokenizer beside a model: `<stem>.tokenizer.bin`, `tok<vocab>.bin` or `tokenizer.bin`, the first that fits.

    None when there is none of these. Raises BakeError when there are some but none fits, saying why.
    """
    names = (*(f"{stem}.tokenizer.bin" for stem in stems(model_path)), f"tok{vocab_size}.bin", "tokenizer.bin")
    problems = []
    for name in names:
        path = model_path.parent / name
        if not path.is_file():
            continue
        try:
            read_tokenizer(path, vocab_size)
        except BakeError as error:
            problems.append(str(error))
        else:
            return path
    if problems:
        raise BakeError(f"no tokenizer beside {model_path.name} fits it: {'; '.join(problems)}")
    return None
