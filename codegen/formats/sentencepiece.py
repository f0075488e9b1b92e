"""Reads SentencePiece's tokenizer.model (a protobuf) of the kind that llama models have: BPE with byte fallback.

Fields: sentencepiece_model.proto of https://github.com/google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from codegen.errors import BakeError, shown
from codegen.formats.beside import Beside
from codegen.formats.json_parts import SPACE
from codegen.formats.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, Piece, to_llama2c
from codegen.frame import END_NAMES, Added, Frame
from codegen.model import LIMITS
from codegen.tokenizer import TokenizerData

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_FIELDS = 1 << 20  # limits those of a message: more than the pieces of any vocabulary
IDS = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2)}  # has their fields in trainer_spec, and what they are by default
MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


def looks_like_sentencepiece(head: bytes) -> bool:
    """Tells whether a file begins with a first piece whose first field is its text. No tokenizer.bin does: its longest piece
    would have 655370 bytes or more."""
    return head[:1] == b"\n" and head[2:3] == b"\n"


def read_model(data: bytes, source: str, beside: Beside = Beside(), most: int = LIMITS["vocab_size"]) -> TokenizerData:
    """Makes llama2.c's vocabulary of the tokenizer.model in `data`, of about `most` pieces. Raises BakeError with the offset or
    field at fault."""
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for field, value in _fields(data, source):
        if field not in (1, 2, 3, 4, 5) or not isinstance(value, bytes):
            raise BakeError(f"{source}: expected fields 1 to 5 of a tokenizer.model, found field {field}")
        if field == 1:
            pieces.append(_piece(value, source, len(pieces)))
            if len(pieces) > most:
                raise BakeError(f"{source}: expected {most} pieces at most, found more; give the tokenizer of this model")
        elif field == 2:
            trainer.update(_fields(value, f"{source}: trainer_spec"))
        elif field == 3:
            normalizer.update(_fields(value, f"{source}: normalizer_spec"))

    kind = MODEL_TYPES.get(_int(trainer, 3, 1), "another kind")
    if kind != "bpe":
        raise BakeError(f"{source}: model_type: expected BPE, found {kind}; this tokenizer can't be baked")
    expected: tuple[tuple[str, int, int, str], ...] = (
        ("byte_fallback", _int(trainer, 35, 0), 1, "true"),
        ("treat_whitespace_as_suffix", _int(trainer, 24, 0), 0, "false"),
        ("precompiled_charsmap", len(_bytes(normalizer, 2)), 0, "none (normalization_rule_name=identity)"),
        ("escape_whitespaces", _int(normalizer, 5, 1), 1, "true"),
    )
    for name, found, needed, words in expected:
        if found != needed:
            raise BakeError(f"{source}: {name}: expected {words}, found {shown(found)}; this tokenizer can't be baked")
    ids = {name: _int(trainer, number, default) for name, (number, default) in IDS.items()}
    return to_llama2c(pieces, _frame(pieces, ids, _int(normalizer, 3, 1) == 1, beside, source), source)


def _frame(pieces: list[Piece], ids: dict[str, int], dummy_prefix: bool, beside: Beside, source: str) -> Frame:
    """Finds what is around the words. SentencePiece finds user-defined pieces in a text, after spaces were put in; transformers
    finds special tokens as well, and those that the files beside the model add."""
    if not 0 <= ids["bos"] < len(pieces):
        raise BakeError(f"{source}: bos: expected an id below {len(pieces)}, found {ids['bos']}; can't be baked")
    added = {
        at: Added(piece.text.replace("\u2581", " ").encode("utf-8", "replace"), special=False, normalized=True)
        for at, piece in enumerate(pieces)
        if piece.kind == USER_DEFINED and piece.text
    }
    texts = {piece.text: at for at, piece in enumerate(pieces)}
    for text in beside.tokens.values():
        if text in texts:
            added[texts[text]] = Added(text.encode(), special=True)
    for at, token in sorted(beside.added.items()):
        if at > len(pieces) or (at < len(pieces) and pieces[at].text != token.text.decode()):
            found = shown(pieces[at].text) if at < len(pieces) else "a gap in the ids"
            raise BakeError(
                f"added tokens: {at}: expected {shown(token.text)} as in {source}, found {found}; "
                "download both again"
            )
        if at == len(pieces):
            pieces.append(Piece(token.text.decode(), 0.0, CONTROL if token.special else USER_DEFINED))
            texts.setdefault(token.text.decode(), at)
        if at not in added or SPACE not in pieces[at].text:  # which SentencePiece finds where there are spaces
            added[at] = token
    ends = [ids["eos"]] if 0 <= ids["eos"] < len(pieces) else []
    ends += beside.all_ends(texts)
    ends += [at for at, piece in enumerate(pieces) if piece.kind == CONTROL and piece.text in END_NAMES]
    add_bos = True if beside.add_bos is None else beside.add_bos
    spaces = dummy_prefix if beside.add_space is None else beside.add_space
    bos = beside.bos(texts)
    bos = ids["bos"] if bos is None else bos
    return Frame(
        bos,
        tuple(dict.fromkeys(ends)),
        (bos,) if add_bos else (),
        tuple(ends[:1]) if beside.add_eos else (),
        added,
        tuple(at for at, piece in enumerate(pieces) if piece.kind == UNUSED),
        "first" if spaces else "none",
        spaces,
        template=beside.template,
    )


def _piece(data: bytes, source: str, at: int) -> Piece:
    text, score, kind = b"", 0.0, NORMAL
    for field, value in _fields(data, source):
        if field == 1 and isinstance(value, bytes):
            text = value
        elif field == 2 and isinstance(value, bytes) and len(value) == 4:
            (score,) = struct.unpack("<f", value)
        elif field == 3 and isinstance(value, int):
            kind = value
        else:
            raise BakeError(f"{source}: piece {at}: expected text, score and type, found field {field}; is it a tokenizer.model?")
    try:
        return Piece(text.decode("utf-8"), score, kind)
    except UnicodeDecodeError as error:
        raise BakeError(f"{source}: piece {at}: expected UTF-8, found {shown(text)}; download the file again") from error


def _fields(data: bytes, source: str) -> Iterator[tuple[int, int | bytes]]:
    """Yields each field of a message: its number, and an integer for varints or the bytes of all other wire types."""
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
