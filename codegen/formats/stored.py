"""Reads tensors as the files of other programs store them, by one checkpoint class."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from codegen.errors import BakeError, shown
from codegen.formats.blocks import ENCODINGS, decode
from codegen.input import read_span
from codegen.model import VECTOR_TENSORS, Model
from codegen.tensor import Quantized, Tensor, check_finite

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Stored:
    """Says where a tensor lies and how: file, byte offset, encoding (a key of ENCODINGS), shape with rows first.

    `heads` is the number of heads whose rows are in Hugging Face's order (0: llama2.c's), `less` what was taken off the values.
    `crc` is the CRC-32 of its
    bytes where the file states one.
    """

    path: Path
    offset: int
    encoding: str
    shape: tuple[int, ...]
    heads: int = 0
    less: float = 0.0
    crc: int | None = None

    @property
    def bytes(self) -> int:
        """Counts the tensor's bytes in the file. Its row length is a multiple of the encoding's block."""
        encoding = ENCODINGS[self.encoding]
        return math.prod(self.shape) // encoding.values * encoding.bytes


@dataclass(frozen=True)
class StoredCheckpoint:
    """Holds a model in another program's format, its metadata and lengths checked. Tensors are read on demand."""

    path: Path
    model: Model
    tensors: Mapping[tuple[str, int], Stored]

    def tensor(self, name: str, layer: int = 0) -> Tensor:
        """Reads the tensor `name` of a layer, see codegen.source.TensorSource. Raises BakeError on NaN or infinity."""
        stored = self.tensors[name, layer]
        label = f"{stored.path.name}: {name}" + (f"[{layer}]" if self.model.tensor_shapes()[name][0] else "")
        raw = read_span(stored.path, stored.offset, stored.bytes, label)
        if stored.crc is not None and zlib.crc32(raw) != stored.crc:
            raise BakeError(f"{label}: expected CRC-32 {stored.crc:08x}, found {zlib.crc32(raw):08x}; copy it again")
        columns = stored.shape[-1]
        if self.model.type_of(name).quantized:
            blocks = np.frombuffer(raw, ENCODINGS["Q8_0"].dtype)
            s = check_finite(blocks["d"].reshape(-1, columns // 32), f"{label}: scales")
            q = np.ascontiguousarray(blocks["q"]).reshape(-1, columns)
            return Quantized(unpermute(q, stored.heads), unpermute(s, stored.heads))
        values = check_finite(decode(raw, stored.encoding).reshape(-1, columns), label)
        values = values + np.float32(stored.less) if stored.less else values
        return unpermute(values.T, stored.heads).T if len(stored.shape) == 1 else unpermute(values, stored.heads)


def unpermute(values: npt.NDArray[T], heads: int) -> npt.NDArray[T]:
    """Puts rows of wq or wk from Hugging Face's order into llama2.c's: (heads * head_size, columns). No heads: as they are.

    Hugging Face rotates value i of a head with value i + head_size / 2, llama2.c rotates neighbours.
    """
    if heads == 0:
        return values
    rows, columns = values.shape
    pairs = values.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)
    return np.ascontiguousarray(pairs).reshape(rows, columns)


def match_tensors(
    source: str,
    model: Model,
    names: Mapping[str, str],
    found: Mapping[str, Stored],
    ignored: re.Pattern[str] | None = None,
    halves: bool = False,
    less: float = 0.0,
) -> dict[tuple[str, int], Stored]:
    """Finds every tensor of the model among those of a file and refuses, by name, what is missing or left over.

    names: llama2.c's name to the file's, with "{}" for the layer. ignored: names that carry no weight of the model.
    halves: the rows of wq and wk, and what belongs to them, are in Hugging Face's order. less: what the file has of the norms'
    weights is less by so much.
    """
    rest = dict(found)
    tensors: dict[tuple[str, int], Stored] = {}
    for name, (layers, rows, columns) in model.tensor_shapes().items():
        shape = (columns,) if name in VECTOR_TENSORS else (rows, columns)
        for layer in range(max(layers, 1)):
            key = names[name].format(layer)
            stored = rest.pop(key, None)
            if stored is None:
                raise BakeError(f"{source}: tensor {key}: expected {shape} ({name}), found none; export it again")
            if stored.shape != shape:
                raise BakeError(f"{source}: tensor {key}: expected shape {shape}, found {shown(stored.shape)}")
            heads = _heads(model, name) if halves else 0
            tensors[name, layer] = replace(stored, heads=heads, less=less if name.startswith("rms_") else 0.0)
    for key in rest:
        if not (ignored and ignored.fullmatch(key)):
            what = "biases" if key.endswith(".bias") else "tensor of this name"
            raise BakeError(f"{source}: tensor {shown(key)}: this kind of model has no {what}; can't be baked")
    return tensors


def _heads(model: Model, name: str) -> int:
    """Counts the heads of q or k that a tensor has rows, or elements, of; 0 for other tensors."""
    return {"wq": model.n_heads, "bq": model.n_heads, "wk": model.n_kv_heads, "bk": model.n_kv_heads,
            "rms_q_weight": 1, "rms_k_weight": 1}.get(name, 0)  # fmt: skip
