"""The golden text against the runtime's own tokenizer and llama2.c's sampler, whose draws were written down."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import byte_level_files
import numpy as np
import pytest
import seeded
from conftest import RuntimeTokens

from codegen.formats import open_tokenizer
from codegen.frame import Added
from codegen.golden_text import TEXT, coin, decode, draw, encode, golden_text
from codegen.tokenizer import TokenizerData, Vocabulary, bake

LETTERS = [bytes([byte]) for byte in range(256)]
MERGES = [(b"O", b"n"), (b"c", b"e"), (b"On", b"ce"), (b" ", b"u"), (b"p", b"o"), (b" u", b"po"), (b"m", b"e"), (b" ", b"a")]


def byte_level(folder: Path, rule: str) -> Vocabulary:
    made = byte_level_files.ByteLevel(rule, LETTERS + [a + b for a, b in MERGES], MERGES, {"<|bos|>": True})
    (folder / "b.gguf").write_bytes(byte_level_files.gguf(made))
    return open_tokenizer(folder / "b.gguf")


def llama(spaces: str, scores: float = 1.0) -> TokenizerData:
    data = seeded.tokenizer(600)
    frame = data.frame.with_spaces(spaces, strip=True)
    return dataclasses.replace(data, frame=frame, scores=tuple(scores * score for score in data.scores))


@pytest.mark.parametrize("spaces", ["none", "each", "each without", "first without", "first"])
def test_ids_are_the_runtimes(spaces: str, runtime_tokens: RuntimeTokens) -> None:
    """Of llama2.c's kind, with the scores in either order, and all equal."""
    for scores in (1.0, -1.0, 0.0):
        data = llama(spaces, scores)
        found = encode(data, TEXT)
        assert found == runtime_tokens(bake(data), len(data.pieces), [TEXT.encode()])[0][0]
        assert len(found) < len(TEXT), "nothing was merged"


@pytest.mark.parametrize("rule", ["gpt2", "llama3", "qwen2"])
def test_byte_level_ids_are_the_runtimes(rule: str, tmp_path: Path, runtime_tokens: RuntimeTokens) -> None:
    data = byte_level(tmp_path, rule)
    found = encode(data, TEXT)
    assert found == runtime_tokens(bake(data), len(data.pieces), [TEXT.encode()])[0][0]
    assert len(found) < len(TEXT)
    assert decode(data, [at for at in found if at not in data.frame.before]) == TEXT.encode()


def test_a_text_with_a_token_in_it_is_left_out() -> None:
    data = llama("first")
    logits = np.linspace(0, 4, len(data.pieces), dtype=np.float32)
    assert golden_text(data, logits).text == TEXT
    found = dataclasses.replace(data, frame=dataclasses.replace(data.frame, added={300: Added(b"upon", special=True)}))
    assert golden_text(found, logits).text == "" and golden_text(found, logits).ids == (1,)


def test_draws() -> None:
    """By hand: xorshift64* of Vigna's paper, and tokens of a distribution that is known."""
    assert coin(1) == np.float32((0x47E4CE4B896CDD1D >> 32 >> 8) / 2**24)
    logits = np.log(np.array([1, 5, 3, 1], np.float32)) * np.float32(0.9)
    sums = [0.1, 0.6, 0.9, 1.0]
    for seed in range(1, 40):
        assert draw(logits, 1.0, seed) == next(at for at, limit in enumerate(sums) if coin(seed) < limit)
        likely = [(1, 0.5), (2, 0.8), (0, 0.9)]  # and no more: they exceed 0.85
        assert draw(logits, 0.85, seed) == next(token for token, limit in likely if coin(seed) * 0.9 < limit)
    assert {draw(logits, 1.0, seed) for seed in range(1, 40)} == {0, 1, 2, 3}
