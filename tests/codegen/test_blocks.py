"""GGUF files as they are published, with an encoding a tensor: read by tensor, in pieces, and refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import model_files as files
import numpy as np
import pytest

from codegen.errors import BakeError
from codegen.formats import blocks, open_model
from codegen.formats.blocks import ENCODINGS, decode
from codegen.formats.gguf_file import TENSOR_TYPES
from codegen.quantize import dequantize
from codegen.source import TensorSource
from codegen.tensor import Quantized
from codegen.weights import convert, matrix_bytes, what_it_costs

NUMBERS = {name: number for number, name in TENSOR_TYPES.items()}


def random_blocks(encoding: str, count: int, seed: int) -> bytes:
    """Any bytes, with scales that make weights of a usual size of them."""
    kind = ENCODINGS[encoding]
    random = np.random.default_rng(seed)
    made = np.frombuffer(random.bytes(count * kind.bytes), kind.dtype).copy()
    if kind.dtype.names is None:
        return files.encode(random.standard_normal(count) * 0.1, encoding)
    for name in {"d", "m"} & set(kind.dtype.names):
        made[name] = (random.standard_normal(count) * 1e-3).astype("<f2")
    return made.tobytes()


def mixed(path: Path, kinds: Sequence[str]) -> tuple[TensorSource, files.Tensors]:
    """A GGUF file whose matrices have these encodings in turn, and their values."""
    model, tensors = files.tiny(dim=256, hidden_dim=512, head_size=64, vocab_size=40)
    entries, expected = [], {}
    for at, ((name, layer), values) in enumerate(tensors.items()):
        encoding = "F32" if name.startswith("rms") else kinds[at % len(kinds)]
        dims = values.shape[1:] if name.startswith("rms") else values.shape[::-1]
        raw = random_blocks(encoding, values.size // ENCODINGS[encoding].values, at)
        entries.append(files.GgufTensor(files.full_name(files.GGUF_NAMES, name, layer), dims, NUMBERS[encoding], raw))
        expected[name, layer] = decode(raw, encoding).reshape(values.shape)
    path.write_bytes(files.gguf(files.gguf_kv(model), entries))
    return open_model(path), expected


@pytest.mark.parametrize("floats", [True, False])
def test_a_file_may_mix_encodings(floats: bool, tmp_path: Path) -> None:
    """Without floats among them, the nearest type is what is baked unless another one is asked for."""
    source, expected = mixed(tmp_path / "m.gguf", [name for name in ENCODINGS if floats or "_" in name])
    assert source.model.weight_type == "f32"
    baked = convert(source)
    assert baked.model.weight_type == baked.model.type_of("wcls").name == ("f32" if floats else "q8")
    assert convert(source, "f32").model.weight_type == "f32" and convert(source, "q4").model.weight_type == "q4"
    if not floats:
        near = baked.tensor("wq")
        assert isinstance(near, Quantized)
        assert np.abs(dequantize(near) - expected["wq", 0]).max() <= np.abs(expected["wq", 0]).max() / 250
        words = what_it_costs(source.model, baked.model)
        assert matrix_bytes(baked.model) == 1_189_888 * 17 // 16, "a float32 scale for each 64 weights"
        assert "q8 is near enough, 1.3 MB (4.8 as f32, 2.4 as f16, 0.7 as q4); -Dweights= chooses, tools/evaluate" in words
    for key, values in expected.items():
        assert np.array_equal(source.tensor(*key), values), key
        assert values.std() > 0, key


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pieces_make_the_same_whole(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = random_blocks(encoding, 37, 1)
    whole = decode(raw, encoding)
    monkeypatch.setattr(blocks, "CHUNK", 10 * ENCODINGS[encoding].values)
    assert np.array_equal(decode(raw, encoding), whole) and whole.size == 37 * ENCODINGS[encoding].values


@pytest.mark.parametrize("encoding", sorted(set(NUMBERS) - set(ENCODINGS)))
def test_other_encodings_are_refused_by_name(encoding: str, tmp_path: Path) -> None:
    model, tensors = files.tiny()
    entries = files.gguf_tensors(tensors)
    entries[1].kind = NUMBERS[encoding]
    (tmp_path / "m.gguf").write_bytes(files.gguf(files.gguf_kv(model), entries))
    with pytest.raises(BakeError, match=f"type: expected F32, .*Q6_K, IQ4_NL, found {encoding}; quantise the model"):
        open_model(tmp_path / "m.gguf")
