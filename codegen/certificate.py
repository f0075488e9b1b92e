"""Finds the rows of a classifier that training never told apart, for the certificate of a token (docs/arithmetic.md).

Rows of tokens that the training text never has collapse onto one vector: weight decay shrinks them alike, and the gradient
is the same for all. With their centroid c and radius R, each of their logits lies in c·x ± R‖x‖, so that a token can be
drawn without computing them. They are packed behind the others, the head; both parts keep the order of their tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codegen.tensor import FloatArray, Quantized, Tensor

Doubles = npt.NDArray[np.float64]

SAMPLE = 512  # counts the rows among whom the densest place is looked for
NEIGHBOURS = SAMPLE // 20  # a tail of less than a twentieth of the rows is not looked for
# Says how far R‖x‖ may put a logit from the middle of its bracket, in nats, for an activation of the final norm's own length. Of
# stories260K, whose tail lies at the median 15 nats below the top, 3 proves as many tokens as 0.5, with a third more rows.
REACH = 3.0
# Say when a tail within less is taken: it has this share of the rows at least, and half the radius at most. A few rows lie far from
# the thousands that training drew together to a thousandth of it, and would widen the bracket of all.
NARROWER = (1.0, 0.3)
ENOUGH = 31 / 32
ROUNDS = 12  # counts rounds of trimming and re-centring; 3 to 5 are enough in practice
SMALLEST_SHARE = 1 / 16  # is the tail's of all rows; a smaller one is not worth its bracket
ROUNDING = 1 + 1e-9  # exceeds what computing a distance in float64 is off by


@dataclass(frozen=True)
class Tail:
    """Says how a classifier's rows are packed, and where those behind `head_rows` lie.

    `token_of_row` (vocab_size,); `centroid` (dim,) float32; `radius`: no row of the tail is farther from it.
    """

    token_of_row: npt.NDArray[np.int64]
    head_rows: int
    centroid: FloatArray
    radius: float

    @property
    def row_of_token(self) -> npt.NDArray[np.int64]:
        """Inverts token_of_row: (vocab_size,)."""
        return np.argsort(self.token_of_row)


def find_tail(classifier: Tensor, norm: FloatArray, tile_rows: int) -> Tail | None:
    """Finds the tail of a classifier (vocab_size, dim) behind an rmsnorm with weights `norm` (dim,), its head being whole tiles of
    `tile_rows` rows; None where there is none worth having."""
    count = _shape(classifier)[0]
    length = max(float(np.sqrt(np.square(norm, dtype=np.float64).sum())), 1e-30)
    place = _densest_place(_values(classifier, np.linspace(0, count - 1, min(SAMPLE, count)).astype(np.int64)))
    found = _tail_within(classifier, place, REACH / length, tile_rows)
    for reach in NARROWER:
        if found is None:
            break
        tail = _tail_within(classifier, found.centroid.astype(np.float64), reach / length, tile_rows)
        if tail and count - tail.head_rows >= ENOUGH * (count - found.head_rows) and tail.radius <= found.radius / 2:
            found = tail
    return found


def _tail_within(classifier: Tensor, centroid: Doubles, reach: float, tile_rows: int) -> Tail | None:
    """Finds the tail of rows within a distance of their centroid, which is looked for from a place near it."""
    count = _shape(classifier)[0]
    for _ in range(ROUNDS):
        near = np.flatnonzero(_distances(classifier, centroid) <= reach)
        if near.size < max(2, count * SMALLEST_SHARE):
            return None
        moved = _mean(classifier, near)
        if np.array_equal(moved, centroid):
            break
        centroid = moved
    rounded = centroid.astype(np.float32)
    distances = _distances(classifier, rounded.astype(np.float64))
    # The head ends with a whole tile: what is lacking comes from the outermost rows of the tail.
    head_rows = -(-int((distances > reach).sum()) // tile_rows) * tile_rows
    head_rows = max(head_rows, tile_rows)
    if count - head_rows < max(2, count * SMALLEST_SHARE):
        return None
    by_distance = np.argsort(-distances, kind="stable")
    order = np.concatenate((np.sort(by_distance[:head_rows]), np.sort(by_distance[head_rows:])))
    return Tail(order, head_rows, rounded, float(distances[order[head_rows:]].max()) * ROUNDING)


def reorder(classifier: Tensor, tail: Tail) -> Tensor:
    """Returns the rows as they are packed."""
    order = tail.token_of_row
    return Quantized(classifier.q[order], classifier.s[order]) if isinstance(classifier, Quantized) else classifier[order]


def _shape(tensor: Tensor) -> tuple[int, int]:
    """Returns the numbers of rows and columns."""
    rows, columns = tensor.q.shape if isinstance(tensor, Quantized) else tensor.shape
    return rows, columns


def _values(tensor: Tensor, rows: npt.NDArray[np.int64] | slice) -> Doubles:
    """Returns rows as the kernels multiply them, exact in float64."""
    if not isinstance(tensor, Quantized):
        return tensor[rows].astype(np.float64)
    q = tensor.q[rows].astype(np.float64)
    values: Doubles = (q.reshape(len(q), tensor.s.shape[1], -1) * tensor.s[rows].astype(np.float64)[:, :, None]).reshape(q.shape)
    return values


def _blocks(tensor: Tensor) -> list[slice]:
    """Yields rows few enough to be held in float64 at once."""
    count, columns = _shape(tensor)
    step = max((1 << 22) // columns, 1)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _distances(tensor: Tensor, centroid: Doubles) -> Doubles:
    """Returns the distance of every row from a vector."""
    return np.concatenate([np.sqrt(np.square(_values(tensor, block) - centroid).sum(axis=1)) for block in _blocks(tensor)])


def _mean(tensor: Tensor, rows: npt.NDArray[np.int64]) -> Doubles:
    """Returns the mean of some rows."""
    chosen = np.zeros(max(block.stop for block in _blocks(tensor)), bool)
    chosen[rows] = True
    total: Doubles = sum(_values(tensor, block)[chosen[block]].sum(axis=0) for block in _blocks(tensor)) / rows.size
    return total


def _densest_place(rows: Doubles) -> Doubles:
    """Returns the mean of the row whose NEIGHBOURS nearest rows are nearest, and of these."""
    squares = np.square(rows).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * (rows @ rows.T)
    neighbours = max(min(NEIGHBOURS, len(rows) // 4), 1)
    reach = np.partition(distances, min(neighbours, len(rows) - 1), axis=1)[:, min(neighbours, len(rows) - 1)]
    nearest = np.argsort(distances[int(reach.argmin())], kind="stable")[:neighbours]
    mean: Doubles = rows[nearest].mean(axis=0)
    return mean
