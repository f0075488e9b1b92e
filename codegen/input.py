"""Reads bytes of files, for every format, whatever it is. Errors name the file, and 66 is one that can't be read."""

from __future__ import annotations

from pathlib import Path

from codegen.errors import MISSING_FILE, BakeError

# Limits the bytes of a file that is read whole: 200000 tensors or a vocabulary of 400000 in JSON.
LARGEST = 1 << 25


def read_bytes(path: Path, count: int) -> bytes:
    """Reads the first `count` bytes of a file (fewer when it is shorter); BakeError 66 when it can't be read."""
    try:
        if not path.is_file():
            reason = "is not a regular file" if path.exists() else "no such file"
            raise BakeError(f"{path}: {reason}; expected a model", MISSING_FILE)
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error


def read_small(path: Path, largest: int = LARGEST) -> bytes:
    """Reads a whole file of at most `largest` bytes; BakeError 66 when it is missing, 65 when it is longer."""
    data = read_whole(path, largest + 1)
    if len(data) > largest:
        raise BakeError(f"{path.name}: expected at most {largest} bytes, found more; is it the right file?")
    return data


def read_whole(path: Path, count: int = -1) -> bytes:
    """Reads a whole regular file, or its first `count` bytes; BakeError 66 when it can't be read."""
    try:
        if not path.is_file():
            reason = "is not a regular file" if path.exists() else "no such file"
            raise BakeError(f"{path}: {reason}", MISSING_FILE)
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error


def read_span(path: Path, offset: int, count: int, label: str) -> bytes:
    """Reads `count` bytes of a file from `offset`; BakeError when they can't be read or are no longer there."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(count)
    except OSError as error:
        raise BakeError(f"{label}: can't be read: {error.strerror}", MISSING_FILE) from error
    if len(data) != count:
        raise BakeError(f"{label}: expected {count} bytes, found {len(data)}; the file shrank while it was read")
    return data
