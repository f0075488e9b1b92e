"""Which rows of a classifier a certificate leaves out: those that lie together, and never ones that do not."""

from __future__ import annotations

from pathlib import Path

import at_hand
import numpy as np
import pytest

from codegen.certificate import REACH, Tail, find_tail, reorder
from codegen.formats import open_model, open_tokenizer
from codegen.pack import write_packed
from codegen.plan import make_plan
from codegen.quantize import quantize_q4, quantize_q8
from codegen.targets import TARGETS
from codegen.tensor import FloatArray, Quantized, Tensor

DIM = 32
NORM = np.ones(DIM, np.float32)


def rows(count: int, collapsed: list[int], noise: float = 1e-3, seed: int = 1) -> FloatArray:
    """A classifier whose rows are far from each other, but for the collapsed ones, which lie about one vector."""
    random = np.random.default_rng(seed)
    w = random.standard_normal((count, DIM)).astype(np.float32)
    w[collapsed] = random.standard_normal(DIM).astype(np.float32)
    w[collapsed] += (noise * random.standard_normal((len(collapsed), DIM))).astype(np.float32)
    return w


def values(tensor: Tensor) -> np.ndarray:
    if not isinstance(tensor, Quantized):
        return tensor.astype(np.float64)
    q = tensor.q.astype(np.float64).reshape(len(tensor.q), tensor.s.shape[1], -1)
    return (q * tensor.s.astype(np.float64)[:, :, None]).reshape(tensor.q.shape)


def holds(tail: Tail, tensor: Tensor) -> None:
    """What a program relies on: an order of all tokens, both parts in their order, and no row beyond the radius."""
    count = len(values(tensor))
    assert sorted(tail.token_of_row) == list(range(count))
    assert (tail.token_of_row[tail.row_of_token] == np.arange(count)).all()
    for part in (tail.token_of_row[: tail.head_rows], tail.token_of_row[tail.head_rows :]):
        assert (np.diff(part) > 0).all()
    packed = values(reorder(tensor, tail))
    assert (packed == values(tensor)[tail.token_of_row]).all()
    distances = np.linalg.norm(packed[tail.head_rows :] - tail.centroid.astype(np.float64), axis=1)
    assert distances.max() <= tail.radius <= REACH / np.linalg.norm(NORM) * (1 + 1e-6)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.95])
@pytest.mark.parametrize("kind", ["f32", "q8", "q4"])
def test_collapsed_rows_are_the_tail(share: float, kind: str) -> None:
    count = 1500
    collapsed = sorted(np.random.default_rng(2).choice(count, int(count * share), replace=False).tolist())
    w = rows(count, collapsed)
    tensor: Tensor = w if kind == "f32" else quantize_q8(w, 8) if kind == "q8" else quantize_q4(w, 8, "wcls")
    tail = find_tail(tensor, NORM, 16)
    assert tail is not None
    holds(tail, tensor)
    left = set(tail.token_of_row[tail.head_rows :].tolist())
    assert left <= set(collapsed) and len(left) > len(collapsed) - 16, "all but what fills the head's last tile"
    assert tail.head_rows % 16 == 0


def test_outliers_do_not_spoil_the_bracket() -> None:
    collapsed = list(range(0, 1000, 2))
    w = rows(1000, collapsed)
    w[4] += 0.4  # farther than is worth having
    w[10] += 40
    tail = find_tail(w, NORM, 16)
    assert tail is not None
    holds(tail, w)
    assert {4, 10} <= set(tail.token_of_row[: tail.head_rows].tolist()) and tail.radius < 0.02


@pytest.mark.parametrize(("between", "narrow"), [(20, True), (300, False)])
def test_a_few_rows_between_do_not_widen_the_bracket(between: int, narrow: bool) -> None:
    """Training leaves some rows half way: few are computed, many are worth a wider bracket."""
    w = rows(3000, list(range(2000)))
    for i in range(between):
        w[7 * i % 2000, i % DIM] += 0.4
    tail = find_tail(w, NORM, 16)
    assert tail is not None
    holds(tail, w)
    assert (tail.radius < 0.02) == narrow
    assert 2000 - 16 <= 3000 - tail.head_rows + (between if narrow else 0) <= 2000


def test_rows_that_training_told_apart_have_no_tail() -> None:
    assert find_tail(rows(1000, []), NORM, 16) is None
    assert find_tail(rows(1000, list(range(20))), NORM, 16) is None, "too few to be worth it"


@pytest.mark.parametrize("count", [1, 2, 16, 17, 33, 64])
def test_small_vocabularies_and_equal_rows(count: int) -> None:
    for w in (np.zeros((count, DIM), np.float32), np.ones((count, DIM), np.float32), rows(count, list(range(count // 2)), noise=0)):
        tail = find_tail(w, NORM, 16)
        if tail is not None:
            holds(tail, w)
            assert 16 <= tail.head_rows < count


def test_a_norm_of_zeros_is_no_division_by_zero() -> None:
    w = rows(200, [])
    tail = find_tail(w, np.zeros(DIM, np.float32), 16)
    if tail is not None:
        assert np.isfinite(tail.radius)


@pytest.mark.parametrize(("name", "same"), [("seeded260K", True), ("seeded_gqa_untied_q8", True), ("collapsed_q8", False)])
def test_where_no_rows_lie_together_nothing_is_stored(name: str, same: bool, tmp_path: Path) -> None:
    """The option changes no byte of what is baked of such a model, so its program is as fast as without."""
    file = at_hand.model(name)
    source, baked = open_model(file), []
    vocabulary = open_tokenizer(file.with_name(f"{name}.tokenizer.bin"), source.model.vocab_size)
    for certify in (True, False):
        folder = tmp_path / str(certify)
        folder.mkdir()
        write_packed(source, make_plan(source.model, TARGETS["avx512"]), vocabulary, b"", True, certify, folder)
        baked.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(baked[0]) == 4 and (baked[0] == baked[1]) == same
