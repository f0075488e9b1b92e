"""True data through every format: the tensors come back bit for bit, whoever wrote the file."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import at_hand
import model_files as files
import numpy as np
import pytest

from codegen.checkpoint import open_checkpoint
from codegen.errors import BakeError
from codegen.formats import open_model
from codegen.golden_run import forward
from codegen.model import Model
from codegen.source import TensorSource, cut_vocabulary
from codegen.tensor import Quantized

CHECKPOINTS = ("seeded260K", "seeded_gqa_untied")


@pytest.fixture(params=CHECKPOINTS)
def checkpoint(request: pytest.FixtureRequest) -> tuple[Model, files.Tensors]:
    return files.load(at_hand.model(request.param))


def assert_same(source: TensorSource, model: Model, tensors: files.Tensors) -> None:
    """The dimensions and constants (not the name), and the bits of every tensor."""
    assert {**vars(source.model), "name": ""} == {**vars(model), "name": ""}
    for key, expected in tensors.items():
        found = source.tensor(*key)
        assert isinstance(found, np.ndarray), key
        assert found.dtype == np.float32 and found.shape == expected.shape, key
        assert found.tobytes() == expected.astype("<f4").tobytes(), key


def test_llama2c(checkpoint: tuple[Model, files.Tensors]) -> None:
    model, tensors = checkpoint
    assert_same(open_model(at_hand.model(model.name)), model, tensors)


def test_hugging_face(checkpoint: tuple[Model, files.Tensors], tmp_path: Path) -> None:
    folder = files.hf_folder(tmp_path / "story-model-v1.0", *checkpoint)
    assert_same(open_model(folder), *checkpoint)
    assert open_model(folder).model.name == "story-model-v1_0"


def test_hugging_face_in_two_files(checkpoint: tuple[Model, files.Tensors], tmp_path: Path) -> None:
    folder = files.hf_folder(tmp_path / "sharded", *checkpoint)
    (folder / "model.safetensors").unlink()
    entries = files.hf_entries(*checkpoint)
    parts = {
        "model-00001-of-00002.safetensors": sorted(entries)[::2],
        "model-00002-of-00002.safetensors": sorted(entries)[1::2],
    }
    where = {}
    for part, names in parts.items():
        (folder / part).write_bytes(files.safetensors({name: entries[name] for name in names}))
        where |= dict.fromkeys(names, part)
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": where})
    (folder / "model.safetensors.index.json").write_text(index)
    assert_same(open_model(folder), *checkpoint)


def test_the_order_of_rows_is_that_of_hugging_faces_rope(tmp_path: Path) -> None:
    """Attention scores by transformers' formula (halves) on its weights, by llama2.c's (neighbours) on those read."""
    model, tensors = files.tiny(seq_len=8)
    source = open_model(files.hf_folder(tmp_path / "folder", model, tensors))
    entries = files.hf_entries(model, tensors)
    size, x = model.head_size, np.random.default_rng(2).standard_normal((model.seq_len, model.dim))
    angles = np.outer(np.arange(model.seq_len), model.rope_theta ** (-np.arange(0, size, 2) / size))[:, None, :]

    def scores(name: str, rows: str, count: int) -> np.ndarray:
        weight = np.frombuffer(entries[f"model.layers.1.self_attn.{rows}.weight"][2], "<f4")
        theirs = (x @ weight.reshape(-1, model.dim).T).reshape(model.seq_len, count, size)
        both = np.concatenate((angles, angles), axis=-1)
        turned = np.concatenate((-theirs[..., size // 2 :], theirs[..., : size // 2]), axis=-1)
        theirs = theirs * np.cos(both) + turned * np.sin(both)
        ours = (x @ np.asarray(source.tensor(name, 1)).T).reshape(model.seq_len, count, size // 2, 2)
        even, odd = ours[..., 0], ours[..., 1]
        cos, sin = np.cos(angles), np.sin(angles)
        ours = np.stack((even * cos - odd * sin, even * sin + odd * cos), -1)
        return np.stack((theirs, ours.reshape(theirs.shape)))

    q, k = scores("wq", "q_proj", model.n_heads), scores("wk", "k_proj", model.n_kv_heads)
    theirs, ours = np.einsum("fthd,fshd->fhts", q, np.repeat(k, model.kv_mul, axis=2))
    assert np.abs(theirs).max() > 10
    assert np.allclose(theirs, ours, rtol=1e-5, atol=1e-4)


def test_gguf(checkpoint: tuple[Model, files.Tensors], tmp_path: Path) -> None:
    model, tensors = checkpoint
    path = tmp_path / "model.bin"  # the suffix says nothing
    for options in ({}, {"version": 2}, {"pad_end": False}, {"alignment": 64}):
        kv = files.gguf_kv(model, general__alignment=(files.U32, options.get("alignment", 32)))
        path.write_bytes(files.gguf(kv, files.gguf_tensors(tensors), **options))
        assert_same(open_model(path), model, tensors)


def test_pt(checkpoint: tuple[Model, files.Tensors], tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    for prefix in ("_orig_mod.", ""):
        saved, data = files.pt_saved(*checkpoint, prefix)
        path.write_bytes(files.pt_zip(saved, data, byteorder=b"little"))
        assert_same(open_model(path), *checkpoint)


def test_pt_of_pytorch(checkpoint: tuple[Model, files.Tensors], tmp_path: Path) -> None:
    """As train.py saves: a compiled model's names, an optimizer's state, a loss that is a tensor, numbers and text."""
    torch = pytest.importorskip("torch", reason="the independent writer of .pt is PyTorch (Debian: python3-torch)")
    model, tensors = checkpoint
    state: dict[str, Any] = {}
    for (name, layer), values in tensors.items():
        shaped = values.reshape(-1) if name.startswith("rms") else values
        weight = torch.nn.Parameter(torch.from_numpy(shaped.copy()))
        state[f"_orig_mod.{files.PT_NAMES[name].format(layer)}.weight"] = weight
    parameters = list(state.values())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.95))
    state = {name: weight.detach() for name, weight in state.items()}
    if model.shared_classifier:
        state["_orig_mod.output.weight"] = state["_orig_mod.tok_embeddings.weight"]
    state["_orig_mod.layers.0.attention.mask"] = torch.full((1, 1, 4, 4), float("-inf")).triu(1)
    copies = {name: weight.clone() for name, weight in state.items() if "output" not in name}
    for weight in parameters:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    if model.shared_classifier:
        copies["_orig_mod.output.weight"] = copies["_orig_mod.tok_embeddings.weight"]
    else:
        copies["_orig_mod.output.weight"] = torch.from_numpy(tensors["wcls", 0].copy())
    ordered = OrderedDict(copies)
    ordered._metadata = OrderedDict({"": {"version": 1}})
    saved = {
        "model": ordered,
        "optimizer": optimizer.state_dict(),
        "model_args": files.pt_args(model),
        "iter_num": 100,
        "best_val_loss": torch.tensor(1.07),
        "config": {"out_dir": "out", "decay_lr": True, "beta2": 0.95},
    }
    torch.save(saved, tmp_path / "ckpt.pt")
    assert_same(open_model(tmp_path / "ckpt.pt"), model, tensors)


@pytest.mark.parametrize("encoding", ["F16", "BF16"])
def test_half_precision_is_read_exactly(encoding: str, tmp_path: Path) -> None:
    model, tensors = files.tiny(shared=False)
    tensors["w1", 0][0, :4] = [0.0, 6e-8, 65504.0, -1e-7]  # subnormal in float16, and its largest
    expected = {key: files.decoded(values, encoding) for key, values in tensors.items()}
    assert_same(open_model(files.hf_folder(tmp_path / "half", model, tensors, encoding)), model, expected)
    path = tmp_path / "half.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors, encoding)))
    norms = {key: values for key, values in tensors.items() if key[0].startswith("rms")}
    assert_same(open_model(path), model, expected | norms)


def test_q4_0_is_read_as_float32(tmp_path: Path) -> None:
    model, tensors = files.tiny()
    path = tmp_path / "q4.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors, "Q4_0")))
    expected = {k: v if k[0].startswith("rms") else files.decoded(v, "Q4_0") for k, v in tensors.items()}
    assert_same(open_model(path), replace(model, nearest="q8"), expected)


def test_q8_0_stays_int8(tmp_path: Path) -> None:
    model, tensors = files.tiny(shared=False)
    path = tmp_path / "q8.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors, "Q8_0")))
    source = open_model(path)
    assert (source.model.weight_type, source.model.group_size) == ("q8", 32)
    for key, values in tensors.items():
        found = source.tensor(*key)
        if key[0].startswith("rms"):
            assert isinstance(found, np.ndarray) and (found == values).all()
            continue
        assert isinstance(found, Quantized) and found.q.shape == values.shape
        assert found.q.dtype == np.int8 and found.s.dtype == np.float32
        assert (found.q * np.repeat(found.s, 32, axis=1) == files.decoded(values, "Q8_0")).all(), key


def test_one_float_matrix_makes_the_whole_model_float(tmp_path: Path) -> None:
    model, tensors = files.tiny(shared=False)
    entries = files.gguf_tensors(tensors, "Q8_0")
    entries[-1] = files.gguf_tensors(tensors)[-1]
    path = tmp_path / "mixed.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(model), entries))
    source = open_model(path)
    assert source.model.weight_type == "f32"
    assert (source.tensor("wq", 1) == files.decoded(tensors["wq", 1], "Q8_0")).all()


def test_constants_travel(tmp_path: Path) -> None:
    """RoPE base, norm epsilon and head size; a float32 in GGUF as the decimal that was meant."""
    model, tensors = files.tiny(head_size=16, rope_theta=500000.0, norm_eps=1e-6)
    assert_same(open_model(files.hf_folder(tmp_path / "constants", model, tensors)), model, tensors)
    v5 = files.hf_folder(tmp_path / "v5", model, tensors, rope_parameters={"rope_type": "default", "rope_theta": 5e5})
    assert open_model(v5).model.rope_theta == 500000.0
    path = tmp_path / "constants.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors)))
    assert_same(open_model(path), model, tensors)


def test_defaults_are_those_of_each_format(tmp_path: Path) -> None:
    model, tensors = files.tiny(n_kv_heads=4, seq_len=2048, norm_eps=1e-6)
    left_out = (
        "num_key_value_heads",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "hidden_act",
        "head_dim",
    )
    folder = files.hf_folder(tmp_path / "defaults", model, tensors, **dict.fromkeys(left_out))
    assert_same(open_model(folder), model, tensors)
    saved, data = files.pt_saved(*files.tiny(n_kv_heads=4))
    saved["model_args"]["n_kv_heads"] = None
    (tmp_path / "defaults.pt").write_bytes(files.pt_zip(saved, data))
    assert open_model(tmp_path / "defaults.pt").model.n_kv_heads == 4


def test_a_tied_folder_may_hold_its_classifier_again(tmp_path: Path) -> None:
    model, tensors = files.tiny()
    folder = files.hf_folder(tmp_path / "twice", model, tensors)
    entries = files.hf_entries(model, tensors)
    entries["lm_head.weight"] = entries["model.embed_tokens.weight"]
    entries["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", (4,), bytes(16))
    (folder / "model.safetensors").write_bytes(files.safetensors(entries))
    assert_same(open_model(folder), model, tensors)


@pytest.mark.parametrize("head", ["lm_head.weight", "model.embed_tokens.weight"])
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_a_tied_folder_may_hold_either_tensor_under_either_name(head: str, prefix: str, tmp_path: Path) -> None:
    model, tensors = files.tiny()
    folder = files.hf_folder(tmp_path / "tied", model, tensors)
    entries = files.hf_entries(model, tensors)
    entries[head] = entries.pop("model.embed_tokens.weight")
    entries = {prefix + name.removeprefix("model.") if name.startswith("model.") else name: entry for name, entry in entries.items()}
    (folder / "model.safetensors").write_bytes(files.safetensors(entries))
    assert_same(open_model(folder), model, tensors)


def test_rows_without_a_piece_are_left_out_and_change_nothing(tmp_path: Path) -> None:
    model, tensors = files.tiny(vocab_size=48)
    source = open_model(files.hf_folder(tmp_path / "padded", model, tensors))
    tokens = (1, 7, 39, 2)
    cut = cut_vocabulary(source, 40)
    assert cut.model.vocab_size == 40
    assert np.array_equal(forward(cut, tokens), forward(source, tokens)[:, :40])


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("0123456789abcdef0123456789abcdef01234567", "model_0123456789abcdef0123456789abcdef01234567"),
        ("models--Hugging--Tiny_Tales.2/snapshots/0123456789abcdef", "Tiny_Tales_2"), ("Café №1", "Cafe_No1"), ("...", "model"),
        ("meson-x", "model_meson-x"), ("snapshots", "snapshots"),
    ],
)  # fmt: skip
def test_any_folder_gives_a_name(place: str, name: str, tmp_path: Path) -> None:
    model, tensors = files.tiny()
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    assert open_model(files.hf_folder(tmp_path / place, model, tensors)).model.name == name


def test_equal_but_separate_storages_are_shared(tmp_path: Path) -> None:
    """export.py compares the values; so do we when a copy of the embedding was saved as the classifier."""
    model, tensors = files.tiny()
    saved, data = files.pt_saved(model, tensors)
    data["copy"] = data["0"]
    saved["model"]["_orig_mod.output.weight"] = files.PtTensor("copy", (40, 32), 40 * 32)
    (tmp_path / "copy.pt").write_bytes(files.pt_zip(saved, data))
    assert_same(open_model(tmp_path / "copy.pt"), model, tensors)


def test_opening_reads_no_tensor(tmp_path: Path) -> None:
    """NaN weights open, for what needs the header alone, and are refused with their count when they are read."""
    model, tensors = files.tiny()
    tensors["w2", 1][3, 5:7] = np.nan
    source = open_model(files.hf_folder(tmp_path / "nan", model, tensors))
    source.tensor("w2", 0)
    with pytest.raises(BakeError, match=r"w2\[1\]: expected finite numbers, found 2 NaN or infinity of 2048"):
        source.tensor("w2", 1)


def test_a_bit_flip_in_a_pt_is_found(tmp_path: Path) -> None:
    saved, data = files.pt_saved(*files.tiny())
    raw = bytearray(files.pt_zip(saved, data))
    raw[raw.index(data["3"]) + 17] ^= 1
    (tmp_path / "flip.pt").write_bytes(raw)
    source = open_model(tmp_path / "flip.pt")
    key = list(files.tiny()[1])[3]
    with pytest.raises(BakeError, match="expected CRC-32"):
        source.tensor(*key)


def test_llama2c_int8_through_the_front_door() -> None:
    path = at_hand.model("seeded260K_q8")
    assert open_model(path) == open_checkpoint(path)


PARSE = """
import { gguf } from '@huggingface/gguf';
const { metadata, tensorInfos } = await gguf(process.argv[2], { allowLocalFile: true });
const plain = (_, v) => (typeof v === 'bigint' ? Number(v) : v);
console.log(JSON.stringify({ metadata, tensorInfos }, plain));
"""


@pytest.mark.skipif(
    "STORYBAKE_NPM" not in os.environ, reason="set STORYBAKE_NPM=1 to install @huggingface/gguf from npm"
)
def test_our_gguf_files_are_gguf_to_others(tmp_path: Path) -> None:
    """The test's own writer, read by an independent parser: so that reader and writer don't share a mistake."""
    assert shutil.which("npm"), "STORYBAKE_NPM=1 needs node and npm"
    subprocess.run(["npm", "install", "--silent", "@huggingface/gguf@0.4"], cwd=tmp_path, check=True)
    (tmp_path / "parse.mjs").write_text(PARSE)
    model, tensors = files.tiny(shared=False)
    for encoding in ("F32", "F16", "Q8_0", "Q4_0", "BF16"):
        path = tmp_path / f"{encoding}.gguf"
        path.write_bytes(files.gguf(files.gguf_kv(model), files.gguf_tensors(tensors, encoding)))
        done = subprocess.run(["node", "parse.mjs", str(path)], cwd=tmp_path, check=True, capture_output=True)
        parsed = json.loads(done.stdout)
        assert parsed["metadata"]["llama.attention.head_count_kv"] == 2
        assert parsed["metadata"]["general.architecture"] == "llama"
        infos = {info["name"]: info for info in parsed["tensorInfos"]}
        source = open_model(path)
        assert len(infos) == len(source.tensors)
        assert infos["blk.1.ffn_down.weight"]["shape"] == [64, 32]
        assert infos["blk.1.ffn_down.weight"]["dtype"] == files.GGUF_TYPES[encoding]
        start = source.tensors["token_embedding_table", 0].offset
        for (name, layer), stored in source.tensors.items():
            assert infos[files.GGUF_NAMES[name].format(layer) + ".weight"]["offset"] == stored.offset - start
