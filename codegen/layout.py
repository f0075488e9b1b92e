"""Lays out a weight matrix in memory: tiles of rows, stored in the order in which the kernels read them.

    weight type + rows and columns + Target -> Matrix

codegen.pack writes what is described here, the templates' kernels read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.targets import Target
from codegen.weight_types import WeightType


@dataclass(frozen=True)
class TileRun:
    """Describes `count` tiles of `rows` rows each, from row `first_row` and byte `offset` of the matrix on."""

    rows: int
    count: int
    first_row: int
    offset: int
    tile_bytes: int

    @property
    def end_row(self) -> int:
        """Returns one past the last row of the run; past the matrix's own rows where the last tile is padded."""
        return self.first_row + self.rows * self.count


@dataclass(frozen=True)
class Matrix:
    """Describes the layout of a weight matrix W (rows, columns): runs of tiles of R rows. A tile is

    f32, f16  for each column, R floats
    q8        for each group: its columns as int8, `together` of a row side by side, then R float32 scales
    q4        for each group: its columns as nibbles, then R float16 scales. 2 * `together` columns of a row share
              `together` bytes: the first half of them the lower nibbles, the second half the upper ones, so that an AND
              and a shift unpack a whole vector

    `offset` is added to every integer where a kernel wants them unsigned: 8 to q4; 128 to q8 where the dot product does.
    """

    weight_type: WeightType
    rows: int
    columns: int
    group_size: int
    together: int
    offset: int
    runs: tuple[TileRun, ...]

    @property
    def quantized(self) -> bool:
        return self.weight_type.quantized

    @property
    def padded_rows(self) -> int:
        return self.runs[-1].end_row

    @property
    def bytes(self) -> int:
        """Counts the bytes of the tiles."""
        return sum(run.count * run.tile_bytes for run in self.runs)

    @property
    def groups(self) -> int:
        """Counts the groups in a row; 1 for float types."""
        return self.columns // self.group_size if self.group_size else 1

    @property
    def group_bytes(self) -> int:
        """Counts the bytes of a row of a group, its scale included; of a row of a column for float types."""
        return self.weight_type.group_bytes(self.group_size)

    @property
    def scale_at(self) -> int:
        """Counts the bytes of a row of a group before its scale."""
        return self.weight_type.weight_bytes(self.group_size)

    @property
    def macs(self) -> int:
        return self.rows * self.columns

    @property
    def shape(self) -> str:
        return f"{self.rows}x{self.columns}"


def lay_out(
    weight_type: WeightType, rows: int, columns: int, group_size: int, target: Target, tiles: tuple[int, ...] = ()
) -> Matrix:
    """Cuts a matrix into runs of tiles: as many of the largest size as fit, then of the next; the rest is padded.

    `tiles` are the target's for the weight type when they are not given; `group_size` does not concern float types.
    Columns lie together only when a group is a whole number of them; else the kernels take one at a time.
    """
    tiles = tiles or target.tiles(weight_type)
    group_size = group_size if weight_type.quantized else 0
    together, offset = 1, 0
    if weight_type.quantized:
        together = target.int_columns if group_size % (target.int_columns * weight_type.a_byte) == 0 else 1
        unsigned = weight_type.a_byte > 1 or (target.unsigned and together > 1)
        offset = weight_type.offset if unsigned else 0
    runs: list[TileRun] = []
    row = at = 0
    for size in tiles:
        count = (rows - row) // size
        if size == tiles[-1]:
            count = -(-(rows - row) // size)
        if count < 1:
            continue
        tile_bytes = size * weight_type.row_bytes(columns, group_size)
        runs.append(TileRun(size, count, row, at, tile_bytes))
        row += count * size
        at += count * tile_bytes
    return Matrix(weight_type, rows, columns, group_size, together, offset, tuple(runs))
