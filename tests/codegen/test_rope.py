"""The RoPE tables: what the C library computes, and what it computed when the fingerprints were stored."""

from __future__ import annotations

import ctypes
import ctypes.util
import dataclasses
import math

import model_files as files
import numpy as np
import pytest

from codegen.fingerprint import fingerprint
from codegen.rope import powf, rope_table

BASES = (10000.0, 50000.0, 100000.0, 500000.0, 1000000.0, 1234.5)
SIZES = range(2, 514, 2)


def powers(base: float, size: int) -> list[float]:
    return [powf(base, float(np.float32(i) / np.float32(size))) for i in range(0, size, 2)]


@pytest.mark.parametrize(("base", "expected"), [
    (10000.0, "d2862a2a7cee1a39"), (500000.0, "ff255455b7f77da8"), (1234.5, "79cba6ed7cb22452"),
])
def test_powers_of_every_head_size(base: float, expected: str) -> None:
    """Stored from glibc 2.36, which gives the same with and without fused operations."""
    values = np.array([value for size in SIZES for value in powers(base, size)], "<f4")
    assert f"{fingerprint(values.tobytes()):016x}" == expected
    exponents = [np.float32(i) / np.float32(150) for i in range(0, 150, 2)]
    rounded = [float(np.float32(math.pow(base, exponent))) for exponent in exponents]
    assert base != 10000.0 or rounded != powers(base, 150), "correct rounding is not what the C library does"


@pytest.mark.parametrize("base", BASES)
def test_powers_are_this_c_librarys(base: float) -> None:
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    library.powf.restype, library.powf.argtypes = ctypes.c_float, (ctypes.c_float, ctypes.c_float)
    for size in SIZES:
        found = [library.powf(base, float(np.float32(i) / np.float32(size))) for i in range(0, size, 2)]
        assert powers(base, size) == found, size


@pytest.mark.parametrize(("size", "theta", "expected"), [
    (8, 10000.0, "fab95644042ad2c0"), (150, 10000.0, "8b92e412ef3ab6cf"), (48, 50000.0, "e90a579e1031405d"),
    (20, 500000.0, "32367d25dfd99990"),
])
def test_tables(size: int, theta: float, expected: str) -> None:
    """Stored from glibc 2.36: cosines and sines of 512 positions; heads of 150 are where powf is not correctly rounded."""
    model = dataclasses.replace(files.tiny()[0], head_size=size, rope_theta=theta, seq_len=512)
    assert f"{fingerprint(rope_table(model).tobytes()):016x}" == expected
