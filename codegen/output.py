"""Writes files that appear whole or not at all: written under another name beside them, and renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from codegen.errors import IO, USAGE, BakeError


def remove_left_over(out: Path) -> None:
    """Removes what processes that were killed had written of a file: parts whose names have the number of one that is gone."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(out.parent):
            head, _, rest = entry.name.removeprefix(f".{out.name}.").partition("-")
            if entry.name.startswith(f".{out.name}.") and entry.name.endswith(".part") and head.isascii() and head.isdigit() and rest:
                try:
                    os.kill(int(head), 0)
                except (ProcessLookupError, OverflowError):
                    os.unlink(entry.path)


@contextlib.contextmanager
def atomic_output(out: Path) -> Iterator[BinaryIO]:
    """Opens a file that becomes `out`, or what that is a link to, when the block ends well, and vanishes when it doesn't. BakeError 74
    on I/O errors."""
    if out.is_symlink():
        out = Path(os.path.realpath(out))
    if out.exists() and not out.is_file():
        raise BakeError(f"{out}: expected a file name to write to, found a directory or device", USAGE)
    remove_left_over(out)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.{os.getpid()}-", suffix=".part", delete=False) as file:
            temporary = file.name
            yield file  # type: ignore[misc]
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # open() would have made it so
        os.replace(temporary, out)
    except OSError as error:
        raise BakeError(f"{out}: can't be written: {error.strerror}; check the folder and free space", IO) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


@contextlib.contextmanager
def appended(out: Path) -> Iterator[TextIO]:
    """Opens a text file to write behind what it has. BakeError 74 on I/O errors."""
    try:
        with out.open("a", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise BakeError(f"{out}: can't be written: {error.strerror}; check the folder and free space", IO) from error


def write_if_changed(path: Path, content: bytes) -> bool:
    """Writes a file, unless it holds just that already; makes its folder. Returns whether it wrote."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.read_bytes() == content:
            return False
    with contextlib.suppress(OSError):  # the file then says why
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path) as file:
        file.write(content)
    return True
