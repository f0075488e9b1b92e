"""The RoPE tables: what the C library computes, and what it computed when the fingerprints were stored."""

from __future__ import annotations

import ctypes
import ctypes.util
import dataclasses
import math
import os
import platform
import subprocess
from pathlib import Path

import model_files as files
import numpy as np
import pytest

from codegen.fingerprint import Fingerprint, fingerprint
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


# The tables of all even head sizes up to 512, one behind the other, by the number of positions: stored from glibc 2.36.
ALL_TABLES = {512: "ecb46bb3f3177834", 4096: "47bb0d2cdce18a90"}
POSITIONS = int(os.environ.get("STORYBAKE_POSITIONS", "512"))

C_TABLES = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
int main(int count, char** words) {
    for (int size = 2; size <= 512; size += 2) {
        for (int sine = 0; sine < 2; ++sine) {
            for (int position = 0; position < atoi(words[1]); ++position) {
                for (int i = 0; i < size; i += 2) {
                    float angle = position * (1.0f / powf(10000.0f, i / (float)size));
                    float value = sine ? sinf(angle) : cosf(angle);
                    fwrite(&value, sizeof value, 1, stdout);
                }
            }
        }
    }
    return count - 2;
}
"""


def test_tables_of_every_head_size() -> None:
    """With STORYBAKE_POSITIONS=4096, of as many positions, which takes a while."""
    model, all_of_them = files.tiny()[0], Fingerprint()
    for size in SIZES:
        table = rope_table(dataclasses.replace(model, head_size=size, rope_theta=10000.0, seq_len=POSITIONS))
        all_of_them.add(table.tobytes())
    assert f"{all_of_them.value():016x}" == ALL_TABLES[POSITIONS]


def test_tables_are_this_c_librarys_without_fused_operations(tmp_path: Path) -> None:
    if platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        pytest.skip("only glibc for x86-64 can be told to leave fused operations out")
    (tmp_path / "tables.c").write_text(C_TABLES)
    build = ["gcc", "-O2", "-ffp-contract=off", tmp_path / "tables.c", "-o", tmp_path / "tables", "-lm"]
    subprocess.run(build, check=True)
    plain = os.environ | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2"}
    found = Fingerprint()
    with subprocess.Popen([tmp_path / "tables", str(POSITIONS)], stdout=subprocess.PIPE, env=plain) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 20):
            found.add(chunk)
    assert process.returncode == 0 and f"{found.value():016x}" == ALL_TABLES[POSITIONS]
