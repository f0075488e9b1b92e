"""Loudness as EBU R128 counts it: libebur128's, through its C interface."""

from __future__ import annotations

import ctypes
import ctypes.util

import numpy as np
import pytest
from programs import RATE

MODE_GLOBAL, MODE_TRUE_PEAK = 0b101, 0b110000 | 0b10001  # EBUR128_MODE_I; EBUR128_MODE_TRUE_PEAK with what it contains


def measure(sound: np.ndarray) -> tuple[float, float]:
    """The loudness of the whole sound in LUFS, and its highest true peak in dBTP; `sound` is float64 of [-1, 1)."""
    name = ctypes.util.find_library("ebur128")
    if name is None:
        pytest.skip("no libebur128; run: tools/setup check")
    library = ctypes.CDLL(name)
    library.ebur128_init.restype = ctypes.c_void_p
    state = ctypes.c_void_p(library.ebur128_init(1, ctypes.c_ulong(RATE), MODE_GLOBAL | MODE_TRUE_PEAK))
    samples = np.ascontiguousarray(sound, np.float64)
    pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    loudness, peak = ctypes.c_double(), ctypes.c_double()
    try:
        assert library.ebur128_add_frames_double(state, pointer, ctypes.c_size_t(len(samples))) == 0
        assert library.ebur128_loudness_global(state, ctypes.byref(loudness)) == 0
        assert library.ebur128_true_peak(state, 0, ctypes.byref(peak)) == 0
    finally:
        library.ebur128_destroy(ctypes.byref(state))
    return loudness.value, 20 * float(np.log10(max(peak.value, 1e-9)))
