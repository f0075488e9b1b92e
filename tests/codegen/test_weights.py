"""Weight types: float16 and int4 rounding, which type and group a tensor gets, and the values that are exported."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import at_hand
import model_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codegen.errors import BAD_DATA, USAGE, BakeError
from codegen.export import main
from codegen.formats import open_model
from codegen.model import Model
from codegen.quantize import dequantize, quantize_q4, round_to_half
from codegen.tensor import Quantized
from codegen.values import write_values
from codegen.weight_types import WEIGHT_TYPES
from codegen.weights import convert, retype

pytestmark = pytest.mark.filterwarnings("error")


@dataclasses.dataclass(frozen=True)
class Tensors:
    """A model in memory."""

    model: Model
    tensors: files.Tensors
    path: Path = Path("tiny.bin")

    def tensor(self, name: str, layer: int = 0) -> np.ndarray:
        return self.tensors[name, layer]


def squared_error(values: np.ndarray, tensor: Quantized) -> float:
    return float(np.square(dequantize(tensor).astype(float) - values).sum())


# --- float16 ---


def test_halves_are_the_nearest_ties_to_even() -> None:
    step = 2.0**-10  # of a half between 1 and 2
    values = np.array([[1 + step / 2, 1 + 3 * step / 2, 1 + step / 2 + 1e-6, -1 - step / 2, 2.0**-25, 65504]], np.float32)
    assert round_to_half(values, "w").tolist() == [[1, 1 + 2 * step, 1 + step, -1, 0, 65504]]


@pytest.mark.parametrize("large", [65505.0, -65520.0, 3e38])
def test_what_is_beyond_float16_is_refused_by_tensor_and_count(large: float) -> None:
    model, tensors = files.tiny()
    tensors["wk", 1][3, 5:7] = large
    with pytest.raises(BakeError, match=r"^tiny.bin: wk\[1\]: expected magnitudes up to 65504.* found 2 of 512") as caught:
        convert(Tensors(model, tensors), "f16").tensor("wk", 1)
    assert caught.value.exit_code == BAD_DATA
    tensors["token_embedding_table", 0][0, 0] = large
    with pytest.raises(BakeError, match="^tiny.bin: token_embedding_table: .* found 1 of 1280"):
        convert(Tensors(model, tensors), classifier="f16").tensor("token_embedding_table")


# --- int4 ---


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(np.float32, (3, 8), elements=st.floats(-65504, 65504, width=32)), st.sampled_from([2, 4, 8])
)  # fmt: skip
def test_int4_is_never_worse_than_the_plain_scales(values: np.ndarray, group_size: int) -> None:
    tensor = quantize_q4(values, group_size, "w")
    assert tensor.q.dtype == np.int8 and tensor.q.min() >= -8 and tensor.q.max() <= 7
    assert np.array_equal(tensor.s, tensor.s.astype(np.float16)) and np.isfinite(tensor.s).all()
    groups = values.reshape(-1, group_size)
    extreme = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)
    for target in (-8, 7):
        s = (extreme / np.float32(target)).astype(np.float16).astype(np.float32)
        q = np.clip(np.rint(groups / np.where(s != 0, s, np.float32(np.inf))), -8, 7)
        plain = Quantized(q.astype(np.int8).reshape(values.shape), s.reshape(3, -1))
        slack = 1e-5 * float(np.square(values.astype(float)).sum())
        assert squared_error(values, tensor) <= squared_error(values, plain) * 1.02 + slack


def test_the_search_finds_what_trying_every_float16_finds() -> None:
    values = np.random.default_rng(1).standard_normal((40, 32), dtype=np.float32)
    best = 0.0
    halves = np.arange(0x2800, 0x3c00, dtype=np.uint16).view(np.float16).astype(np.float32)  # 0.03 to 1
    scales = np.concatenate((halves, -halves))[:, None]
    for group in values:
        q = np.clip(np.rint(group / scales), -8, 7)
        best += float(np.square(q * scales - group).sum(axis=1).min())
    assert best <= squared_error(values, quantize_q4(values, 32, "w")) <= 1.01 * best


def test_a_scale_may_be_negative_so_that_either_sign_reaches_8_steps() -> None:
    values = np.array([[8, 1, -2, 3], [-8, -1, 2, -3]], np.float32)
    tensor = quantize_q4(values, 4, "w")
    assert tensor.s.tolist() == [[-1], [1]] and tensor.q.tolist() == [[-8, -1, 2, -3], [-8, -1, 2, -3]]


@pytest.mark.parametrize("values", [[0.0, -0.0], [1e-45, -1e-45], [2.0**-26, -(2.0**-26)]])
def test_a_group_of_nothing_has_scale_0_and_quants_0(values: list[float]) -> None:
    tensor = quantize_q4(np.array([[*values, 1, 2]], np.float32), 2, "w")
    assert tensor.s[0, 0] == 0 and tensor.q[0, :2].tolist() == [0, 0] and tensor.s[0, 1] != 0


def test_a_group_does_not_depend_on_its_neighbours() -> None:
    """Nor on which block of the search it falls into: the same weights everywhere, from any library's vectors."""
    values = np.random.default_rng(2).standard_normal((5000, 32), dtype=np.float32)
    whole = quantize_q4(values, 32, "w")
    for row in (0, 1, 4095, 4096, 4999):
        alone = quantize_q4(values[row : row + 1], 32, "w")
        assert alone.q.tobytes() == whole.q[row].tobytes() and alone.s.tobytes() == whole.s[row].tobytes()


def test_a_scale_beyond_float16_is_refused() -> None:
    with pytest.raises(BakeError, match="wq: expected magnitudes whose q4 scale fits float16, .* found 1 of 4 beyond"):
        quantize_q4(np.array([[1, 2, 1e6, 3]], np.float32), 2, "wq")
    assert np.isfinite(quantize_q4(np.array([[1, 2, 390000, 3]], np.float32), 2, "wq").s).all()


# --- which type, which group ---


@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("classifier", ["auto", *WEIGHT_TYPES])
@pytest.mark.parametrize("shared", [True, False])
def test_every_tensor_has_the_type_that_was_asked_for(weights: str, classifier: str, shared: bool) -> None:
    source = convert(Tensors(*files.tiny(shared)), weights, classifier=classifier)
    for name, layer in files.keys(source.model):
        wanted = weights if classifier == "auto" or name not in ("token_embedding_table", "wcls") else classifier
        wanted = "f32" if name.startswith("rms") else wanted
        assert source.model.type_of(name).name == wanted
        tensor = source.tensor(name, layer)
        assert isinstance(tensor, Quantized) == (wanted in ("q8", "q4"))
        if isinstance(tensor, Quantized):
            assert tensor.q.shape[1] == tensor.s.shape[1] * source.model.group_size == source.model.tensor_shapes()[name][2]
            assert wanted == "q8" or (tensor.q.min() >= -8 and tensor.q.max() <= 7)
        elif wanted == "f16":
            assert np.array_equal(tensor, tensor.astype(np.float16).astype(np.float32))
    assert (source.model.group_size > 0) == source.model.quantized


@pytest.mark.parametrize(
    ("dims", "weights", "classifier", "group_size"),
    [
        ((288, 768), "q4", "auto", 32),
        ((288, 768), "q8", "auto", 48),  # the largest up to 64
        ((288, 768), "q4", "q8", 32),
        ((64, 172), "q4", "auto", 4),
        ((64, 172), "f32", "q4", 32),  # only rows of the classifier are quantised
        ((64, 172), "f16", "q8", 64),
        ((64, 173), "f16", "f32", 0),
        ((36, 90), "q4", "auto", 18),
        ((36, 90), "q8", "q4", 18),
    ],
)
def test_groups(dims: tuple[int, int], weights: str, classifier: str, group_size: int) -> None:
    model = files.tiny(dim=dims[0], hidden_dim=dims[1], head_size=dims[0] // 4)[0]
    assert retype(model, weights, classifier).group_size == group_size


@pytest.mark.parametrize(("own", "weights", "classifier", "group_size"), [
    (48, "auto", "auto", 48), (48, "q4", "auto", 32), (48, "q4", "q8", 24), (48, "auto", "q4", 24), (48, "f16", "auto", 0),
    (48, "f32", "q8", 48),
])  # fmt: skip
def test_int8_that_stays_keeps_its_groups_or_has_them_split(
    own: int, weights: str, classifier: str, group_size: int
) -> None:
    model = files.tiny(dim=288, hidden_dim=768, head_size=72, weight_type="q8", group_size=own)[0]
    assert retype(model, weights, classifier).group_size == group_size


def test_rows_without_an_even_divisor_have_no_int4() -> None:
    model = files.tiny(hidden_dim=37)[0]
    with pytest.raises(BakeError, match="stores weights in pairs: .* found rows of 32, 37; take q8 or f16") as caught:
        retype(model, "q4")
    assert caught.value.exit_code == USAGE
    assert retype(model, classifier="q4").group_size == 32


@pytest.mark.parametrize("option", ["weights", "classifier"])
def test_an_unknown_type_is_refused(option: str) -> None:
    with pytest.raises(BakeError, match=f"^{option}: expected auto or one of f32, f16, q8, q4, found 'q5'") as caught:
        retype(files.tiny()[0], **{option: "q5"})
    assert caught.value.exit_code == USAGE


# --- the values, for the oracle and for others ---


def test_values_say_what_they_are(tmp_path: Path) -> None:
    """The header is read by its words alone; every tensor is where its lines say, and nothing is left over."""
    model, tensors = files.tiny(shared=False, head_size=10, rope_theta=500000.0, norm_eps=1e-6)
    source = convert(Tensors(model, tensors), "q4", classifier="f16")
    write_values(source, dataclasses.replace(source.model, seq_len=7), tmp_path / "values")
    head, _, data = (tmp_path / "values").read_bytes().partition(b"\nend\n")
    magic, *lines = head.decode().splitlines()
    facts = dict(line.split() for line in lines if not line.startswith("tensor "))
    assert magic == "storybake values 1"
    assert {name: int(facts.pop(name)) for name in ("dim", "n_heads", "head_size", "seq_len")} == {
        "dim": 32, "n_heads": 4, "head_size": 10, "seq_len": 7,
    }  # fmt: skip
    assert float.fromhex(facts["rope_theta"]) == 500000 and np.float32(float.fromhex(facts["norm_eps"])) == np.float32(1e-6)
    seen = set()
    for _, name, layer, rows, columns, group in (line.split() for line in lines if line.startswith("tensor ")):
        tensor, shape = source.tensor(name, int(layer)), (int(rows), int(columns))
        seen.add((name, int(layer)))
        if int(group):
            assert isinstance(tensor, Quantized) and name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
            q, data = np.frombuffer(data, np.int8, tensor.q.size).reshape(shape), data[tensor.q.size :]
            assert np.array_equal(q, tensor.q)
            tensor, shape = tensor.s, (shape[0], shape[1] // int(group))
        assert np.array_equal(np.frombuffer(data, "<f4", tensor.size).reshape(shape), tensor)
        data = data[tensor.nbytes :]
    assert seen == set(files.keys(model)) and not data


@pytest.mark.parametrize(("options", "words"), [
    (["--weights", "q4"], "llama2.c v0, float32, the values of q4 in groups of 4"),
    (["--format", "v1", "--weights", "f16"], "llama2.c v1, float32, the values of f16"),
    (["--weights", "q8", "--classifier", "f32", "--group", "2"], "the values of q8, classifier f32, in groups of 2"),
])  # fmt: skip
def test_export_writes_the_values_of_a_type_as_float32(options: list[str], words: str, tmp_path: Path, capsys: Any) -> None:
    model = at_hand.model("seeded260K")
    out = tmp_path / "out.bin"
    assert main([str(model), str(out), *options]) == 0
    assert words in capsys.readouterr().err
    asked = dict(zip(options[::2], options[1::2]))
    source = convert(
        open_model(model), asked["--weights"], int(asked["--group"]) if "--group" in asked else None,
        asked.get("--classifier", "auto"),
    )  # fmt: skip
    for name, layer in (("token_embedding_table", 0), ("wq", 0), ("w2", 4), ("rms_final_weight", 0)):
        tensor = source.tensor(name, layer)
        values = dequantize(tensor) if isinstance(tensor, Quantized) else tensor
        assert np.array_equal(open_model(out).tensor(name, layer), values)
