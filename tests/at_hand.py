"""What tests find at hand: models of tests/seeded.py, vocabularies that the project made, what llama2.c gives for them; and
the public models, where STORYBAKE_MODELS names a folder that has them (tools/models fetches them)."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import struct
import sys
import tempfile
import threading
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODELS = Path(os.environ["STORYBAKE_MODELS"]).resolve() if os.environ.get("STORYBAKE_MODELS") else None
GOLDEN: dict[str, Any] = tomllib.loads((ROOT / "tests" / "golden" / "llama2c.toml").read_text())
PROMPT: str = GOLDEN["prompt"]


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="storybake-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def model(name: str) -> Path:
    """The model of a recipe, made once a process; of one with a golden, what the golden is of."""
    sys.path[:0] = [str(ROOT / "tests")]
    import seeded

    path = seeded.write(_folder(), name)
    if (golden := GOLDEN.get(name)) and sha256(path.read_bytes()) != golden["checkpoint"]:
        raise AssertionError(f"{name}: this NumPy's generator gives other weights than those that tests/golden is of")
    return path


def silent_pipe(path: Path) -> Path:
    """Makes a named pipe that nobody writes to. Who opens it all the same finds its end, so that a test fails and doesn't wait."""

    def end_every_reading() -> None:
        with contextlib.suppress(OSError):  # it was removed
            while True:
                os.close(os.open(path, os.O_WRONLY))

    os.mkfifo(path)
    threading.Thread(target=end_every_reading, daemon=True).start()
    return path


def tokenizer(name: str) -> Path:
    """The tokenizer.bin of a recipe."""
    return model(name).with_name(f"{name}.tokenizer.bin")


def public(name: str) -> Path | None:
    """A file of the public models, where it is at hand."""
    return MODELS / name if MODELS and (MODELS / name).is_file() else None


def vocabularies() -> list[tuple[Path, int]]:
    """Trained vocabularies of Llama's kind, with their numbers of pieces: the project's own, and the public ones."""
    found = [ROOT / "models" / "tinytales.tokenizer.bin", public("tok512.bin"), public("tokenizer.bin")]
    return [(path, count_pieces(path.read_bytes())) for path in found if path]


def count_pieces(data: bytes) -> int:
    """How many pieces a tokenizer.bin has."""
    at, count = 4, 0
    while at < len(data):
        at += 8 + struct.unpack_from("<i", data, at + 4)[0]
        count += 1
    return count


def sha256(data: bytes) -> str:
    """The beginning of the SHA-256 of bytes, as goldens have it."""
    return hashlib.sha256(data).hexdigest()[:16]
