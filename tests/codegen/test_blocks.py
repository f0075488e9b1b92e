"""GGUF files as they are published, with an encoding a tensor: read by tensor, in pieces, and refused by name."""

from __future__ import annotations

from pathlib import Path

import model_files as files
import numpy as np
import pytest

from codegen.errors import BakeError
from codegen.formats import blocks, open_model
from codegen.formats.blocks import ENCODINGS, decode
from codegen.formats.gguf_file import TENSOR_TYPES

NUMBERS = {name: number for number, name in TENSOR_TYPES.items()}


def random_blocks(encoding: str, count: int, seed: int) -> bytes:
    """Any bytes, with scales that make weights of a usual size of them."""
    kind = ENCODINGS[encoding]
    random = np.random.default_rng(seed)
    made = np.frombuffer(random.bytes(count * kind.bytes), kind.dtype).copy()
    if kind.dtype.names is None:
        return (random.standard_normal(count) * 0.1).astype(made.dtype).tobytes()
    for name in {"d", "m"} & set(kind.dtype.names):
        made[name] = (random.standard_normal(count) * 1e-3).astype("<f2")
    return made.tobytes()


def test_a_file_may_mix_encodings(tmp_path: Path) -> None:
    model, tensors = files.tiny(dim=256, hidden_dim=512, head_size=64, vocab_size=40)
    kinds = sorted(set(ENCODINGS) - {"BF16"})
    entries, expected = [], {}
    for at, ((name, layer), values) in enumerate(tensors.items()):
        encoding = "F32" if name.startswith("rms") else kinds[at % len(kinds)]
        dims = values.shape[1:] if name.startswith("rms") else values.shape[::-1]
        raw = random_blocks(encoding, values.size // ENCODINGS[encoding].values, at)
        entries.append(files.GgufTensor(files.full_name(files.GGUF_NAMES, name, layer), dims, NUMBERS[encoding], raw))
        expected[name, layer] = decode(raw, encoding).reshape(values.shape)
    (tmp_path / "m.gguf").write_bytes(files.gguf(files.gguf_kv(model), entries))
    source = open_model(tmp_path / "m.gguf")
    assert source.model.weight_type == "f32"
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
