"""JSON of untrusted files: UTF-8, no duplicate keys, bounded, and values that are checked when they are asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codegen.errors import MISSING_FILE, BakeError, shown

# Bytes. Enough for 200000 tensors or a vocabulary of 400000; Python's objects take 20 times as much. safetensors' own
# limit for its header is 100 MB.
LARGEST = 1 << 25

Object = dict[str, Any]


def parse_object(data: bytes, source: str) -> Object:
    """The JSON object in `data`; BakeError for anything else, for duplicate keys and for NaN."""

    def unique(pairs: Iterable[tuple[str, Any]]) -> Object:
        result: Object = {}
        for key, value in pairs:
            if key in result:
                raise BakeError(f"{source}: key {shown(key)}: expected once, found twice; export the file again")
            result[key] = value
        return result

    def refuse(constant: str) -> Any:
        raise BakeError(f"{source}: expected JSON numbers, found {constant}; export the file again")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise BakeError(f"{source}: expected JSON in UTF-8: {shown(str(error))}; download the file again") from error
    if not isinstance(value, dict):
        raise BakeError(f"{source}: expected a JSON object, found {type(value).__name__}; is it the right file?")
    return value


def read_object(path: Path) -> Object:
    """The JSON object a file holds."""
    return parse_object(read_small(path), path.name)


def read_small(path: Path, largest: int = LARGEST) -> bytes:
    """A whole file of at most `largest` bytes; BakeError 66 when it is missing, 65 when it is longer."""
    try:
        if not path.is_file():
            reason = "is not a regular file" if path.exists() else "no such file"
            raise BakeError(f"{path}: {reason}", MISSING_FILE)
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error
    if len(data) > largest:
        raise BakeError(f"{path.name}: expected at most {largest} bytes, found more; is it the right file?")
    return data


def integer(values: Object, key: str, source: str, default: int | None = None) -> int:
    """An integer by its key; a missing or null one is `default`, or an error when there is none."""
    value = values.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int:  # bool is a subclass of int
        found = "none" if value is None else shown(value)
        raise BakeError(f"{source}: {key}: expected an integer, found {found}; is it a llama model's?")
    return value


def number(values: Object, key: str, source: str, default: float) -> float:
    """A finite number above 0 by its key; a missing or null one is `default`."""
    value = values.get(key)
    if value is None:
        return default
    if type(value) not in (int, float) or not 0 < value < 1e30 or not math.isfinite(value):
        raise BakeError(f"{source}: {key}: expected a number above 0, found {shown(value)}; is it a llama model's?")
    return float(value)
