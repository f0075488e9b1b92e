"""Computes how far the integers of a plan's kernels can go: no sum overflows, whatever the weights and the activations are.

    Plan -> the range of every accumulator of every quantised product

Activations are what the quantiser makes (docs/arithmetic.md has the proof), weights whatever their type can hold: an int8 file
may say -128. Each range is reached by some input, so that none is wider than needed; tests/codegen/test_ranges.py finds the same
ones by trying.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codegen.errors import BakeError
from codegen.layout import Matrix

if TYPE_CHECKING:
    from codegen.plan import Plan

LARGEST_QUANT = 127  # is an activation's, either way
PAIRED_COLUMNS = 32  # counts columns of int4, whose products vector_matmul_q4 adds up in 16 bits, in two sums
NARROW_SUM = 255  # limits the magnitudes of four activations whose products rvv_matmul_q8 adds in 16 bits: rvv_wide marks others


@dataclass(frozen=True)
class Accumulator:
    """Describes a sum in a kernel, in `bits` of two's complement: it takes values from `least` to `most`. `ends`: what is
    between wraps around and back, and only the finished sum has to fit."""

    kernel: str
    name: str
    bits: int
    least: int
    most: int
    ends: bool = False

    @property
    def fits(self) -> bool:
        return -(1 << (self.bits - 1)) <= self.least and self.most < 1 << (self.bits - 1)


def accumulators(plan: Plan) -> tuple[Accumulator, ...]:
    """Returns the accumulators of all quantised products of a plan."""
    found = []
    for kernel in plan.kernels:
        if kernel.matrix.quantized:
            template = plan.matmul_template(kernel.matrix).removesuffix(".jinja")
            sums = SUMS.get(template, _portable)(plan, kernel.matrix)  # takes the portable product where a family has none
            found += [Accumulator(kernel.name, *one) for one in sums]
    return tuple(found)


def check_ranges(plan: Plan) -> None:
    """Raises BakeError for a plan in which a sum of integers could overflow."""
    for one in accumulators(plan):
        if not one.fits:
            raise BakeError(
                f"{plan.model.name}: {one.kernel}: {one.name} may be {one.least} to {one.most}, expected what {one.bits} bits "
                f"hold; quantise in groups of less than {plan.model.group_size}"
            )


# Holds name, bits, least, most, and whether only the end counts.
Sum = tuple[str, int, int, int] | tuple[str, int, int, int, bool]


def _weights(matrix: Matrix) -> int:
    """Returns the largest magnitude of a weight: the negative one."""
    return matrix.weight_type.offset


def _whole(matrix: Matrix) -> Sum:
    """Bounds the sum of a group in 32 bits. Where weights are stored with an offset it begins with that times the sum of the
    group's activations, taken off: what is left of this and what has been added never go farther than the products themselves."""
    most = matrix.group_size * _weights(matrix) * LARGEST_QUANT
    return ("isum", 32, -most, most)


def _two_products(matrix: Matrix) -> Sum:
    """Bounds what two products of int8 add up to in 16 bits."""
    most = min(2, matrix.group_size) * _weights(matrix) * LARGEST_QUANT
    return ("two products", 16, -most, most)


def _portable(plan: Plan, matrix: Matrix) -> Iterator[Sum]:
    if matrix.weight_type.name == "q8" and matrix.together == 1:
        yield _two_products(matrix)
    yield _whole(matrix)


def _vector_q8(plan: Plan, matrix: Matrix) -> Iterator[Sum]:
    if not plan.target.dots:  # AVX2 has the sign moved to the activation
        yield _two_products(matrix)
    yield _whole(matrix)


def _vector_q4(plan: Plan, matrix: Matrix) -> Iterator[Sum]:
    if not plan.target.dots:  # 16 bits add up products of weights with 8 added: in the end, of half of the columns
        most = min(PAIRED_COLUMNS, matrix.group_size) // 2 * (2 * _weights(matrix) - 1) * LARGEST_QUANT
        yield ("products of half of the columns", 16, -most, most)
    yield _whole(matrix)


def _rvv_q8(plan: Plan, matrix: Matrix) -> Iterator[Sum]:
    yield _two_products(matrix)
    if plan.rvv and plan.rvv.quad_flags:
        four = _weights(matrix) * NARROW_SUM
        yield ("four products where `wide` is 0", 16, -four, four)
    yield _whole(matrix)


def _rvv_q4(plan: Plan, matrix: Matrix) -> Iterator[Sum]:
    _, _, least, most, *_ = _whole(matrix)
    yield ("isum", 16, least, most, True)


# Has each template's sums: a new one says here how it adds up.
SUMS = {
    "portable_matmul_q8": _portable,
    "portable_matmul_q4": _portable,
    "vector_matmul_q8": _vector_q8,
    "vector_matmul_q4": _vector_q4,
    "rvv_matmul_q8": _rvv_q8,
    "rvv_matmul_q4": _rvv_q4,
}
