"""Turns the vocabularies of other programs into llama2.c's.

The rules are those of llama2.c's tokenizer.py (350e04f): "▁" is a space, ids 1 and 2 are the texts of BOS and EOS
between line feeds. Of SentencePiece's normalisation only the space before a text is kept, as run.c does: a
model trained with remove_extra_whitespaces (SentencePiece's default) keeps repeated spaces here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.errors import BakeError, shown
from codegen.model import LIMITS
from codegen.tokenizer import BYTE_TOKENS, FIRST_BYTE, TokenizerData, parse, to_bytes

# Kinds of pieces, by SentencePiece's numbers (sentencepiece_model.proto), which GGUF uses as well.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
KINDS = {NORMAL: "normal", UNKNOWN: "unknown", CONTROL: "control", USER_DEFINED: "user-defined", UNUSED: "unused",
         BYTE: "byte"}  # fmt: skip
SPECIAL = {"unk": 0, "bos": 1, "eos": 2}  # the ids that llama2.c's programs have built in
LONGEST_PIECE = 512  # bytes; SentencePiece makes pieces of 16 characters at most unless told otherwise


@dataclass(frozen=True)
class Piece:
    """A piece as another program has it: "▁" for spaces, its score, its kind."""

    text: str
    score: float
    kind: int


def to_llama2c(pieces: list[Piece], source: str) -> TokenizerData:
    """llama2.c's vocabulary of the pieces, by id. Raises BakeError, with the id, for what its encoder can't do."""
    if len(pieces) < FIRST_BYTE + 256:
        raise BakeError(f"{source}: expected at least 259 pieces (3 special, 256 bytes), found {len(pieces)}")
    if len(pieces) > LIMITS["vocab_size"]:
        raise BakeError(f"{source}: expected at most {LIMITS['vocab_size']} pieces, found {len(pieces)}")
    converted = [_convert(at, piece, source) for at, piece in enumerate(pieces)]
    seen: dict[bytes, int] = {}
    for at, text in enumerate(converted):
        if text in seen:
            raise BakeError(f"{source}: piece {at}: expected another text than piece {seen[text]}, found {shown(text)}")
        seen[text] = at
    for at, piece in enumerate(pieces):
        if piece.kind == CONTROL and any(converted[at][:cut] in seen and converted[at][cut:] in seen
                                         for cut in range(1, len(converted[at]))):  # fmt: skip
            raise BakeError(
                f"{source}: piece {at}: {shown(piece.text)} is a control piece that llama2.c's encoder could make "
                "from text; this tokenizer can't be baked"
            )
    data = TokenizerData(tuple(converted), tuple(float(piece.score) for piece in pieces))
    return parse(to_bytes(data), len(pieces), source)


def check_special(source: str, name: str, found: int | None) -> None:
    """Raises BakeError unless the id of "unk", "bos" or "eos" is the one llama2.c has built in."""
    if found != SPECIAL[name]:
        raise BakeError(f"{source}: {name}: expected id {SPECIAL[name]} as in llama2.c, found {found}; can't be baked")


def _convert(at: int, piece: Piece, source: str) -> bytes:
    what = f"{source}: piece {at}: {shown(piece.text)}"
    if FIRST_BYTE <= at < FIRST_BYTE + 256:
        expected = BYTE
    else:
        expected = {0: UNKNOWN, 1: CONTROL, 2: CONTROL}.get(at, CONTROL if piece.kind == CONTROL else NORMAL)
    if piece.kind != expected:
        raise BakeError(
            f"{what}: expected a piece of type {KINDS[expected]}, found {KINDS.get(piece.kind, piece.kind)}; llama2.c "
            "has bytes at ids 3 to 258 and no user-defined or unused pieces"
        )
    try:
        text = piece.text.replace("\u2581", " ").encode("utf-8")
    except UnicodeEncodeError as error:
        raise BakeError(f"{what}: expected text, found a lone surrogate") from error
    if piece.kind == BYTE and text != BYTE_TOKENS[at - FIRST_BYTE]:
        raise BakeError(f"{what}: expected {BYTE_TOKENS[at - FIRST_BYTE].decode()}, the byte of this id")
    if not 1 <= len(text) <= LONGEST_PIECE:
        raise BakeError(f"{what}: expected 1 to {LONGEST_PIECE} bytes, found {len(text)}; is it the right file?")
    if not math.isfinite(piece.score):
        raise BakeError(f"{what}: score: expected a finite number, found {piece.score}; export the tokenizer again")
    return b"\n" + text + b"\n" if at in (1, 2) else text
