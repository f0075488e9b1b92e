"""Defines what a tensor is: an array of float32, or integers in groups with a scale each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.errors import BakeError

FloatArray = npt.NDArray[np.float32]
Int8Array = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Quantized:
    """Holds a matrix of integers in groups along its rows: value[r, c] = q[r, c] * s[r, c // group_size].

    q: (rows, columns) int8, of q4 -8 to 7; s: (rows, columns / group_size) float32, of q4 representable as float16.
    """

    q: Int8Array
    s: FloatArray


Tensor = FloatArray | Quantized


def check_finite(values: npt.NDArray[Any], label: str) -> FloatArray:
    """Returns the values when all are finite; raises BakeError with their count otherwise."""
    floats: FloatArray = values.astype(np.float32, copy=False)
    bad = int(floats.size - np.count_nonzero(np.isfinite(floats)))
    if bad:
        raise BakeError(
            f"{label}: expected finite numbers, found {bad} NaN or infinity of {floats.size}; "
            "the checkpoint is damaged: export it again"
        )
    return floats
