"""Runs a command of Python's as the process that it is: what becomes of its descriptors, of text that can't be written, of an
interrupt. Reads what options of several commands have: numbers and lists."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO, TypeVar

from codegen.errors import INTERRUPTED, IO

T = TypeVar("T")
NOWHERE = "/dev/full"  # a device that takes nothing, where there is one
UNWRITTEN = "standard output: writing failed"  # is the name of the file in an error of standard output


class Output(io.FileIO):
    """Takes the text of standard output; an error says that it is of this."""

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            error.filename = UNWRITTEN
            raise


class Unfailing(io.FileIO):
    """Takes what is said on standard error; what can't be written there is lost, as there is nobody to tell, and the command ends
    with the code of what it did."""

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        try:
            return super().write(data) or len(memoryview(data))
        except OSError:  # of a full device, or of a pipe whose reader has left
            return len(memoryview(data))


def text_stream(raw: io.FileIO, before: TextIO | None, line_buffering: bool) -> io.TextIOWrapper:
    """Makes a stream that writes text as the one before it did, which is none where its descriptor was closed."""
    encoding, errors = (before.encoding, before.errors) if before else ("utf-8", "backslashreplace")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=line_buffering)


def prepare_descriptors() -> None:
    """Gives a closed descriptor 0, 1 or 2 a place, so that no file gets its number, and the text that was meant for it in it: from
    standard input nothing is read, on standard output writing fails, what is said on standard error is lost, as it is wherever it
    can't be written."""
    for number, place in enumerate((os.devnull, NOWHERE if os.path.exists(NOWHERE) else os.devnull, os.devnull)):
        try:
            os.fstat(number)
        except OSError:
            os.open(place, os.O_RDWR if number else os.O_RDONLY)  # takes the first number that is free, which is this one
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)
    at_once = isinstance(sys.stdout, io.TextIOWrapper) and (sys.stdout.line_buffering or sys.stdout.write_through)
    sys.stdout = text_stream(Output(1, "w", closefd=False), sys.stdout, at_once)
    sys.stderr = text_stream(Unfailing(2, "w", closefd=False), sys.stderr, True)


def run_command(name: str, main: Callable[[list[str]], int]) -> NoReturn:
    """Ends the process with what `main` returns for the command line: with 74, and one line with the command's `name`, where it can't
    write, with 0 where the reader of its text has left, as the programs do that it bakes, and with 130 when it is interrupted."""
    prepare_descriptors()
    code: object = 0
    try:
        try:
            code = main(sys.argv[1:])
        except SystemExit as end:  # argparse's
            code = end.code
        sys.stdout.flush()
    except KeyboardInterrupt:
        give_up_standard_output()
        code = INTERRUPTED
    except OSError as error:
        if not isinstance(error, BrokenPipeError) or error.filename != UNWRITTEN:
            where = f"{error.filename}: " if error.filename else ""
            print(f"{name}: {where}{' '.join((error.strerror or str(error)).split())}", file=sys.stderr)
            code = IO
        give_up_standard_output()
    sys.exit(code)  # type: ignore[arg-type]


def count(text: str) -> int:
    """Reads a positive number of an option."""
    if not (text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"expected 1 to 100000, found {text!r}")
    return int(text)


def word(text: str) -> str:
    """Reads a word of an option, which may not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a word, found {text!r}")
    return text


def listed(of: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Makes what reads a list of an option, separated by commas, of what `of` reads: never an empty one, nor an empty part."""
    return lambda text: [of(part) for part in text.split(",")]


def give_up_standard_output() -> None:
    """Leaves Python nothing to fail at when it writes what is left at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
