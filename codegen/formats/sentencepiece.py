"""Reads SentencePiece's tokenizer.model (a protobuf) of the kind that llama models have: BPE with byte fallback.

Fields: sentencepiece_model.proto of https://github.com/google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from codegen.errors import BakeError
from codegen.formats.vocabulary import NORMAL, Piece, check_special, to_llama2c
from codegen.tokenizer import TokenizerData

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 1 << 20  # in a message: more than the pieces of any vocabulary
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


def looks_like_sentencepiece(head: bytes) -> bool:
    """Whether a file begins with a first piece whose first field is its text. No tokenizer.bin does: its longest piece
    would have 655370 bytes or more."""
    return head[:1] == b"\n" and head[2:3] == b"\n"


def read_model(data: bytes, source: str) -> TokenizerData:
    """llama2.c's vocabulary of the tokenizer.model in `data`. Raises BakeError with the offset or field at fault."""
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for field, value in _fields(data, source):
        if field not in (1, 2, 3, 4, 5) or not isinstance(value, bytes):
            raise BakeError(f"{source}: expected fields 1 to 5 of a tokenizer.model, found field {field}")
        if field == 1:
            pieces.append(_piece(value, f"{source}: piece {len(pieces)}"))
        elif field == 2:
            trainer.update(_fields(value, f"{source}: trainer_spec"))
        elif field == 3:
            normalizer.update(_fields(value, f"{source}: normalizer_spec"))

    expected: tuple[tuple[str, int | bytes, int | bytes, str], ...] = (
        ("model_type", MODEL_TYPES.get(_int(trainer, 3, 1), "unknown").encode(), b"bpe", "BPE"),
        ("byte_fallback", _int(trainer, 35, 0), 1, "true"),
        ("treat_whitespace_as_suffix", _int(trainer, 24, 0), 0, "false"),
        ("precompiled_charsmap", len(_bytes(normalizer, 2)), 0, "none (normalization_rule_name=identity)"),
        ("add_dummy_prefix", _int(normalizer, 3, 1), 1, "true"),
        ("escape_whitespaces", _int(normalizer, 5, 1), 1, "true"),
    )
    for name, found, needed, words in expected:
        if found != needed:
            raise BakeError(f"{source}: {name}: expected {words}, found {found!r}; this tokenizer can't be baked")
    for number, (name, default) in {40: ("unk", 0), 41: ("bos", 1), 42: ("eos", 2)}.items():
        check_special(source, name, _int(trainer, number, default))
    return to_llama2c(pieces, source)


def _piece(data: bytes, source: str) -> Piece:
    text, score, kind = b"", 0.0, NORMAL
    for field, value in _fields(data, source):
        if field == 1 and isinstance(value, bytes):
            text = value
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            kind = value
        else:
            raise BakeError(f"{source}: expected text, score and type, found field {field}; is it a tokenizer.model?")
    try:
        return Piece(text.decode("utf-8"), score, kind)
    except UnicodeDecodeError as error:
        raise BakeError(f"{source}: expected UTF-8, found {text[:20]!r}; download the file again") from error


def _fields(data: bytes, source: str) -> Iterator[tuple[int, int | bytes]]:
    """Each field of a message: its number, and an integer for varints or the bytes of all other wire types."""
    at = count = 0
    while at < len(data):
        begin, count = at, count + 1
        if count > MOST_FIELDS:
            raise BakeError(f"{source}: expected at most {MOST_FIELDS} fields, found more; is it a tokenizer.model?")
        key, at = _varint(data, at, source)
        field, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = _varint(data, at, source)
            yield field, value
            continue
        if wire == BYTES:
            length, at = _varint(data, at, source)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise BakeError(f"{source}: byte {begin}: expected a protobuf field, found wire type {wire}")
        if field == 0 or length > len(data) - at:
            raise BakeError(f"{source}: byte {begin}: field {field} of {length} bytes, found {len(data) - at} left")
        yield field, data[at : at + length]
        at += length


def _varint(data: bytes, at: int, source: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BakeError(f"{source}: byte {at}: expected a number, found the end; download the file again")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise BakeError(f"{source}: byte {at}: expected a number of 10 bytes at most; is it a tokenizer.model?")


def _int(message: dict[int, int | bytes], field: int, default: int) -> int:
    value = message.get(field, default)
    return value if isinstance(value, int) else -1


def _bytes(message: dict[int, int | bytes], field: int) -> bytes:
    value = message.get(field, b"")
    return value if isinstance(value, bytes) else b"?"
