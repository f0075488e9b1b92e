"""Computes the fingerprint of bytes that runtime/fingerprint.hpp computes alike: against mistakes and rot, not attackers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
CHUNK = 1 << 20  # counts the bytes of a piece: what a processor's cache holds


def _mix(z: U64) -> U64:
    """Applies the finaliser of splitmix64 (Steele, Lea, Flood 2014), modulo 2^64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Fingerprint:
    """Adds up chunks; every chunk but the last is a multiple of 4 bytes."""

    def __init__(self) -> None:
        self._sum = np.zeros(1, np.uint64)
        self._words = 0
        self._size = 0

    def add(self, data: bytes | memoryview) -> None:
        padded = bytes(data) + bytes(-len(data) % 4)
        words = np.frombuffer(padded, "<u4").astype(np.uint64)
        place = np.arange(self._words + 1, self._words + 1 + words.size, dtype=np.uint64)
        odd = _mix(place * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
        self._sum += (words * odd).sum(dtype=np.uint64)
        self._words += words.size
        self._size += len(data)

    def value(self) -> int:
        size = np.array([self._size], np.uint64)
        return int(_mix(self._sum ^ _mix(size))[0])


def fingerprint(data: bytes | memoryview) -> int:
    """Computes the 64-bit fingerprint of bytes."""
    result = Fingerprint()
    view = memoryview(data)
    for start in range(0, len(view), CHUNK):
        result.add(view[start : start + CHUNK])
    return result.value()


def fingerprint_file(path: Path) -> int:
    """Computes the 64-bit fingerprint of a file's bytes."""
    result = Fingerprint()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            result.add(chunk)
    return result.value()
