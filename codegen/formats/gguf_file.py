"""Reads the structure of a GGUF file: its metadata and where its tensors lie, with every byte accounted for.

Format: https://github.com/ggml-org/ggml, docs/gguf.md; what is refused follows gguf.cpp of the same project, and
padding has to be zero.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.formats.blocks import ENCODINGS
from codegen.formats.stored import Stored
from codegen.input import read_bytes

MAGIC = b"GGUF"
LARGEST_METADATA = 100_000_000  # limits the bytes; the largest vocabularies take a tenth of it
MOST_ENTRIES = 1 << 16  # limits the values, and the tensors
MOST_STRINGS = 1 << 20  # limits those in all arrays; the pieces and merges of the largest vocabularies take 840000
CHUNK = 1 << 20  # counts the bytes that are read ahead
LENGTH = struct.Struct("<Q")
LARGEST_ALIGNMENT = 1 << 16

STRING, ARRAY, BOOL = 8, 9, 7
SCALARS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "<u1", 10: "<u8", 11: "<i8",
           12: "<f8"}  # fmt: skip
TENSOR_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K",
    12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip

# Holds a value: a string is bytes, an array of numbers a NumPy array, an array of strings a list of bytes.
Value = bool | int | np.float32 | float | bytes | np.ndarray[Any, Any] | list[bytes]


@dataclass(frozen=True)
class Gguf:
    """Holds a GGUF file's metadata by key and its tensors by name, shapes with rows first."""

    name: str
    metadata: dict[str, Value]
    tensors: dict[str, Stored]


def text_of(metadata: Mapping[str, Value], key: str, source: str) -> bytes | None:
    """Returns a text by its key, None where there is none. Raises BakeError for a value of another type."""
    value = metadata.get(key)
    if value is not None and not isinstance(value, bytes):
        raise BakeError(f"{source}: {key}: expected a text, found {shown(value)}; convert the model again")
    return value


class _Cursor:
    """Reads forward into memory, never beyond the file's end or the limit for metadata."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file, self.size, self.name, self.at = file, size, name, 0
        self.strings_left = MOST_STRINGS
        self._data = bytearray()  # holds the file, from its beginning

    def take(self, count: int, what: str) -> bytes:
        self._need(count, what)
        self.at += count
        return bytes(self._data[self.at - count : self.at])

    def _need(self, count: int, what: str) -> None:
        if self.at + count <= len(self._data):
            return
        left = min(self.size, LARGEST_METADATA) - self.at
        if count > left:
            raise BakeError(f"{self.name}: {what}: expected {shown(count)} bytes, found {left} left; download the file again")
        self._data += self.file.read(max(self.at + count - len(self._data), CHUNK))
        if self.at + count > len(self._data):
            raise BakeError(f"{self.name}: {what}: the file shrank while it was read")

    def number(self, form: str, what: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form), what))[0]
        return value

    def string(self, what: str) -> bytes:
        return self.take(self.number("<Q", what), what)

    def strings(self, count: int, what: str) -> list[bytes]:
        """Reads those of an array; a vocabulary has hundreds of thousands, so this loop is the one that has to be quick."""
        if count > self.strings_left:
            raise BakeError(f"{self.name}: {what}: expected at most {MOST_STRINGS} strings in all, found {shown(count)} more")
        self.strings_left -= count
        unpack, data, found = LENGTH.unpack_from, self._data, []
        for _ in range(count):
            self._need(8, what)
            size = unpack(data, self.at)[0]
            self.at += 8
            self._need(size, what)
            found.append(bytes(data[self.at : self.at + size]))
            self.at += size
        return found

    def text(self, what: str) -> str:
        data = self.string(what)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BakeError(f"{self.name}: {what}: expected UTF-8, found {shown(data)}; export it again") from error


def read_gguf(path: Path) -> Gguf:
    """Reads a GGUF file of version 2 or 3. Raises BakeError naming the field that is wrong."""
    if read_bytes(path, 4) != MAGIC:
        raise BakeError(f"{path.name}: magic: expected 'GGUF', found {shown(read_bytes(path, 4))}")
    try:
        with path.open("rb") as file:
            return _read(path, _Cursor(file, path.stat().st_size, path.name))
    except OSError as error:
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error


def _read(path: Path, cursor: _Cursor) -> Gguf:
    cursor.take(4, "magic")
    version = cursor.number("<I", "version")
    if version not in (2, 3):
        found = "a big-endian file" if version in (2 << 24, 3 << 24) else str(version)
        raise BakeError(f"{path.name}: version: expected 2 or 3, found {found}; convert it with a current llama.cpp")
    n_tensors = cursor.number("<Q", "tensor count")
    n_values = cursor.number("<Q", "metadata count")
    if max(n_values, n_tensors) > MOST_ENTRIES:
        raise BakeError(
            f"{path.name}: expected at most {MOST_ENTRIES} values and as many tensors, found {shown(n_values)} and "
            f"{shown(n_tensors)}; download the file again"
        )

    metadata: dict[str, Value] = {}
    for _ in range(n_values):
        key = cursor.text("key")
        if not key or key in metadata:
            raise BakeError(f"{path.name}: key {shown(key)}: expected once and not empty; convert the model again")
        metadata[key] = _value(cursor, shown(key))
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 1 <= alignment <= LARGEST_ALIGNMENT or alignment & (alignment - 1):
        raise BakeError(
            f"{path.name}: general.alignment: expected a power of 2 up to {LARGEST_ALIGNMENT}, found {shown(alignment)}"
        )
    entries = [_tensor(cursor) for _ in range(n_tensors)]
    return Gguf(path.name, metadata, _place(path, cursor, entries, alignment))


def _value(cursor: _Cursor, what: str) -> Value:
    kind = cursor.number("<I", what)
    if kind == STRING:
        return cursor.string(what)
    if kind == ARRAY:
        inner = cursor.number("<I", what)
        count = cursor.number("<Q", what)
        if inner == STRING:
            return cursor.strings(count, what)
        dtype = _scalar(cursor, inner, what)
        values = np.frombuffer(cursor.take(count * dtype.itemsize, what), dtype)
        _check_bools(cursor, inner, values, what)
        return values
    dtype = _scalar(cursor, kind, what)
    values = np.frombuffer(cursor.take(dtype.itemsize, what), dtype)
    _check_bools(cursor, kind, values, what)
    if kind == BOOL:
        return bool(values[0])
    value: Value = np.float32(values[0]) if dtype == np.float32 else values[0].item()
    return value


def _scalar(cursor: _Cursor, kind: int, what: str) -> np.dtype[Any]:
    if kind not in SCALARS:
        raise BakeError(f"{cursor.name}: {what}: type: expected 0 to 12 (arrays not nested), found {kind}")
    return np.dtype(SCALARS[kind])


def _check_bools(cursor: _Cursor, kind: int, values: np.ndarray[Any, Any], what: str) -> None:
    if kind == BOOL and values.size and values.max() > 1:
        raise BakeError(f"{cursor.name}: {what}: expected 0 or 1, found {values.max()}; convert the model again")


def _tensor(cursor: _Cursor) -> tuple[str, tuple[int, ...], str, int]:
    """Reads (name, shape, encoding, offset) of one tensor."""
    name = cursor.text("tensor name")
    what = f"tensor {shown(name)}"
    n_dims = cursor.number("<I", what)
    if not 1 <= n_dims <= 4:
        raise BakeError(f"{cursor.name}: {what}: dimensions: expected 1 to 4, found {n_dims}; convert the model again")
    shape = tuple(cursor.number("<Q", what) for _ in range(n_dims))[::-1]  # GGUF has the row length first
    kind = cursor.number("<I", what)
    offset = cursor.number("<Q", what)
    if not all(1 <= n < 1 << 40 for n in shape):
        raise BakeError(f"{cursor.name}: {what}: expected sizes of 1 or more, found {shape}; convert the model again")
    encoding = TENSOR_TYPES.get(kind, f"number {kind}")
    if encoding not in ENCODINGS:
        raise BakeError(
            f"{cursor.name}: {what}: type: expected {', '.join(ENCODINGS)}, found {encoding}; "
            "quantise the model to one of those with llama-quantize"
        )
    block = ENCODINGS[encoding].values
    if shape[-1] % block:
        raise BakeError(f"{cursor.name}: {what}: {encoding} takes rows of a multiple of {block}, found {shape[-1]}")
    return name, shape, encoding, offset


def _place(
    path: Path, cursor: _Cursor, entries: list[tuple[str, tuple[int, ...], str, int]], alignment: int
) -> dict[str, Stored]:
    """Checks that the tensors follow each other in the listed order, padded with zeros, to the file's end."""
    start = -(-cursor.at // alignment) * alignment
    end, tensors = cursor.at, {}
    for name, shape, encoding, offset in entries:
        what = f"{path.name}: tensor {shown(name)}"
        if name in tensors:
            raise BakeError(f"{what}: expected once, found twice; convert the model again")
        begin = -(-end // alignment) * alignment
        if start + offset != begin:
            raise BakeError(f"{what}: offset: expected {begin - start}, found {offset}; convert the model again")
        tensors[name] = Stored(path, begin, encoding, shape)
        if begin + tensors[name].bytes > cursor.size:
            raise BakeError(
                f"{what}: expected {math.prod(shape)} values of {encoding} at byte {begin}, the file ends at "
                f"{cursor.size}; download it again"
            )
        _check_padding(path, cursor, end, begin)
        end = begin + tensors[name].bytes
    if cursor.size not in (end, -(-end // alignment) * alignment):
        raise BakeError(f"{path.name}: its tensors end at byte {end}, the file at {cursor.size}; download it again")
    _check_padding(path, cursor, end, cursor.size)
    return tensors


def _check_padding(path: Path, cursor: _Cursor, begin: int, end: int) -> None:
    cursor.file.seek(begin)
    if any(cursor.file.read(end - begin)):
        raise BakeError(f"{path.name}: padding: expected zeros from byte {begin} to {end}, found others")
