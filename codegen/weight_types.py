"""Lists the types that a weight matrix may have. docs/arithmetic.md defines what is computed with them, codegen.layout how they
lie in memory. Adding one is a row of the table here, how its values are rounded (codegen.quantize), and its kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codegen.quantize import quantize_q4, quantize_q8, round_to_half
from codegen.tensor import FloatArray, Tensor


@dataclass(frozen=True)
class WeightType:
    """Describes a type: a weight takes `bits`. Quantised weights are integers in groups along a row, which share a scale of the
    NumPy type `scale` and are multiplied with activations that are quantised as well; a float type has neither.

    `round` makes a tensor of float32 (rows, columns), a group size, and what messages call it. `largest_group` is the largest
    that is chosen when nobody asks for one, and that kernels unroll.
    """

    name: str
    bits: int
    round: Callable[[FloatArray, int, str], Tensor]
    scale: str = ""
    largest_group: int = 0

    @property
    def quantized(self) -> bool:
        return bool(self.scale)

    @property
    def a_byte(self) -> int:
        """Counts the weights that share a byte: a group is a multiple of it."""
        return max(8 // self.bits, 1)

    @property
    def offset(self) -> int:
        """Returns what, added to every integer, makes it 0 or more."""
        return 1 << (self.bits - 1)

    def group(self, group_size: int) -> int:
        """Counts the columns of a row that lie together: the group of the model, or a single one of a float type."""
        return group_size if self.quantized else 1

    def weight_bytes(self, columns: int) -> int:
        """Counts the bytes of a row of weights, without scales."""
        return columns * self.bits // 8

    def group_bytes(self, group_size: int) -> int:
        """Counts the bytes of a row of a group: its weights, then its scale."""
        return self.weight_bytes(self.group(group_size)) + (np.dtype(self.scale).itemsize if self.scale else 0)

    def row_bytes(self, columns: int, group_size: int) -> int:
        """Counts the bytes of a whole row, its scales included."""
        return columns // self.group(group_size) * self.group_bytes(group_size)


F32 = WeightType("f32", 32, lambda values, group_size, label: values)
F16 = WeightType("f16", 16, lambda values, group_size, label: round_to_half(values, label))
# llama2.c's export.py makes no larger groups
Q8 = WeightType("q8", 8, lambda values, group_size, label: quantize_q8(values, group_size), scale="<f4", largest_group=64)
# the products of 32 weights of -8 to 7 with activations of at most 127 sum up to 16 bits
Q4 = WeightType("q4", 4, quantize_q4, scale="<f2", largest_group=32)

WEIGHT_TYPES = {weight_type.name: weight_type for weight_type in (F32, F16, Q8, Q4)}
