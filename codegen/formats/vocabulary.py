"""Turns the vocabularies of other programs into llama2.c's.

The rules are those of llama2.c's tokenizer.py (350e04f): "▁" is a space, ids 1 and 2 are the texts of BOS and EOS
between line feeds, and the bytes are at ids 3 to 258; Gemma has them elsewhere. Of SentencePiece's normalisation only the
space before a text is kept, as run.c does: a model trained with remove_extra_whitespaces (SentencePiece's default) keeps
repeated spaces here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.errors import BakeError, shown
from codegen.frame import Frame
from codegen.model import LIMITS
from codegen.tokenizer import BYTE_TOKENS, FIRST_BYTE, TokenizerData

# Numbers the kinds of pieces as SentencePiece does (sentencepiece_model.proto), and GGUF as well.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
NONE = 0  # marks an id without a piece
KINDS = {NORMAL: "normal", UNKNOWN: "unknown", CONTROL: "control", USER_DEFINED: "user-defined", UNUSED: "unused",
         BYTE: "byte"}  # fmt: skip
LONGEST_PIECE = 512  # limits the bytes; SentencePiece makes pieces of 16 characters at most unless told otherwise


@dataclass(frozen=True)
class Piece:
    """Holds a piece as another program has it: "▁" for spaces, its score, its kind."""

    text: str
    score: float
    kind: int


def to_llama2c(pieces: list[Piece], frame: Frame, source: str) -> TokenizerData:
    """Makes llama2.c's vocabulary of the pieces, by id. Raises BakeError, with the id, for what its encoder can't do."""
    if len(pieces) < FIRST_BYTE + 256:
        raise BakeError(f"{source}: expected at least 259 pieces (3 special, 256 bytes), found {len(pieces)}")
    if len(pieces) > LIMITS["vocab_size"]:
        raise BakeError(f"{source}: expected at most {LIMITS['vocab_size']} pieces, found {len(pieces)}")
    first = first_byte([piece.text for piece in pieces])
    converted = [_convert(at, piece, first, source) for at, piece in enumerate(pieces)]
    apart = frozenset(at for at, piece in enumerate(pieces) if piece.kind not in (NORMAL, BYTE, UNKNOWN))
    seen: dict[bytes, int] = {}
    for at, text in enumerate(converted):
        if at not in apart and seen.setdefault(text, at) != at:
            raise BakeError(f"{source}: piece {at}: expected another text than piece {seen[text]}, found {shown(text)}")
    if b" " not in seen:
        raise BakeError(f"{source}: found no piece for a single space, need one to begin a prompt with: export it again")
    return TokenizerData(tuple(converted), tuple(float(piece.score) for piece in pieces), apart, frame, first)


def first_byte(texts: list[str]) -> int:
    """Returns the id of <0x00>: llama2.c's, or where it is when that is another piece."""
    zero = BYTE_TOKENS[0].decode()
    return FIRST_BYTE if zero not in texts or texts[FIRST_BYTE] == zero else texts.index(zero)


def _convert(at: int, piece: Piece, first: int, source: str) -> bytes:
    if piece.kind in (NONE, UNUSED):
        return b""
    what = f"{source}: piece {at}: {shown(piece.text)}"
    expected: tuple[int, ...] = (BYTE,)
    if not first <= at < first + 256:
        expected = (NORMAL, CONTROL, USER_DEFINED)
        if first != FIRST_BYTE:
            expected += (UNKNOWN,)
        elif at == 0:
            expected = (UNKNOWN,)
    if piece.kind not in expected:
        raise BakeError(
            f"{what}: expected a piece of type {' or '.join(KINDS[kind] for kind in expected)}, found "
            f"{KINDS.get(piece.kind, piece.kind)}; can't be baked"
        )
    try:
        text = piece.text.replace("\u2581", " ").encode("utf-8")
    except UnicodeEncodeError as error:
        raise BakeError(f"{what}: expected text, found a lone surrogate") from error
    if piece.kind == BYTE and text != BYTE_TOKENS[at - first]:
        raise BakeError(f"{what}: expected {BYTE_TOKENS[at - first].decode()}, the byte of this id")
    if not 1 <= len(text) <= LONGEST_PIECE:
        raise BakeError(f"{what}: expected 1 to {LONGEST_PIECE} bytes, found {len(text)}; is it the right file?")
    if 0 in text:
        raise BakeError(f"{what}: found a zero byte, need text: export the tokenizer again")
    if not math.isfinite(piece.score):
        raise BakeError(f"{what}: score: expected a finite number, found {piece.score}; export the tokenizer again")
    return b"\n" + text + b"\n" if at in (1, 2) else text
