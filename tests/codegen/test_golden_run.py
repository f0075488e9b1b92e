"""The golden run against llama2.c's own logits: every bit, at every position of a prompt."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from codegen import golden_run
from codegen.errors import BakeError
from codegen.formats import open_model, open_tokenizer
from codegen.model import Model
from codegen.tensor import FloatArray
from codegen.tokenizer import FIRST_BYTE, TokenizerData

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("STORYBAKE_MODELS", ROOT.parent / "shared" / "models"))


def encode(text: bytes, vocabulary: TokenizerData) -> list[int]:
    """llama2.c's encode() as its source has it: quadratic, for short texts of single-byte characters."""
    def piece_id(piece: bytes) -> int | None:
        return vocabulary.pieces.index(piece) if piece in vocabulary.pieces else None

    characters = [bytes([byte]) for byte in b" " + text]
    ids = [FIRST_BYTE + c[0] if (found := piece_id(c)) is None else found for c in characters]
    while True:
        pairs = [piece_id(vocabulary.pieces[a] + vocabulary.pieces[b]) for a, b in zip(ids, ids[1:])]
        merges = [(-vocabulary.scores[new], at, new) for at, new in enumerate(pairs) if new is not None]
        if not merges:
            return [1, *ids]
        _, at, new = min(merges)
        ids[at : at + 2] = [new]


@pytest.mark.parametrize("name", ["stories260K", "stories260K_q8_g4", "seeded_gqa_untied", "seeded_gqa_untied_q8"])
def test_logits_are_llama2cs(name: str) -> None:
    source = open_model(MODELS / f"{name}.bin")
    vocabulary = open_tokenizer(MODELS / "tok512.bin", source.model.vocab_size)
    tokens = encode((MODELS / "golden" / "prompt.txt").read_bytes(), vocabulary)
    expected = np.fromfile(MODELS / "golden" / f"{name}.logits.f32", "<f4").reshape(-1, source.model.vocab_size)
    logits = golden_run.forward(source, tuple(tokens[: len(expected)]))
    assert len(tokens) >= len(expected) > 50
    assert np.isfinite(expected).all()
    assert logits.tobytes() == expected.tobytes()
