"""Sums of integers in the kernels: their ranges by trying, and that a plan whose sums would overflow is refused.

What is tried shares nothing with codegen/ranges.py: each family's additions are written down here once more, in the order of its
template, over all corners of what weights and activations can be. A sum of products is linear in each of them, so that its
largest and smallest values are at corners.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from codegen import ranges, weight_types
from codegen.errors import BakeError
from codegen.model import Model
from codegen.plan import Plan, make_plan
from codegen.ranges import SUMS, Accumulator, accumulators
from codegen.targets import TARGETS, find_target
from codegen.templating import TEMPLATES

X = (-127, 0, 127)
W = {"q8": (-128, 0, 127), "q4": (-8, 0, 7)}
OFFSET = {"q8": 128, "q4": 8}


def plan_of(target: str, weight_type: str, group_size: int) -> Plan:
    model = Model("m", 2 * group_size, 4 * group_size, 1, 1, 1, 300, 8, head_size=2 * group_size, shared_classifier=True,
                  weight_type=weight_type, group_size=group_size)  # fmt: skip
    return make_plan(model, find_target(target))


def inputs(weight_type: str, columns: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    return itertools.product(itertools.product(W[weight_type], repeat=columns), itertools.product(X, repeat=columns))


def spans(sums: Iterable[dict[str, list[int]]]) -> dict[str, tuple[int, int]]:
    """The smallest and the largest value of each sum."""
    found: dict[str, tuple[int, int]] = {}
    for values in sums:
        for name, taken in values.items():
            least, most = found.get(name, (0, 0))
            found[name] = (min(least, *taken), max(most, *taken))
    return found


def running(start: int, products: Iterable[int]) -> list[int]:
    return list(itertools.accumulate(products, initial=start))


def portable(weight_type: str, w: tuple[int, ...], x: tuple[int, ...]) -> dict[str, list[int]]:
    if weight_type == "q8":
        products = [a * b for a, b in zip(w, x)]
        return {"isum": running(0, products), "two products": [sum(products[at : at + 2]) for at in range(0, len(x), 2)]}
    return {"isum": running(-8 * sum(x), ((a + 8) * b for a, b in zip(w, x)))}


def vector(weight_type: str, w: tuple[int, ...], x: tuple[int, ...], *, dots: bool, unsigned: bool) -> dict[str, list[int]]:
    """Four columns a lane: with a dot product of four, or with two sums of two in 16 bits, of int4 many added up before."""
    offset = OFFSET[weight_type] if unsigned or weight_type == "q4" else 0
    products = [(a + offset) * b for a, b in zip(w, x)]
    found = {"isum": running(-offset * sum(x), (sum(products[at : at + 4]) for at in range(0, len(x), 4)))}
    if not dots and weight_type == "q8":
        found["two products"] = [sum(products[at : at + 2]) for at in range(0, len(x), 2)]
    elif not dots:
        halves = [[p for at, p in enumerate(products) if at % 4 // 2 == half] for half in (0, 1)]  # columns 0, 1, 4, 5, ...
        found["products of half of the columns"] = [value for half in halves for value in running(0, half)]
    return found


def rvv(weight_type: str, w: tuple[int, ...], x: tuple[int, ...]) -> dict[str, list[int]]:
    if weight_type == "q4":
        return {"isum": [running(-8 * sum(x), ((a + 8) * b for a, b in zip(w, x)))[-1]]}
    products = [a * b for a, b in zip(w, x)]
    found = {"isum": running(0, products), "two products": [sum(products[at : at + 2]) for at in range(0, len(x), 2)]}
    if len(x) % 4 == 0:
        narrow = [at for at in range(0, len(x), 4) if sum(map(abs, x[at : at + 4])) <= 255]
        found["four products where `wide` is 0"] = [0, *(v for at in narrow for v in running(0, products[at : at + 4]))]
    return found


def tried(target: str, weight_type: str, columns: int) -> dict[str, tuple[int, int]]:
    """The spans of all sums over all corners; of an activation also what four that sum up to 255 have."""
    given = inputs(weight_type, columns)
    if target == "portable":
        return spans(portable(weight_type, w, x) for w, x in given)
    if TARGETS[target].vlen:
        sums = list(spans(rvv(weight_type, w, x) for w, x in given).items())
        if weight_type == "q8" and columns == 4:
            full = [(127, 127, 1, 0), (-127, -127, -1, 0), (100, -55, 50, -50)]
            corners = itertools.product(itertools.product(W["q8"], repeat=4), full)
            sums += list(spans(rvv("q8", w, x) for w, x in corners).items())
        return spans({name: list(span)} for name, span in sums)
    facts = TARGETS[target]
    return spans(vector(weight_type, w, x, dots=facts.dots, unsigned=facts.unsigned) for w, x in given)


@pytest.mark.parametrize("target", ["portable", "x86-64-v3", "avx512", "aarch64", "aarch64-dotprod", "duo"])
@pytest.mark.parametrize(("weight_type", "columns"), [("q8", 1), ("q8", 2), ("q8", 4), ("q4", 2), ("q4", 4), ("q4", 8)])
def test_ranges_are_those_that_inputs_reach(target: str, weight_type: str, columns: int) -> None:
    plan = plan_of(target, weight_type, columns)
    found = {(one.name, one.least, one.most) for one in accumulators(plan)}
    names = {kernel.matrix for kernel in plan.kernels}
    by = {plan.matmul_template(matrix) for matrix in names}
    family = target if any("vector" in name or "rvv" in name for name in by) else "portable"
    if columns == 8:  # too many corners: one column is as another, so that four stand for the others
        scaled = {name: (least * 2, most * 2) for name, (least, most) in tried(family, weight_type, 4).items()}
        assert found == {(name, *span) for name, span in scaled.items()}
    else:
        assert found == {(name, *span) for name, span in tried(family, weight_type, columns).items()}


def test_the_quantiser_makes_no_more_than_127() -> None:
    """All 2^23 magnitudes of a group's largest value between two powers of two; from the smallest scale on, others are these
    times a power of two. What is smaller than the largest becomes less."""
    largest = (np.arange(1 << 23, dtype=np.uint32) | np.uint32(127 << 23)).view(np.float32)
    scale = largest / np.float32(127)
    quotient = largest / scale
    assert float(quotient.max()) < 127.5 and int(np.trunc(quotient + np.float32(0.5)).max()) == ranges.LARGEST_QUANT


def test_every_kernel_says_how_it_adds_up() -> None:
    """For every target and type, in groups from 1 to the largest there can be."""
    seen = set()
    for target in TARGETS:
        for weight_type in ("q8", "q4"):
            for group_size in (2, 8, 32, 64, 1024):
                plan = plan_of(target, weight_type, group_size)
                assert all(one.fits for one in accumulators(plan))
                assert len(accumulators(plan)) >= len(plan.kernels)
                seen |= {plan.matmul_template(kernel.matrix).removesuffix(".jinja") for kernel in plan.kernels}
    assert seen == set(SUMS)
    assert {path.stem for path in TEMPLATES.glob("*_matmul_q*.jinja")} == set(SUMS)


@pytest.mark.parametrize("target", ["x86-64-v3", "duo"])
def test_a_family_without_a_product_adds_up_as_the_portable_one(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """As a weight type has none on its first day."""
    plan = plan_of(target, "q4", 8)
    assert 16 in {one.bits for one in accumulators(plan)}
    monkeypatch.setattr(type(plan), "matmul_template", lambda self, matrix: "none.jinja")
    assert {one.bits for one in accumulators(plan)} == {32}


@pytest.mark.parametrize(("one", "fits"), [
    (Accumulator("k", "s", 16, -32768, 32767), True), (Accumulator("k", "s", 16, -32769, 0), False),
    (Accumulator("k", "s", 16, 0, 32768), False), (Accumulator("k", "s", 32, -(2**31), 2**31 - 1), True),
])  # fmt: skip
def test_what_fits(one: Accumulator, fits: bool) -> None:
    assert one.fits is fits


def test_a_plan_that_could_overflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """int4 in groups of 64 on the Duo, whose sums have 16 bits; twice as many columns in 16 bits with AVX2; four activations of
    more than 255 on the Duo; and groups so long that 32 bits are too few."""
    longer = dataclasses.replace(weight_types.Q4, largest_group=64)
    with monkeypatch.context() as patch:
        patch.setitem(weight_types.WEIGHT_TYPES, "q4", longer)
        with pytest.raises(BakeError, match="matmul_q4_128x128: isum may be -65024 to 65024, expected what 16 bits hold"):
            plan_of("duo", "q4", 64)
    with monkeypatch.context() as patch:
        patch.setattr(ranges, "PAIRED_COLUMNS", 64)
        with pytest.raises(BakeError, match="products of half of the columns may be -60960 to 60960"):
            plan_of("x86-64-v3", "q4", 64)
    with monkeypatch.context() as patch:
        patch.setattr(ranges, "NARROW_SUM", 256)
        with pytest.raises(BakeError, match="four products where `wide` is 0 may be -32768 to 32768"):
            plan_of("duo", "q8", 32)
    assert plan_of("portable", "q8", 132104).kernels
    with pytest.raises(BakeError, match="isum may be -2147483648 to 2147483648|isum may be -21474"):
        plan_of("portable", "q8", 132105)
