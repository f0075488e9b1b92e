"""An independent judge: llama.cpp finds the same token ids, ends and logits in seeded GGUF files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import byte_level_files
import llama_cpp
import model_files as files
import numpy as np
import pytest
import vocabulary_files as given
from conftest import RuntimeTokens
from model_files import BOOL, STRING, U32

from codegen import golden_run
from codegen.formats import open_model, open_tokenizer
from codegen.formats.blocks import ENCODINGS, decode
from codegen.golden_run import forward
from codegen.tokenizer import bake

pytestmark = pytest.mark.skipif(not llama_cpp.there(), reason=llama_cpp.MISSING)
# a space, words, and what is found whole, glued together
TEXTS = ["a", " a", "ab b", "a<|im_start|>ab b<|im_end|>\n", "<b>a <b>", "<|im_end|><|im_start|>", "\u00e9 \U0001f999", "a  b   ab",
         "the them\n\nthen 12 345's", "[PAD0]x", "<start_of_turn>a\n\n\nb  a   b<end_of_turn>"]  # fmt: skip
SPECIAL = {"<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<b>": False}


def llama_pieces() -> given.Pieces:
    return [*given.tiny_pieces(), ("<|im_start|>", 0.0, 3), ("<|im_end|>", 0.0, 3), ("<b>", 0.0, 4), ("<|eom_id|>", 0.0, 3),
            ("[PAD0]", 0.0, 5)]  # fmt: skip


def llama(folder: Path, **changes: Any) -> Path:
    return gguf(folder, given.gguf_keys(llama_pieces(), **changes), len(llama_pieces()))


def gemma(folder: Path) -> Path:
    pieces = given.gemma_pieces(given.tiny_pieces())
    return gguf(folder, given.gemma_keys(pieces), len(pieces))


def byte_level(folder: Path, rule: str, **changes: Any) -> Path:
    text = "the them then there their they the 12 123 1234 ab abab ababab baba é éa" * 3
    tokenizer = byte_level_files.train(text, rule, 12, SPECIAL, ignore_merges=rule == "llama3")
    return gguf(folder, byte_level_files.gguf_keys(tokenizer, **changes), tokenizer.size)


def gguf(folder: Path, keys: files.KV, size: int) -> Path:
    """A whole model of random weights with a tokenizer."""
    model, tensors = files.tiny(vocab_size=size, seq_len=256)
    (folder / "m.gguf").write_bytes(files.gguf(files.gguf_kv(model) | keys, files.gguf_tensors(tensors)))
    return folder / "m.gguf"


CASES: dict[str, Any] = {
    "llama": lambda folder: llama(folder),
    "no BOS": lambda folder: llama(folder, add_bos_token=(BOOL, 0)),
    "no space": lambda folder: llama(folder, add_space_prefix=(BOOL, 0)),
    "another BOS and EOS": lambda folder: llama(folder, bos_token_id=(U32, 265), eos_token_id=(U32, 266)),
    "eot": lambda folder: llama(folder, eot_token_id=(U32, 264), eom_token_id=(U32, 263)),
    "gemma": lambda folder: gemma(folder),
    "gpt-2": lambda folder: byte_level(folder, "gpt2"),
    "gpt-2 with BOS": lambda folder: byte_level(folder, "gpt2", add_bos_token=(BOOL, 1)),
    "smollm": lambda folder: byte_level(folder, "gpt2 with single digits"),
    "llama 3": lambda folder: byte_level(folder, "llama3", add_bos_token=None),
    "qwen 2": lambda folder: byte_level(folder, "qwen2", pre=(STRING, "qwen2")),
}


@pytest.mark.parametrize("case", CASES)
def test_ids_and_ends_are_llama_cpps(case: str, tmp_path: Path, runtime_tokens: RuntimeTokens) -> None:
    path = CASES[case](tmp_path)
    data = open_tokenizer(path)
    theirs = llama_cpp.judge(path, TEXTS)
    found = runtime_tokens(bake(data), len(data.pieces), [text.encode() for text in TEXTS])
    assert [ids for ids, _ in found] == theirs.ids
    assert theirs.ends and set(data.frame.ends) == theirs.ends | {data.frame.bos}


MODELS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"shared": False},
    "another base and epsilon": {"rope_theta": 500000.0, "norm_eps": 1e-6},
    "longer heads": {"head_size": 16},
    "a head of its own for each query": {"n_kv_heads": 4},
    "one head": {"n_heads": 1, "n_kv_heads": 1, "head_size": 32},
    "Llama 3": {"rope_theta": 500000.0, "rope_factors": (1.0, 1.25, 2.5, 8.0), "seq_len": 320},
    "a linear factor": {"rope_factors": (4.0,) * 4},
    "Qwen 2": {"family": "qwen2"},
    "Qwen 2, untied": {"family": "qwen2", "shared": False, "n_heads": 2, "n_kv_heads": 1, "head_size": 16},
    "Qwen 3": {"family": "qwen3", "head_size": 16, "seq_len": 320},
    "Qwen 3, one key/value head": {"family": "qwen3", "shared": False, "n_kv_heads": 1},
    "SmolLM 3": {"family": "smollm3", "n_layers": 9},
    "Gemma": {"family": "gemma", "head_size": 16},
    "Gemma without w2": {"family": "gemma", "n_kv_heads": 1, "seq_len": 320},
    "Gemma 2": {"family": "gemma2", "n_layers": 4, "window": 12, "head_size": 16},
    "Gemma 2 without w2": {"family": "gemma2", "n_layers": 4, "window": 20, "seq_len": 320},
    "Gemma 3": {"family": "gemma3_text", "n_layers": 7, "head_size": 16, "window": 12, "rope_theta": 1000000.0, "seq_len": 96},
    "Gemma 3, a linear factor": {"family": "gemma3_text", "n_layers": 7, "n_kv_heads": 1, "rope_factors": (8.0,) * 4},
    "Gemma 3 without w2": {"family": "gemma3_text", "n_layers": 13, "window": 20, "seq_len": 320},
}


def gelu_of_ggml(h: np.ndarray, gelu: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """ggml takes GELU from a table: of the float16 next to h, a float16. Else, from 10 on, it is h or 0."""
    rounded = gelu(h.astype("<f2").astype("<f4")).astype("<f2").astype("<f4")
    return np.where(np.abs(h) < 10, rounded, np.maximum(h, 0)).astype("<f4")


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_llama_cpps(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits that a program proves itself by (--selftest), for as many positions as the model has. Those of a Gemma with
    ggml's GELU, which may round a value to the other neighbour: without w2, what is behind it does not matter."""
    gelu = golden_run.gelu
    monkeypatch.setattr(golden_run, "gelu", lambda h: gelu_of_ggml(h, gelu))
    pieces = llama_pieces()
    model, tensors = files.tiny(**{"vocab_size": len(pieces), "seq_len": 48} | MODELS[name])
    # Scales them so that a softmax has more than one score to tell of.
    tensors = {key: values * np.float32(values.shape[1] ** -0.5) for key, values in tensors.items()}
    if "without w2" in name:
        tensors = {key: values * np.float32(key[0] != "w2") for key, values in tensors.items()}
    path = tmp_path / "m.gguf"
    path.write_bytes(files.gguf_of(model, tensors, MODELS[name].get("family", "llama"), given.gguf_keys(pieces)))
    tokens = tuple(int(at) for at in np.random.default_rng(7).integers(0, len(pieces), model.seq_len))
    ours, theirs = forward(open_model(path), tokens), np.array(llama_cpp.judge(path, tokens=tokens).logits, "<f4")
    assert ours.shape == theirs.shape
    bar = 1e-3 if model.glu == "geglu" and "without w2" not in name else 2e-4
    assert (np.abs(ours - theirs).max(axis=1) <= bar * ours.std(axis=1)).all()
    assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if "_" in name])
def test_blocks_mean_what_they_do_to_ggml(encoding: str) -> None:
    """Any bytes, but for scales that are no numbers: NaN has no bits of its own."""
    kind = ENCODINGS[encoding]
    random = np.random.default_rng(len(encoding) + kind.bytes)
    blocks = np.frombuffer(random.bytes(400 * kind.bytes), kind.dtype).copy()
    for name in {"d", "m"} & set(kind.dtype.names or ()):
        blocks[name] = random.standard_normal(400).astype("<f2")
        blocks[name][:4] = (0, -0.0, 2**-24, 65504)
    raw, count = blocks.tobytes(), 400 * kind.values
    theirs = np.frombuffer(llama_cpp.dequantized(encoding, raw, count), np.uint32)
    assert np.array_equal(decode(raw, encoding).view(np.uint32), theirs)
    assert len(np.unique(theirs)) > 100
