"""Defines what a plan is made of: kernels, sections of the packed weights, buffers, results and rows of the profile."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.layout import Matrix


@dataclass(frozen=True)
class Kernel:
    """Describes one matrix-vector product: one a distinct shape. `uses` names the tensors that go through it."""

    matrix: Matrix
    uses: tuple[str, ...]

    @property
    def name(self) -> str:
        """Names it <op>_<weight type>_<rows>x<columns>."""
        return f"matmul_{self.matrix.weight_type.name}_{self.matrix.shape}"

    @property
    def tiles_text(self) -> str:
        """Says, for example, "10 tiles of 16 rows, 3 of 4"."""
        first, *rest = self.matrix.runs
        text = f"{first.count} tile{'s' if first.count > 1 else ''} of {first.rows} rows"
        return text + "".join(f", {run.count} of {run.rows}" for run in rest)


@dataclass(frozen=True)
class Section:
    """Describes a piece of the packed weights. `matrix` is None for the float32 vectors and tables, `at_random` says that a token
    does not read it from end to end."""

    tensor: str
    layer: int
    offset: int
    bytes: int
    shape: tuple[int, ...]
    matrix: Matrix | None
    at_random: bool


@dataclass(frozen=True)
class Cache:
    """Describes the key/value caches of the layers that keep as many positions, each layer's apart: all of them (`window` 0), or
    a ring, which keeps what a window needs, in whole blocks of `block` positions: position t lies at t modulo `positions`.
    `elements` are those of a layer's keys, (n_kv_heads, blocks, head_size, block), and values, (n_kv_heads, positions, stride)."""

    name: str  # "cache" or "ring", behind key_ and value_
    kernel: str
    window: int
    layers: int
    positions: int
    blocks: int
    elements: tuple[int, int]


@dataclass(frozen=True)
class Buffer:
    """Describes a member of the state or of a thread's scratch: `count` numbers, every position at a whole stride."""

    name: str
    shape: str
    about: str
    count: int
    type: str = "float"
    size: int = 4  # bytes of a number

    @property
    def bytes(self) -> int:
        return self.size * self.count


@dataclass(frozen=True)
class Result:
    """Says where something that a step writes lies: `rows` pieces of `length` elements, `stride` apart; 0 rows: as many as
    there are positions."""

    name: str
    rows: int
    length: int
    stride: int


@dataclass(frozen=True)
class Op:
    """Describes a row of the profile, and the enumerator by which a kernel charges its time to it."""

    name: str
    bytes: int
    macs: int
