"""Gives a model's tensors in other weight types than the source's own (docs/arithmetic.md has what each type is)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codegen.errors import USAGE, BakeError
from codegen.model import VECTOR_TENSORS, Model, group_sizes
from codegen.quantize import dequantize
from codegen.source import TensorSource, label_of
from codegen.tensor import Quantized, Tensor
from codegen.weight_types import F16, F32, Q4, Q8, WEIGHT_TYPES


@dataclass(frozen=True)
class Converted:
    """Converts a source's matrices as they are read. `model` says to what."""

    source: TensorSource
    model: Model

    @property
    def path(self) -> Path:
        return self.source.path

    def tensor(self, name: str, layer: int = 0) -> Tensor:
        """Reads as TensorSource.tensor does; splitting groups repeats their scales and loses nothing."""
        tensor, wanted, group_size = self.source.tensor(name, layer), self.model.type_of(name), self.model.group_size
        if wanted is Q8 and isinstance(tensor, Quantized):
            times = tensor.q.shape[1] // tensor.s.shape[1] // group_size
            return Quantized(tensor.q, np.repeat(tensor.s, times, axis=1))
        if wanted is self.source.model.type_of(name):
            return tensor
        values = dequantize(tensor) if isinstance(tensor, Quantized) else tensor
        return wanted.round(values, group_size, label_of(self.source, name, layer))


def convert(
    source: TensorSource, weights: str = "auto", group_size: int | None = None, classifier: str = "auto"
) -> TensorSource:
    """Returns the source with its matrices in other types, as `retype` has them."""
    model = retype(source.model, weights, classifier, group_size)
    return source if model == source.model else Converted(source, model)


def retype(model: Model, weights: str = "auto", classifier: str = "auto", group_size: int | None = None) -> Model:
    """Returns the model with matrices of type `weights` ("auto": its own, or the nearest), classifier and embedding of type
    `classifier` ("auto": the same as all others, or its own when these are). The group size is chosen when it is None.

    Raises BakeError (usage) as `choose_group` does, and for an unknown type.
    """
    for option, asked in (("weights", weights), ("classifier", classifier)):
        if asked not in ("auto", *WEIGHT_TYPES):
            raise BakeError(f"{option}: expected auto or one of {', '.join(WEIGHT_TYPES)}, found {asked!r}", USAGE)
    weights = model.nearest or weights if weights == "auto" else weights
    body = model.weight_type if weights == "auto" else weights
    if classifier == "auto":
        classifier = model.type_of("wcls").name if weights == "auto" else body
    wanted = dataclasses.replace(model, weight_type=body, classifier_type="" if classifier == body else classifier, nearest="")
    return dataclasses.replace(wanted, group_size=choose_group(model, wanted, group_size) if wanted.quantized else 0)


def what_it_costs(model: Model, baked: Model) -> str:
    """Says what is told of a model whose weights are baked as the nearest type: the megabytes of its matrices in each."""
    sizes = {name: matrix_bytes(retype(model, name)) / 1e6 for name in WEIGHT_TYPES if name == F32.name or fits(model, name)}
    others = ", ".join(f"{size:.1f} as {name}" for name, size in sizes.items() if name != baked.weight_type)
    return (
        f"{model.name}: its weights are of types that are not baked: {baked.weight_type} is near enough, "
        f"{sizes[baked.weight_type]:.1f} MB ({others}); -Dweights= chooses, "
        "tools/evaluate MODEL TEXT --types auto says what this costs in perplexity"
    )


def fits(model: Model, weights: str) -> bool:
    """Tells whether a model's rows can be of a type."""
    try:
        retype(model, weights)
    except BakeError:
        return False
    return True


def matrix_bytes(model: Model) -> int:
    """Counts the bytes of all matrices, without the padding of a target's tiles."""
    shapes = {name: shape for name, shape in model.tensor_shapes().items() if name not in VECTOR_TENSORS}
    return sum(
        max(layers, 1) * rows * model.type_of(name).row_bytes(columns, model.group_size) for name, (layers, rows, columns) in shapes.items()
    )


def choose_group(model: Model, wanted: Model, asked: int | None = None) -> int:
    """Chooses the group size of `model` with the quantised types of `wanted`: the one asked for, the model's own, or the largest
    that divides every quantised row and that the types take (q8 up to 64, q4 even ones up to 32).

    Raises BakeError (usage) when the one asked for does not divide every row, when it would quantise int8 weights again,
    and when q4 finds none.
    """
    types = [weight_type for weight_type in wanted.weight_types if weight_type.quantized]
    kept = model.group_size if Q8 in types else 0  # belongs to int8 weights that stay as they are
    if kept and types == [Q8] and asked is None:
        return kept
    a_byte = max(weight_type.a_byte for weight_type in types)
    divisors = [n for n in group_sizes(wanted, largest=max(wanted.row_lengths)) if n % a_byte == 0]
    whole = [n for n in divisors if not kept or kept % n == 0]
    if asked is not None:
        if asked not in divisors:
            sizes = ", ".join(str(size) for size in divisors)
            raise BakeError(f"--group: expected a divisor of every row ({sizes}), found {asked}", USAGE)
        if asked not in whole:
            sizes = ", ".join(str(size) for size in whole)
            raise BakeError(
                f"--group: {model.name} is int8 in groups of {kept}: groups of {asked} would quantise it a second time; "
                f"take one of {sizes}, or start from the float checkpoint",
                USAGE,
            )
        return asked
    fitting = [n for n in whole if n <= min(weight_type.largest_group for weight_type in types)]
    if not fitting:
        lengths = ", ".join(str(length) for length in wanted.row_lengths)
        raise BakeError(
            f"{model.name}: {Q4.name} stores weights in pairs: expected rows with an even common divisor, found rows of "
            f"{lengths}; take {Q8.name} or {F16.name}",
            USAGE,
        )
    return fitting[0]
