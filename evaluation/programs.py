"""Bakes a model in several weight types, each in a build folder of its own, and reads the logits of texts from them."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codegen.build_folder import set_up
from codegen.errors import IO, BakeError, reason

ROOT = Path(__file__).resolve().parents[1]
ROWS_AT_ONCE = 1 << 22  # floats


@dataclass(frozen=True)
class Variant:
    """Describes a way to bake a model: what `--types` calls it, and Meson's options."""

    name: str
    options: tuple[str, ...]

    @staticmethod
    def of(text: str) -> Variant:
        """Reads a variant: `q4` is -Dweights=q4, `q4:classifier=q8` has -Dclassifier=q8 as well."""
        weights, *more = text.split(":")
        return Variant(text, (f"-Dweights={weights}", *(f"-D{option}" for option in more)))


def configure(model: Path, tokenizer: Path | None, variant: Variant, folder: Path) -> Path:
    """Sets up the build folder of a variant. Raises BakeError with what Meson said."""
    options = [f"-Dmodel={model.resolve()}", "-Dstoryteller=disabled", *variant.options]
    options += [f"-Dtokenizer={tokenizer.resolve()}"] if tokenizer else []
    digest = hashlib.sha256("\0".join(options).encode()).hexdigest()[:8]
    build = folder / f"{model.stem}-{re.sub('[^a-z0-9]+', '-', variant.name).strip('-')}-{digest}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BakeError(f"{folder}: can't be written: {error.strerror}; name another folder with --build", IO) from error
    set_up(build, [str(ROOT), *options], lambda command: _run(variant, command))
    return build


def compiled(variant: Variant, build: Path, program: str = "logits") -> Path:
    """Compiles a program of evaluation/meson.build in a build folder. Raises BakeError with what the compiler said."""
    _run(variant, ["meson", "compile", "-C", build, program])
    return build / "evaluation" / program


def _run(variant: Variant, command: list[str | Path]) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise BakeError(f"{command[0]}: can't be run: {error.strerror}: run tools/setup") from error
    if done.returncode:
        why, exit_code = reason(done.stdout + done.stderr)
        raise BakeError(f"{variant.name}: can't be baked: {why}", exit_code)


@dataclass(frozen=True)
class Window:
    """Holds a piece of a text: `text` counts the texts, `tokens` all that were given, the first of them unpredicted."""

    text: int
    tokens: npt.NDArray[np.int32]


class Program:
    """Runs a `logits` program. Use it as a context manager: what is left of it is stopped at the end."""

    def __init__(self, name: str, path: Path, texts: Path) -> None:
        """Starts the program on a file of framed texts."""
        self.name = name
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with texts.open("rb") as file:
            self._process = subprocess.Popen([path], stdin=file, stdout=subprocess.PIPE, env=environment)
        assert self._process.stdout is not None
        self._out = self._process.stdout
        self.vocab_size, self.seq_len, self.weights_bytes = struct.unpack("<IIQ", self._read(16))

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()

    def window(self) -> Window | None:
        """Reads the next window, or None after the last one."""
        head = self._out.read(8)
        if not head:
            if self._process.wait():
                raise BakeError(f"{self.name}: its program ended with exit code {self._process.returncode}")
            return None
        text, count = struct.unpack("<II", head)
        return Window(text, np.frombuffer(self._read(4 * count), "<i4"))

    def logits(self, window: Window) -> Iterator[npt.NDArray[np.float32]]:
        """Reads the logits of a window's predicted tokens, some rows at a time. BakeError when one is not finite."""
        left, first = len(window.tokens) - 1, 0
        while left:
            rows = min(left, max(1, ROWS_AT_ONCE // self.vocab_size))
            block = np.frombuffer(self._read(4 * rows * self.vocab_size), "<f4").reshape(rows, self.vocab_size)
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                raise BakeError(
                    f"{self.name}: text {window.text + 1}: the logits of position {first + int(finite.argmin())} are "
                    "not finite, expected numbers: the weights are damaged or overflow in this type"
                )
            yield block
            left, first = left - rows, first + rows

    def _read(self, size: int) -> bytes:
        data = self._out.read(size)
        if len(data) != size:
            raise BakeError(f"{self.name}: its program ended early with exit code {self._process.wait()}")
        return data
