"""Seals a linked program: writes fingerprints of its own file into it, which --selftest compares (runtime/seal.hpp).

    python3 -m codegen.seal LINKED PROGRAM
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from codegen.command import run_command
from codegen.errors import BakeError, refuse
from codegen.fingerprint import fingerprint
from codegen.input import read_whole
from codegen.output import write_if_changed

MARK = b"storybake seal\x8f\xa6"
MACH_O = b"\xcf\xfa\xed\xfe"  # begins a program of macOS, which is signed: it has no seal
HEADER = 64  # counts the bytes of an ELF header, part of the rest: stripping symbols changes it
LOAD = 1  # is PT_LOAD: a segment that is loaded
FIELDS = struct.Struct("<5Q")  # holds at, loaded_end, size, loaded, rest
FINGERPRINTS = 16  # counts the bytes of both, the last of the fields


def loaded_end(data: bytes, name: str) -> int:
    """Finds where the last segment of a little-endian 64-bit ELF file ends."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise BakeError(f"{name}: expected a little-endian 64-bit ELF program, found {data[:6].hex()}; link one for Linux")
    try:
        (start,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<2H", data, 54)
        segments = [struct.unpack_from("<2I5Q", data, start + i * size) for i in range(count)]
    except struct.error:
        raise BakeError(f"{name}: expected the headers of a program, found that they are cut short; link it again") from None
    ends: list[int] = [offset + in_file for kind, _, offset, _, _, in_file, _ in segments if kind == LOAD]
    return max(ends, default=0)


def seal(data: bytes, name: str) -> bytes:
    """Returns the program with its seal filled in. Raises BakeError for an ELF file that has not exactly one place for it."""
    if data.startswith(MACH_O):
        return data
    if data.count(MARK) != 1:
        raise BakeError(f"{name}: expected one place for a seal, found {data.count(MARK)}; link it with runtime/seal.cpp")
    fields = data.index(MARK) + len(MARK)
    behind = fields + FIELDS.size
    at, end = behind - FINGERPRINTS, loaded_end(data, name)
    if at % 4 or not HEADER <= at <= end - FINGERPRINTS:
        raise BakeError(f"{name}: expected the seal in a loaded segment, at a multiple of 4, found it at {at}; link it again")
    start = data[:fields] + FIELDS.pack(at, end, len(data), 0, 0)[:-FINGERPRINTS]
    loaded = fingerprint(start[HEADER:] + data[behind:end])
    rest = fingerprint(data[:HEADER] + data[end:])
    return start + struct.pack("<2Q", loaded, rest) + data[behind:]


def main(argv: list[str]) -> int:
    linked, program = (Path(word) for word in argv)
    try:
        write_if_changed(program, seal(read_whole(linked), linked.name))
    except BakeError as error:
        return refuse("storybake", error)
    shutil.copymode(linked, program)
    return 0


if __name__ == "__main__":
    run_command("storybake", main)
