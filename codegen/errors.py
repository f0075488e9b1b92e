"""Defines the one exception of the generator: a message of one line and the exit code of its kind."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import sys
from pathlib import Path

USAGE = 2
BAD_DATA = 65
MISSING_FILE = 66
UNAVAILABLE = 69
IO = 74
INTERRUPTED = 130  # is how a shell reports SIGINT

# What every program says where nothing more can be written, whatever it was about to do.
UNWRITABLE = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS))

LONGEST_VALUE = 60  # limits the characters of a file's value that a message shows
LONGEST_MESSAGE = 200  # limits the characters of a message, the names of files apart


class BakeError(Exception):
    """Says what happened, expected, actual and what to do, in one line.

    `exit_code` is the process's exit code (sysexits.h): 65 bad data, 66 missing or unreadable file, 74 I/O, 2 usage.
    """

    def __init__(self, message: str, exit_code: int = BAD_DATA) -> None:
        # Files may have bytes in their names that are no letters.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message))
        self.exit_code = exit_code


def refuse(command: str, error: BakeError) -> int:
    """Says an error on standard error, in one line with the command's name; returns its exit code.

    The code is written into the file that STORYBAKE_EXIT_CODE names as well: a build ends with one of its own.
    """
    print(f"{command}: {error}", file=sys.stderr)
    if name := os.environ.get("STORYBAKE_EXIT_CODE"):
        with contextlib.suppress(OSError):  # the first of the two errors is told
            Path(name).write_text(f"{error.exit_code}\n", encoding="ascii")
    return error.exit_code


def reason(output: str) -> tuple[str, int]:
    """Finds the line of a failed build's output that says why it failed; returns it, without what Meson and the generator put in
    front of it, and the exit code: 74 where something could not be written, else 65."""
    lines = output.strip().splitlines() or ["it said nothing"]
    for line in lines:
        if any(words in line for words in UNWRITABLE):
            return re.sub(r"^.*OSError: (\[Errno \d+\] )?", "", line).removeprefix("storybake: ").strip(), IO
    line = next((line for line in lines if "ERROR: " in line or "error: " in line), lines[-1])
    return line.split("ERROR: ")[-1].removeprefix("storybake: ").strip(), BAD_DATA


def shown(value: object) -> str:
    """Shows a value from a file as a message may: in plain words, escaped, on one line, cut short."""
    text = _plain(value, 3)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


def _plain(value: object, depth: int) -> str:
    """Writes a value as JSON has it, without its quotes in names; a few items of what is long or deep."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, bytes):
        value = value[: LONGEST_VALUE + 1].decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return repr(value[: LONGEST_VALUE + 1])
    if isinstance(value, (list, tuple, dict)):
        opening, closing = ("(", ")") if isinstance(value, tuple) else ("{", "}") if isinstance(value, dict) else ("[", "]")
        if depth == 0:
            return f"{opening}...{closing}"
        if isinstance(value, dict):
            few = itertools.islice(value.items(), 4)
            parts = [f"{_plain(key, 0).strip(chr(39))}: {_plain(item, depth - 1)}" for key, item in few]
        else:
            parts = [_plain(item, depth - 1) for item in value[:4]]
        return opening + ", ".join(parts + ["..."] * (len(value) > 4)) + closing
    return " ".join(str(value).split())
