"""Reads JSON of untrusted files: UTF-8, no duplicate keys, bounded in bytes and in values, and each value's type checked when
it is asked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from codegen.errors import BakeError, shown
from codegen.input import read_small

LARGEST_CONFIG = 1 << 22  # limits the bytes of config.json and its like
# What Python makes an object of takes 50 to 200 bytes: these keep any file within 200 MB and a second. The largest
# vocabularies have 260000 pieces and 520000 merges, the largest models 100000 tensors.
MOST_OF = {b"{": 150_000, b"[": 600_000, b":": 530_000, b",": 2_000_000}

Object = dict[str, Any]
T = TypeVar("T")


def parse_object(data: bytes, source: str) -> Object:
    """Parses the JSON object in `data`; BakeError for anything else, for duplicate keys, for NaN and for too many values."""

    def unique(pairs: list[tuple[str, Any]]) -> Object:
        result = dict(pairs)
        if len(result) != len(pairs):
            (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
            raise BakeError(f"{source}: key {shown(key)}: expected once, found twice; export the file again")
        return result

    def refuse(constant: str) -> Any:
        raise BakeError(f"{source}: expected JSON numbers, found {constant}; export the file again")

    for mark, most in MOST_OF.items():
        if (count := data.count(mark)) > most:
            raise BakeError(f"{source}: expected at most {most} of '{mark.decode()}', found {count}; is it the right file?")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError as error:
        raise BakeError(f"{source}: expected JSON in UTF-8: found it nested too deeply; is it the right file?") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise BakeError(f"{source}: expected JSON in UTF-8: {shown(str(error))}; download the file again") from error
    if not isinstance(value, dict):
        raise BakeError(f"{source}: expected a JSON object, found {kind_of(value)}; is it the right file?")
    return value


def read_object(path: Path, largest: int = LARGEST_CONFIG) -> Object:
    """Reads the JSON object that a file holds."""
    return parse_object(read_small(path, largest), path.name)


KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "an integer", float: "a number",
         type(None): "null"}  # fmt: skip


def kind_of(value: object) -> str:
    """Names the JSON type of a value."""
    return KINDS[type(value)]


def typed(values: Object, key: str, kind: type[T], source: str) -> T | None:
    """Returns the value of a key when it is of a type, None when it is null or missing; BakeError when it is of another one."""
    value = values.get(key)
    if value is None:
        return None
    if type(value) is not kind:  # bool is a subclass of int
        raise BakeError(f"{source}: {key}: expected {KINDS[kind]}, found {shown(value)}; export the file again")
    return value


def objects(values: Object, key: str, source: str) -> list[Object]:
    """Returns the objects of a list by its key; none when it is null or missing."""
    items = typed(values, key, list, source) or []
    for item in items:
        if not isinstance(item, dict):
            raise BakeError(f"{source}: {key}: expected objects, found {shown(item)}; export the file again")
    return items


def integer(values: Object, key: str, source: str, default: int | None = None) -> int:
    """Reads an integer by its key; a missing or null one is `default`, or an error when there is none."""
    value = values.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int:  # bool is a subclass of int
        raise BakeError(f"{source}: {key}: expected an integer, found {shown(value)}; is it a llama model's?")
    return value


# Bound what a constant of a model can be: outside, float32 has no number, or none that the model's arithmetic can divide by.
LEAST, MOST = 1e-20, 1e20


def number(values: Object, key: str, source: str, default: float | None) -> float:
    """Reads a number above 0 that float32 can divide by, by its key; a missing or null one is `default`, if there is one."""
    value = values.get(key)
    if value is None and default is not None:
        return default
    if value is None or type(value) not in (int, float) or not LEAST <= value <= MOST:
        raise BakeError(
            f"{source}: {key}: expected a number above 0, 1e-20 to 1e20, found {shown(value)}; is it a llama model's?"
        )
    return float(value)
