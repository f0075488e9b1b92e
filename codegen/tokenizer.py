"""Reads llama2.c's tokenizer.bin, and bakes any tokenizer into the blob that the runtime views.

Layouts: runtime/llama_bpe.hpp and runtime/byte_level_bpe.hpp.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from codegen import byte_level
from codegen.byte_level import ByteLevelData
from codegen.chat import FORMATS, bake_between, named_format
from codegen.chat_template import read_format
from codegen.errors import BakeError
from codegen.frame import LLAMA2C, Frame, bake_frame, make_frame, padded
from codegen.input import read_small

MAGIC = 0x4B544253  # "SBTK"
FIRST_BYTE = 3  # is the id of <0x00> in llama2.c's files
MOST_MORE = 1 << 16  # limits the pieces that are counted beyond the model's, for the message
BYTE_TOKENS = [b"<0x%02X>" % byte for byte in range(256)]


@dataclass(frozen=True)
class TokenizerData:
    """Holds a vocabulary of llama2.c's kind: piece and score of each id, both checked; no bytes of an id without a piece.

    `apart` are the ids that no text is made of but by name: control pieces, and those that are found whole. `bytes_at`: where
    the byte tokens are, if there are any.
    """

    pieces: tuple[bytes, ...]
    scores: tuple[float, ...]
    apart: frozenset[int] = frozenset()
    frame: Frame = LLAMA2C
    bytes_at: int = FIRST_BYTE

    @property
    def first_byte(self) -> int:
        """Returns the id of <0x00>, behind which those of the other bytes follow up to <0xFF>; 0 where there are none."""
        return self.bytes_at if list(self.pieces[self.bytes_at : self.bytes_at + 256]) == BYTE_TOKENS else 0


LARGEST_TOKENIZER = 1 << 26  # limits the bytes of a tokenizer.bin; the runtime's -z takes as many
# Holds a tokenizer of a kind that the runtime knows.
Vocabulary = TokenizerData | ByteLevelData


def read_tokenizer(path: Path, vocab_size: int) -> TokenizerData:
    """Reads tokenizer.bin: u32 max_token_length, then a piece an id: f32 score, i32 length, bytes.

    Raises BakeError when the file is missing or is not a tokenizer of exactly `vocab_size` pieces. The same files are
    refused by the runtime's `-z`.
    """
    return parse(read_small(path, LARGEST_TOKENIZER), vocab_size, path.name)


def parse(data: bytes, vocab_size: int, name: str) -> TokenizerData:
    """Reads the vocabulary in the bytes of a tokenizer.bin; `name` is the file's, for messages."""
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
        if len(pieces) > vocab_size + MOST_MORE:
            raise BakeError(f"{name}: found more than {len(pieces)} pieces, the model has {vocab_size}: give the tokenizer of this model")
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
    """Writes the tokenizer.bin of a vocabulary: what `parse` reads."""
    entries = (
        struct.pack("<fI", score, len(piece)) + piece for piece, score in zip(data.pieces, data.scores, strict=True)
    )
    return struct.pack("<I", max(map(len, data.pieces))) + b"".join(entries)


def bake(data: Vocabulary, rows: int | None = None) -> bytes:
    """Makes the little-endian blob that the runtime views without copying, for a model of so many rows (None: as many as pieces).

    Raises BakeError for a tokenizer that needs a row that is not there.
    """
    rows = len(data.pieces) if rows is None else rows
    words = byte_level.bake(data) if isinstance(data, ByteLevelData) else bake_words(data)
    return bake_frame(make_frame(data.frame, len(data.pieces), rows, "tokenizer"), len(data.pieces), rows, words)


def bake_words(data: TokenizerData) -> bytes:
    """Makes the blob of llama2.c's kind, without a frame."""
    pieces = data.pieces
    text = b"".join(pieces)
    offsets = [0]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    order = sorted((i for i in range(len(pieces)) if i not in data.apart), key=lambda i: (pieces[i], i))
    header = (MAGIC, len(pieces), len(text), max(map(len, pieces)), len(order), data.first_byte)
    return b"".join(
        (
            struct.pack("<6I", *header),
            struct.pack(f"<{len(pieces)}f", *data.scores),
            struct.pack(f"<{len(offsets)}I", *offsets),
            struct.pack(f"<{len(order)}I", *order),
            padded(text),
        )
    )


def with_chat(data: Vocabulary, asked: str, source: str) -> Vocabulary:
    """Returns the tokenizer with the chat format that was asked for (codegen.chat.CHOICES): the model's own template, where it
    has one, else, for llama2.c's kind, Llama 2's as llama2.c has it built in. Raises BakeError for a template that can't be
    baked."""
    frame = data.frame
    special = {
        token.text.decode(): (at, token.lstrip, token.rstrip) for at, token in frame.added.items() if token.special
    }
    eos = next((at for at in frame.ends if at != frame.bos), None)
    chat = None
    if asked in FORMATS:
        chat = named_format(asked, special, frame.bos, eos, source)
    elif asked == "auto" and frame.template is not None:
        chat = bake_between(frame.template.source, read_format(frame.template), special)
    elif asked == "auto" and isinstance(data, TokenizerData) and eos is not None:
        chat = named_format("llama2", special, frame.bos, eos, source)
    return replace(data, frame=replace(frame, chat=chat))


def stems(model_path: Path) -> tuple[str, ...]:
    """Lists what the names of a model's companions may begin with: the int8 twin, `<stem>_q8.bin`, shares its float32 one's."""
    return tuple(dict.fromkeys((model_path.stem, model_path.stem.removesuffix("_q8"))))


def companions(model_path: Path, vocab_size: int) -> tuple[str, ...]:
    """Lists the names that a tokenizer beside a model may have; the first that fits is taken."""
    return (*(f"{stem}.tokenizer.bin" for stem in stems(model_path)), f"tok{vocab_size}.bin", "tokenizer.bin")


def find_tokenizer(model_path: Path, vocab_size: int) -> Path | None:
    """Finds the tokenizer beside a model: `<stem>.tokenizer.bin`, `tok<vocab>.bin` or `tokenizer.bin`, the first that fits.

    None when there is none of these. Raises BakeError when there are some but none fits, saying why.
    """
    problems = []
    for name in companions(model_path, vocab_size):
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
