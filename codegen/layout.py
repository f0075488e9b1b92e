"""How a weight matrix lies in memory: tiles of rows, stored in the order in which the kernels read them.

    weight type + rows and columns + Target -> Matrix

codegen.pack writes what is described here, the templates' kernels read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.model import QUANTIZED
from codegen.targets import Target

# Bytes of a float type's weight.
FLOAT_BYTES = {"f32": 4, "f16": 2}
Q4_BIAS = 8  # what is added to the packed int4, so that they are 0 to 15


@dataclass(frozen=True)
class TileRun:
    """`count` tiles of `rows` rows each, from row `first_row` and byte `offset` of the matrix on."""

    rows: int
    count: int
    first_row: int
    offset: int
    tile_bytes: int

    @property
    def end_row(self) -> int:
        """One past the last row of the run; past the matrix's own rows where the last tile is padded."""
        return self.first_row + self.rows * self.count


@dataclass(frozen=True)
class Matrix:
    """The layout of a weight matrix W (rows, columns): runs of tiles of R rows. A tile is

    f32, f16  for each column, R floats
    q8        for each group: its columns as int8, `together` of a row side by side, then R float32 scales
    q4        for each group: its columns as nibbles, then R float16 scales. 2 * `together` columns of a row share
              `together` bytes: the first half of them the lower nibbles, the second half the upper ones, so that an AND
              and a shift unpack a whole vector

    `bias` is added to every integer where a kernel wants them unsigned: 8 to q4; 128 to q8 where the dot product does.
    """

    weight_type: str
    rows: int
    columns: int
    group_size: int
    together: int
    bias: int
    runs: tuple[TileRun, ...]

    @property
    def quantized(self) -> bool:
        return self.weight_type in QUANTIZED

    @property
    def padded_rows(self) -> int:
        return self.runs[-1].end_row

    @property
    def bytes(self) -> int:
        """Bytes of the tiles."""
        return sum(run.count * run.tile_bytes for run in self.runs)

    @property
    def groups(self) -> int:
        """Groups in a row; 1 for float types."""
        return self.columns // self.group_size if self.group_size else 1

    @property
    def macs(self) -> int:
        return self.rows * self.columns

    @property
    def shape(self) -> str:
        return f"{self.rows}x{self.columns}"


def row_bytes(weight_type: str, columns: int, group_size: int) -> int:
    """Bytes of a row of `columns` weights, its scales included."""
    if weight_type in FLOAT_BYTES:
        return FLOAT_BYTES[weight_type] * columns
    groups = columns // group_size
    return columns + 4 * groups if weight_type == "q8" else columns // 2 + 2 * groups


def lay_out(
    weight_type: str, rows: int, columns: int, group_size: int, target: Target, tiles: tuple[int, ...] = ()
) -> Matrix:
    """Cuts a matrix into runs of tiles: as many of the largest size as fit, then of the next; the rest is padded.

    `tiles` are the target's for the weight type when they are not given; `group_size` does not concern float types.
    Columns lie together only when a group is a whole number of them; else the kernels take one at a time.
    """
    tiles = tiles or target.tiles(weight_type)
    group_size = group_size if weight_type in QUANTIZED else 0
    together, bias = 1, 0
    if weight_type == "q8" and group_size % target.q8_columns == 0:
        together, bias = target.q8_columns, target.q8_bias
    elif weight_type == "q4":
        together, bias = target.q4_columns if group_size % (2 * target.q4_columns) == 0 else 1, Q4_BIAS
    runs: list[TileRun] = []
    row = offset = 0
    for size in tiles:
        count = (rows - row) // size
        if size == tiles[-1]:
            count = -(-(rows - row) // size)
        if count < 1:
            continue
        tile_bytes = size * row_bytes(weight_type, columns, group_size)
        runs.append(TileRun(size, count, row, offset, tile_bytes))
        row += count * size
        offset += count * tile_bytes
    return Matrix(weight_type, rows, columns, group_size, together, bias, tuple(runs))
