"""Reads the header of a safetensors file and accounts for every byte of it.

Format: https://github.com/huggingface/safetensors: u64 header length, a JSON object of name -> dtype, shape and
data_offsets (relative to the header's end), then the tensors without gap or overlap to the file's end.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

from codegen.errors import BakeError, shown
from codegen.formats.json_file import parse_object
from codegen.formats.stored import Stored
from codegen.input import LARGEST, read_bytes

MOST_TENSORS = 100_000
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
READABLE = ("F32", "F16", "BF16")


def looks_like_safetensors(head: bytes) -> bool:
    """Tells whether a file that begins with these ten bytes is meant as safetensors.

    A llama2.c legacy header with these bytes would have 8827 layers or more, above codegen.model.LIMITS.
    """
    return head[8:10] in (b'{"', b"{}", b"{ ", b"{\n")


def read_safetensors(path: Path) -> dict[str, Stored]:
    """Finds where each tensor of a safetensors file lies. Raises BakeError for all that the format forbids.

    Tensors of types other than F32, F16 and BF16 are refused by name.
    """
    head = read_bytes(path, 8)
    size = path.stat().st_size
    if len(head) < 8:
        raise BakeError(f"{path.name}: expected at least 8 bytes, found {size}; download the file again")
    (length,) = struct.unpack("<Q", head)
    if length > LARGEST:
        raise BakeError(f"{path.name}: header: expected at most {LARGEST} bytes, found {length}; is it safetensors?")
    if 8 + length > size:
        raise BakeError(f"{path.name}: header: expected {length} bytes, found {size - 8}; download the file again")
    header = parse_object(read_bytes(path, 8 + length)[8:], f"{path.name}: header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BakeError(f"{path.name}: __metadata__: expected strings by name, found {shown(metadata)}")
    if len(header) > MOST_TENSORS:
        raise BakeError(f"{path.name}: header: expected at most {MOST_TENSORS} tensors, found {len(header)}")

    start = 8 + length
    spans: list[tuple[int, int, str]] = []
    found: dict[str, Stored] = {}
    for name, entry in header.items():
        try:
            dtype, shape, begin, end = _entry(entry)
        except BakeError as error:
            raise BakeError(f"{path.name}: tensor {shown(name)}: {error}") from error
        expected = math.prod(shape) * ITEM_BYTES[dtype]
        if end - begin != expected:
            raise BakeError(
                f"{path.name}: tensor {shown(name)}: {dtype} of shape {shown(shape)} takes {expected} bytes, found offsets {begin} to "
                f"{end}; export the file again"
            )
        if dtype not in READABLE:
            raise BakeError(
                f"{path.name}: tensor {shown(name)}: dtype: expected one of {', '.join(READABLE)}, found {dtype}; convert it first"
            )
        spans.append((begin, end, name))
        found[name] = Stored(path, start + begin, dtype, shape)

    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            what = "overlaps the tensor before it" if begin < at else "leaves a gap before it"
            raise BakeError(
                f"{path.name}: tensor {shown(name)}: expected it at offset {at}, found {begin}, which {what}; "
                "export the file again"
            )
        at = end
    if start + at != size:
        raise BakeError(
            f"{path.name}: its header takes {start + at} bytes with all tensors, found {size}; download the file again"
        )
    return found


def _entry(entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Reads (dtype, shape, begin, end) of one header entry, each of the right type and range."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise BakeError(f"expected dtype, shape and data_offsets, found {shown(entry)}; export the file again")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise BakeError(f"dtype: expected one of {', '.join(READABLE)}, found {shown(dtype)}")
    if not isinstance(shape, list) or len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape):
        raise BakeError(f"shape: expected at most 8 sizes of 0 or more, found {shown(shape)}")
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(n) is int and 0 <= n < 1 << 63 for n in offsets)
        or offsets[0] > offsets[1]
    ):
        raise BakeError(f"data_offsets: expected a begin and an end not before it, found {shown(offsets)}")
    return dtype, tuple(shape), offsets[0], offsets[1]
