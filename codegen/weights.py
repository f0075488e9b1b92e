"""Gives a model's tensors in another weight type: the source's own, float32, or llama2.c's int8 groups."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.checkpoint import NORMS, Quantized, Tensor, TensorSource
from codegen.errors import USAGE, BakeError
from codegen.model import Model, group_sizes
from codegen.quantize import dequantize, quantize_q8

WEIGHT_TYPES = ("f32", "q8")


@dataclass(frozen=True)
class Converted:
    """A source whose matrices are converted as they are read. `model` says to what."""

    source: TensorSource
    model: Model

    @property
    def path(self) -> Path:
        return self.source.path

    def tensor(self, name: str, layer: int = 0) -> Tensor:
        """As TensorSource.tensor; splitting groups repeats their scales and loses nothing."""
        tensor, group_size = self.source.tensor(name, layer), self.model.group_size
        if name in NORMS:
            return tensor
        if isinstance(tensor, Quantized):
            if not group_size:
                return dequantize(tensor)
            times = tensor.q.shape[1] // tensor.s.shape[1] // group_size
            return Quantized(tensor.q, np.repeat(tensor.s, times, axis=1))
        return quantize_q8(tensor, group_size) if group_size else tensor


def convert(source: TensorSource, weight_type: str, group_size: int | None = None) -> TensorSource:
    """The source with matrices of a weight type, "auto" for its own; `group_size` of q8 is chosen when it is None.

    Raises BakeError (usage) as `choose_group` does, and for an unknown type.
    """
    model = source.model
    if weight_type not in ("auto", *WEIGHT_TYPES):
        raise BakeError(f"weights: expected auto, {' or '.join(WEIGHT_TYPES)}, found {weight_type!r}", USAGE)
    wanted = model.weight_type if weight_type == "auto" else weight_type
    size = choose_group(model, group_size) if wanted == "q8" else 0
    if (wanted, size) == (model.weight_type, model.group_size):
        return source
    return Converted(source, dataclasses.replace(model, weight_type=wanted, group_size=size))


def choose_group(model: Model, asked: int | None) -> int:
    """The group size of int8 weights: the one asked for, the model's own, or the largest up to 64 that divides every
    row.

    Raises BakeError (usage) when the one asked for does not divide every row, or would quantise int8 weights again.
    """
    own = model.group_size
    if asked is None:
        return own or group_sizes(model)[0]
    divisors = group_sizes(model, largest=max(model.row_lengths))
    if asked not in divisors:
        sizes = ", ".join(str(size) for size in divisors)
        raise BakeError(f"--group: expected a divisor of every row ({sizes}), found {asked}", USAGE)
    if own and own % asked:
        sizes = ", ".join(str(size) for size in divisors if own % size == 0)
        raise BakeError(
            f"--group: {model.name} is int8 in groups of {own}: groups of {asked} would quantise it a second time; "
            f"take one of {sizes}, or start from the float checkpoint",
            USAGE,
        )
    return asked
