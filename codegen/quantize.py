"""Quantises float32 weights to llama2.c's int8 (version 2) groups."""

from __future__ import annotations

import numpy as np

from codegen.checkpoint import FloatArray, Quantized, check_finite
from codegen.errors import BakeError


def quantize_q8(values: FloatArray, group_size: int) -> Quantized:
    """Quantises (rows, columns) float32 in groups of `group_size` along its rows; symmetric, to -127..127.

    The integers and scales are those of export.py (llama2.c 350e04f, quantize_q80): scale = max|w| / 127 and
    w / scale, both in float32, rounded half to even as torch.round does. (runq.c rounds its activations half away
    from zero; that does not concern weights.) Where export.py is undefined: a group of zeros, or of values so small
    that their scale is 0, has scale 0 and quants 0; with a subnormal scale, too coarse to keep w / scale within 127,
    quants are clamped. Raises BakeError when `group_size` does not divide the rows.
    """
    rows, columns = values.shape
    if group_size < 1 or columns % group_size:
        raise BakeError(f"group size: expected a divisor of rows of {columns}, found {group_size}")
    groups = values.astype(np.float32, copy=False).reshape(rows, columns // group_size, group_size)
    s: FloatArray = np.abs(groups).max(axis=2) / np.float32(127)
    divisor = np.where(s > 0, s, np.float32(1))[:, :, None]
    quants = np.clip(np.rint(groups / divisor), -127, 127)
    quants[s == 0] = 0
    return Quantized(quants.astype(np.int8).reshape(rows, columns), s)


def dequantize(tensor: Quantized) -> FloatArray:
    """(rows, columns) float32: each quant times its group's scale, as runq.c does for the embedding.

    Raises BakeError when a product is too large for float32.
    """
    rows, columns = tensor.q.shape
    groups = tensor.q.reshape(rows, tensor.s.shape[1], -1).astype(np.float32)
    with np.errstate(over="ignore"):
        values: FloatArray = (groups * tensor.s[:, :, None]).reshape(rows, columns)
    return check_finite(values, "dequantised weights")
