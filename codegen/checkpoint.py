"""Reads llama2.c's checkpoints: legacy (v0), v1 (float32) and v2 (int8), told apart by content.

The layouts are those of llama2.c's export.py and run.c/runq.c (commit 350e04f). A file is accepted only when its
length is exactly what its header says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.errors import BakeError
from codegen.input import read_bytes
from codegen.model import Model, check_dims
from codegen.names import file_name
from codegen.source import label_of
from codegen.tensor import Quantized, Tensor, check_finite
from codegen.weight_types import F32, Q8

MAGIC = 0x616B3432  # "ak42"
V0_HEADER = 28
V1_HEADER = 256

V0_ORDER = (
    "token_embedding_table", "rms_att_weight", "wq", "wk", "wv", "wo", "rms_ffn_weight", "w1", "w2", "w3",
    "rms_final_weight", "rope", "wcls",
)  # fmt: skip
V1_ORDER = (
    "rms_att_weight", "rms_ffn_weight", "rms_final_weight", "token_embedding_table",
    "wq", "wk", "wv", "wo", "w1", "w2", "w3", "wcls",
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Says where a tensor lies in the file: byte offset, shape, and whether it is quantised."""

    offset: int
    rows: int
    columns: int
    quantized: bool


@dataclass(frozen=True)
class Checkpoint:
    """Holds a checkpoint whose header and length have been checked. Tensors are read on demand."""

    path: Path
    model: Model
    version: int
    spans: dict[tuple[str, int], Span]

    def tensor(self, name: str, layer: int = 0) -> Tensor:
        """Reads the tensor `name` of a layer: (rows, columns) float32, or Quantized. Raises BakeError on NaN or infinity."""
        span = self.spans[name, layer]
        count = span.rows * span.columns
        label = label_of(self, name, layer)
        if not span.quantized:
            values = self._read(np.dtype("<f4"), count, span.offset, label)
            return check_finite(values.reshape(span.rows, span.columns), label)
        groups = span.columns // self.model.group_size
        q = self._read(np.dtype("i1"), count, span.offset, label)
        s = self._read(np.dtype("<f4"), span.rows * groups, span.offset + count, label)
        scales = check_finite(s.reshape(span.rows, groups), f"{label}: scales")
        return Quantized(q.astype(np.int8, copy=False).reshape(span.rows, span.columns), scales)

    def _read(self, dtype: np.dtype[Any], count: int, offset: int, label: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = np.fromfile(self.path, dtype=dtype, count=count, offset=offset)
        if values.size != count:
            raise BakeError(f"{label}: expected {count} values, found {values.size}; the file shrank while it was read")
        return values


def open_checkpoint(path: Path) -> Checkpoint:
    """Reads and checks the header and the length of a llama2.c checkpoint of any version."""
    name = file_name(path)
    head = read_bytes(path, V1_HEADER)
    size = path.stat().st_size
    if size < V0_HEADER:
        raise BakeError(f"{path.name}: expected at least {V0_HEADER} bytes of header, found {size}; copy the file again")
    magic, version = struct.unpack_from("<Ii", head)
    if magic == int.from_bytes(MAGIC.to_bytes(4, "little"), "big"):
        raise BakeError(f"{path.name}: magic: expected 'ak42' in little-endian order, found it byte-swapped")
    if magic != MAGIC:
        return _check_length(path, _v0_model(name, head, path.name), 0, size)
    if version not in (1, 2):
        raise BakeError(f"{path.name}: version: expected 1 (float32) or 2 (int8), found {version}; export it as one")
    if size < V1_HEADER:
        raise BakeError(f"{path.name}: expected at least {V1_HEADER} bytes of header, found {size}; copy the file again")
    return _check_length(path, _v1_model(name, head, version, path.name), version, size)


def _v0_model(name: str, head: bytes, source: str) -> Model:
    """Reads the legacy header: seven int32; a negative vocabulary says that the classifier is a tensor of its own."""
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = struct.unpack_from("<7i", head)
    return _model(
        name, source, (dim, hidden_dim, n_layers, n_heads, n_kv_heads, abs(vocab_size), seq_len), vocab_size > 0, 0
    )


def _v1_model(name: str, head: bytes, version: int, source: str) -> Model:
    """Reads the 256-byte header of v1 and v2; in v2 the group size follows at byte 37, unaligned."""
    dims = struct.unpack_from("<7i", head, 8)
    shared = head[36]
    if shared not in (0, 1):
        raise BakeError(f"{source}: shared_classifier: expected 0 or 1, found {shared}; export the model again")
    group_size = struct.unpack_from("<i", head, 37)[0] if version == 2 else 0
    used = 41 if version == 2 else 37
    if any(head[used:V1_HEADER]):
        raise BakeError(f"{source}: header: expected zeros from byte {used} on, found others; export the model again")
    if version == 2 and group_size < 1:
        raise BakeError(f"{source}: group_size: expected 1 or more, found {group_size}; export the model again")
    return _model(name, source, dims, bool(shared), group_size)


def _model(name: str, source: str, dims: tuple[int, ...], shared: bool, group_size: int) -> Model:
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len = dims
    if not 1 <= n_heads or dim < 1 or dim % n_heads:
        raise BakeError(
            f"{source}: n_heads: expected a divisor of dim = {dim}, found {n_heads}; is this a llama2.c checkpoint?"
        )
    model = Model(
        name=name,
        dim=dim,
        hidden_dim=hidden_dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        vocab_size=vocab_size,
        seq_len=seq_len,
        head_size=dim // n_heads,
        shared_classifier=shared,
        weight_type=(Q8 if group_size else F32).name,
        group_size=group_size,
    )
    return check_dims(model, source)


def _check_length(path: Path, model: Model, version: int, size: int) -> Checkpoint:
    """Lays the tensors out as the version orders them and compares the end with the file's length."""
    shapes = model.tensor_shapes()
    spans: dict[tuple[str, int], Span] = {}
    offset = V1_HEADER if version else V0_HEADER
    for tensor in V1_ORDER if version else V0_ORDER:
        if tensor == "rope":  # llama2.c once stored these two tables, and now skips them
            offset += 4 * model.seq_len * model.head_size
            continue
        if tensor not in shapes:
            continue
        layers, rows, columns = shapes[tensor]
        weight_type = model.type_of(tensor)
        for layer in range(max(layers, 1)):
            spans[tensor, layer] = Span(offset, rows, columns, weight_type.quantized)
            offset += rows * weight_type.row_bytes(columns, model.group_size)
    if size != offset:
        what = "truncated" if size < offset else "too long"
        raise BakeError(
            f"{path.name}: {what}: a version {version} header of dim {model.dim}, {model.n_layers} layers, vocabulary "
            f"{model.vocab_size}, {'shared' if model.shared_classifier else 'separate'} classifier takes {offset} "
            f"bytes, found {size}; copy or export the file again"
        )
    return Checkpoint(path, model, version, spans)
