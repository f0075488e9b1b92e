"""Defines what every reader of a model gives, whatever its format: a model and its tensors by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from codegen.model import EMBEDDINGS, Model
from codegen.tensor import Quantized, Tensor


class TensorSource(Protocol):
    """Gives a model and its tensors, as every reader does: that of llama2.c's files (codegen.checkpoint) and those of
    codegen.formats.

    `tensor` returns a tensor by llama2.c's name, in llama2.c's order of rows: (rows, columns) float32, or Quantized
    when `model.type_of(name)` is quantised. Raises BakeError.
    """

    @property
    def path(self) -> Path: ...

    @property
    def model(self) -> Model: ...

    def tensor(self, name: str, layer: int = 0) -> Tensor: ...


def label_of(source: TensorSource, name: str, layer: int) -> str:
    """Says what messages call a tensor of a source."""
    return f"{source.path.name}: {name}" + (f"[{layer}]" if source.model.tensor_shapes()[name][0] else "")


@dataclass(frozen=True)
class FewerRows:
    """Cuts a source's vocabulary to that of `model`: the rows beyond have no piece, and nothing can say them."""

    source: TensorSource
    model: Model

    @property
    def path(self) -> Path:
        return self.source.path

    def tensor(self, name: str, layer: int = 0) -> Tensor:
        tensor = self.source.tensor(name, layer)
        if name not in EMBEDDINGS:
            return tensor
        rows = self.model.vocab_size
        return Quantized(tensor.q[:rows], tensor.s[:rows]) if isinstance(tensor, Quantized) else tensor[:rows]


def cut_vocabulary(source: TensorSource, rows: int) -> TensorSource:
    """Returns the source with the first `rows` rows of embedding and classifier."""
    if rows == source.model.vocab_size:
        return source
    return FewerRows(source, replace(source.model, vocab_size=rows))
