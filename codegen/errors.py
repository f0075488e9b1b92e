"""The one exception of the generator: a message of one line and the exit code of its kind."""

from __future__ import annotations

import reprlib

USAGE = 2
BAD_DATA = 65
MISSING_FILE = 66
UNAVAILABLE = 69
IO = 74


class BakeError(Exception):
    """What happened, expected, actual and what to do, in one line.

    `exit_code` is the process's exit code (sysexits.h): 65 bad data, 66 missing or unreadable file, 74 I/O, 2 usage.
    """

    def __init__(self, message: str, exit_code: int = BAD_DATA) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: object) -> str:
    """A value from a file as a message may show it: escaped, on one line, cut short."""
    text = " ".join(_SHORT.repr(value).split())
    return text if len(text) <= 100 else text[:100] + "..."
