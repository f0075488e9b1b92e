"""What seals a linked program refuses, and what it writes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from codegen.errors import BakeError
from codegen.fingerprint import fingerprint
from codegen.seal import FIELDS, HEADER, MARK, loaded_end, main, seal

PROGRAM_HEADER = struct.Struct("<2I6Q")


def elf(inside: bytes = MARK + bytes(FIELDS.size), loaded: int = 400, behind: bytes = b"symbols") -> bytes:
    """A program of one segment that begins with the headers and ends at byte `loaded`."""
    header = b"\x7fELF\x02\x01" + bytes(26) + struct.pack("<2Q", HEADER, 0) + bytes(6) + struct.pack("<2H", 56, 2) + bytes(6)
    segments = PROGRAM_HEADER.pack(1, 4, 0, 0, 0, loaded, loaded, 4096) + PROGRAM_HEADER.pack(4, 4, 9999, 0, 0, 9999, 0, 4)
    data = header + segments + bytes(16) + inside
    return data.ljust(loaded, b"\xaa") + behind


def test_the_seal_covers_all_but_itself(tmp_path: Path) -> None:
    linked, program = tmp_path / "linked", tmp_path / "program"
    linked.write_bytes(elf())
    linked.chmod(0o750)
    assert main([str(linked), str(program)]) == 0
    sealed = program.read_bytes()
    assert program.stat().st_mode & 0o777 == 0o750
    fields = sealed.index(MARK) + len(MARK)
    at, end, size, loaded, rest = FIELDS.unpack_from(sealed, fields)
    assert (at, end, size) == (fields + 24, 400, len(sealed)) and end == loaded_end(sealed, "program")
    assert loaded == fingerprint(sealed[HEADER:at] + sealed[at + 16 : end])
    assert rest == fingerprint(sealed[:HEADER] + sealed[end:])
    assert seal(sealed, "program") == sealed, "sealing again changes nothing"


def test_a_program_of_macos_stays_as_it_is_signed() -> None:
    assert seal(b"\xcf\xfa\xed\xfe" + MARK, "program") == b"\xcf\xfa\xed\xfe" + MARK


@pytest.mark.parametrize(("data", "message"), [
    (b"#!/bin/sh\n", "expected a little-endian 64-bit ELF program"),
    (elf(b""), "expected one place for a seal, found 0"),
    (elf(2 * (MARK + bytes(FIELDS.size))), "expected one place for a seal, found 2"),
    (elf(b"x" + MARK + bytes(FIELDS.size)), "at a multiple of 4"),
    (elf(b"", behind=MARK + bytes(FIELDS.size)), "in a loaded segment"),
    (elf()[:32] + struct.pack("<Q", 1 << 20) + elf()[40:], "expected the headers of a program, found that they are cut short"),
])  # fmt: skip
def test_what_has_no_place_for_a_seal_is_refused(data: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "linked").write_bytes(data + (MARK + bytes(FIELDS.size) if data.startswith(b"#!") else b""))
    assert main([str(tmp_path / "linked"), str(tmp_path / "program")]) == BakeError("").exit_code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "program").exists()
