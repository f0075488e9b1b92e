"""Tensors as the files of other programs store them, and the one checkpoint class that reads them."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codegen.errors import BakeError, shown
from codegen.input import read_span
from codegen.model import NORMS, Model
from codegen.tensor import FloatArray, Quantized, Tensor, check_finite

# Encoding: (values a block, bytes a block). Blocks are ggml's: https://github.com/ggml-org/ggml, ggml-common.h.
BLOCKS = {"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34), "Q4_0": (32, 18)}
Q8_0 = np.dtype([("d", "<f2"), ("q", "i1", 32)])
Q4_0 = np.dtype([("d", "<f2"), ("q", "u1", 16)])


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies and how: file, byte offset, encoding (a key of BLOCKS), shape with rows first.

    `heads` is the number of heads whose rows are in Hugging Face's order (0: llama2.c's). `crc` is the CRC-32 of its
    bytes where the file states one.
    """

    path: Path
    offset: int
    encoding: str
    shape: tuple[int, ...]
    heads: int = 0
    crc: int | None = None

    @property
    def bytes(self) -> int:
        """The tensor's length in the file. Its row length is a multiple of the encoding's block."""
        values, size = BLOCKS[self.encoding]
        return math.prod(self.shape) // values * size


@dataclass(frozen=True)
class StoredCheckpoint:
    """A model in another program's format, its metadata and lengths checked. Tensors are read on demand."""

    path: Path
    model: Model
    tensors: Mapping[tuple[str, int], Stored]

    def tensor(self, name: str, layer: int = 0) -> Tensor:
        """The tensor `name` of a layer, see codegen.source.TensorSource. Raises BakeError on NaN or infinity."""
        stored = self.tensors[name, layer]
        label = f"{stored.path.name}: {name}" + (f"[{layer}]" if self.model.tensor_shapes()[name][0] else "")
        raw = read_span(stored.path, stored.offset, stored.bytes, label)
        if stored.crc is not None and zlib.crc32(raw) != stored.crc:
            raise BakeError(f"{label}: expected CRC-32 {stored.crc:08x}, found {zlib.crc32(raw):08x}; copy it again")
        columns = stored.shape[-1]
        if self.model.type_of(name).quantized:
            blocks = np.frombuffer(raw, Q8_0)
            s = check_finite(blocks["d"].reshape(-1, columns // 32), f"{label}: scales")
            return Quantized(np.ascontiguousarray(blocks["q"]).reshape(-1, columns), s)
        values = check_finite(decode(raw, stored.encoding).reshape(-1, columns), label)
        return unpermute(values, stored.heads) if stored.heads else values


def decode(raw: bytes, encoding: str) -> FloatArray:
    """The values of one encoding as float32; exact for all five."""
    if encoding == "F32":
        return np.frombuffer(raw, "<f4").astype(np.float32)
    if encoding == "F16":
        return np.frombuffer(raw, "<f2").astype(np.float32)
    if encoding == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if encoding == "Q8_0":
        blocks = np.frombuffer(raw, Q8_0)
        quants = blocks["q"].astype(np.float32)
    else:
        blocks = np.frombuffer(raw, Q4_0)
        # A block's first 16 values are the low halves of its bytes, the other 16 the high halves.
        quants = np.concatenate((blocks["q"] & 15, blocks["q"] >> 4), axis=1).astype(np.float32) - np.float32(8)
    with np.errstate(invalid="ignore"):  # 0 * infinity; the caller checks for both
        values: FloatArray = (quants * blocks["d"].astype(np.float32)[:, None]).ravel()
    return values


def unpermute(values: FloatArray, heads: int) -> FloatArray:
    """Rows of wq or wk from Hugging Face's order to llama2.c's: (heads * head_size, columns).

    Hugging Face rotates value i of a head with value i + head_size / 2, llama2.c rotates neighbours.
    """
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
) -> dict[tuple[str, int], Stored]:
    """Finds every tensor of the model among those of a file and refuses, by name, what is missing or left over.

    names: llama2.c's name to the file's, with "{}" for the layer. ignored: names that carry no weight of the model.
    halves: wq's and wk's rows are in Hugging Face's order.
    """
    rest = dict(found)
    tensors: dict[tuple[str, int], Stored] = {}
    for name, (layers, rows, columns) in model.tensor_shapes().items():
        shape = (columns,) if name in NORMS else (rows, columns)
        for layer in range(max(layers, 1)):
            key = names[name].format(layer)
            stored = rest.pop(key, None)
            if stored is None:
                raise BakeError(f"{source}: tensor {key}: expected {shape} ({name}), found none; export it again")
            if stored.shape != shape:
                raise BakeError(f"{source}: tensor {key}: expected shape {shape}, found {shown(stored.shape)}")
            heads = {"wq": model.n_heads, "wk": model.n_kv_heads}.get(name, 0) if halves else 0
            tensors[name, layer] = replace(stored, heads=heads)
    for key in rest:
        if not (ignored and ignored.fullmatch(key)):
            what = "biases" if key.endswith(".bias") else "tensor of this name"
            raise BakeError(f"{source}: tensor {shown(key)}: llama2.c's transformer has no {what}; can't be baked")
    return tensors
