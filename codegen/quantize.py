"""Rounds float32 weights to the other weight types: float16, llama2.c's int8 groups, and int4 groups."""

from __future__ import annotations

import numpy as np

from codegen.errors import BakeError
from codegen.tensor import FloatArray, Quantized, check_finite

LARGEST_HALF = np.float32(65504)


def round_to_half(values: FloatArray, label: str) -> FloatArray:
    """Rounds to the float16 nearest to each value, halves to even, as float32. Raises BakeError, naming `label`, when one is beyond
    the largest float16."""
    bad = int(np.count_nonzero(np.abs(values) > LARGEST_HALF))
    if bad:
        raise BakeError(
            f"{label}: expected magnitudes up to 65504, the largest float16, found {bad} of {values.size} beyond; "
            "take f32 or q8"
        )
    halves: FloatArray = values.astype(np.float16).astype(np.float32)
    return halves


def quantize_q8(values: FloatArray, group_size: int) -> Quantized:
    """Quantises (rows, columns) float32 in groups of `group_size` along its rows; symmetric, to -127..127.

    The integers and scales are those of export.py (llama2.c 350e04f, quantize_q80): scale = max|w| / 127 and
    w / scale, both in float32, rounded half to even as torch.round does. (runq.c rounds its activations half away
    from zero; that does not concern weights.) Where export.py is undefined: a group of zeros, or of values so small
    that their scale is 0, has scale 0 and quants 0; with a subnormal scale, too coarse to keep w / scale within 127,
    quants are clamped. Raises BakeError when `group_size` does not divide the rows.
    """
    groups = _groups(values, group_size)
    s: FloatArray = np.abs(groups).max(axis=2) / np.float32(127)
    divisor = np.where(s > 0, s, np.float32(1))[:, :, None]
    quants = np.clip(np.rint(groups / divisor), -127, 127)
    quants[s == 0] = 0
    return Quantized(quants.astype(np.int8).reshape(values.shape), s)


# Lists what the search for a q4 scale lets the value of largest magnitude become: -8, the one quant without a counterpart, 7, and
# what lies around them, so that the largest value is cut off or the range not used up. 226 candidates from 5 to 12 instead
# of these 22 lower the squared error of normally distributed weights in groups of 32 by 0.1 %; -8 alone raises it by 7.7 %.
Q4_EXTREMES = tuple(np.float32(sign * at / 4) for sign in (-1, 1) for at in range(26, 37))
Q4_BLOCK = 4096  # counts the groups that are searched at once: what a cache holds


def quantize_q4(values: FloatArray, group_size: int, label: str) -> Quantized:
    """Quantises (rows, columns) float32 in groups of `group_size` along its rows to -8..7 with float16 scales.

    For each group the scale, of either sign, that leaves the smallest squared error among those that map its largest
    value to one of Q4_EXTREMES, each first set to the least-squares optimum of the quants it gives and rounded to
    float16. Every sum is in order, so that the result depends on no library or processor.
    A group of zeros has scale 0 and quants 0. Raises BakeError, naming `label`, when a scale is beyond float16.
    """
    groups = _groups(values, group_size).reshape(-1, group_size)
    bad = int(np.count_nonzero(np.abs(values) > 6 * LARGEST_HALF))
    if bad:
        raise BakeError(
            f"{label}: expected magnitudes whose q4 scale fits float16, up to {6 * 65504}, found {bad} of {values.size} "
            "beyond; take f32 or q8"
        )
    q = np.empty(groups.shape, np.int8)
    s = np.empty(len(groups), np.float32)
    for start in range(0, len(groups), Q4_BLOCK):
        block = slice(start, start + Q4_BLOCK)
        quants, s[block] = _search_q4(np.ascontiguousarray(groups[block].T))
        q[block] = quants.T
    return Quantized(q.reshape(values.shape), s.reshape(len(values), -1))


def _search_q4(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the quants (group_size, n) and the scales (n,) of n groups (group_size, n)."""
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=0)[None], axis=0)[0]
    useful = np.abs(extreme) > 2.0**-25  # below half of the smallest float16, no scale is better than 0
    scale, gain = np.zeros_like(extreme), np.zeros_like(extreme)
    product = np.empty_like(x)
    for target in Q4_EXTREMES:
        quants = _round_q4(x, np.divide(target, extreme, out=np.zeros_like(extreme), where=useful))
        squares = np.add.reduce(np.multiply(quants, quants, out=product), axis=0)
        products = np.add.reduce(np.multiply(quants, x, out=product), axis=0)
        candidate = (products / np.maximum(squares, np.float32(1))).astype(np.float16).astype(np.float32)
        # sum (x - candidate * quants)^2 is sum x^2 less this
        gained = candidate * (2 * products - candidate * squares)
        better = gained > gain
        np.copyto(gain, gained, where=better)
        np.copyto(scale, candidate, where=better)
    return _round_q4(x, _inverse(scale)), scale


def _inverse(scale: FloatArray) -> FloatArray:
    """Computes 1 / scale, and 0 of 0."""
    result: FloatArray = np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)
    return result


def _round_q4(x: FloatArray, inverse: FloatArray) -> FloatArray:
    quants: FloatArray = np.rint(x * inverse)
    np.maximum(quants, np.float32(-8), out=quants)
    np.minimum(quants, np.float32(7), out=quants)
    return quants


def _groups(values: FloatArray, group_size: int) -> FloatArray:
    """Views (rows, columns) as (rows, groups, group_size) float32. Raises BakeError when `group_size` does not divide."""
    rows, columns = values.shape
    if group_size < 1 or columns % group_size:
        raise BakeError(f"group size: expected a divisor of rows of {columns}, found {group_size}")
    return values.astype(np.float32, copy=False).reshape(rows, columns // group_size, group_size)


def dequantize(tensor: Quantized) -> FloatArray:
    """Computes (rows, columns) float32: each quant times its group's scale, as runq.c does for the embedding.

    Raises BakeError when a product is too large for float32.
    """
    rows, columns = tensor.q.shape
    groups = tensor.q.reshape(rows, tensor.s.shape[1], -1).astype(np.float32)
    with np.errstate(over="ignore"):
        values: FloatArray = (groups * tensor.s[:, :, None]).reshape(rows, columns)
    return check_finite(values, "dequantised weights")
