"""Checkpoint headers and lengths: every kind of bad file is refused with one line and the exit code of its kind."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import model_files as files
import numpy as np
import pytest

from codegen.__main__ import main as bake
from codegen.checkpoint import open_checkpoint
from codegen.errors import BAD_DATA, MISSING_FILE, BakeError
from codegen.export import export
from codegen.export import main as convert
from codegen.input import read_bytes

MAGIC = 0x616B3432


@pytest.fixture
def v0(tmp_path: Path) -> bytes:
    return write(tmp_path, "v0").read_bytes()


def write(folder: Path, form: str, shared: bool = True) -> Path:
    """A tiny valid checkpoint of a version."""
    model, tensors = files.tiny(shared)

    class Source:
        path = folder / "source"

        def __init__(self) -> None:
            self.model = model

        def tensor(self, name: str, layer: int = 0) -> np.ndarray:
            return tensors[name, layer]

    path = folder / f"tiny_{form}.bin"
    export(Source(), path, form, 16 if form == "v2" else None)
    return path


@pytest.mark.parametrize("shared", (True, False))
@pytest.mark.parametrize("form", ("v0", "v1", "v2"))
def test_every_version_reads_back(tmp_path: Path, form: str, shared: bool) -> None:
    checkpoint = open_checkpoint(write(tmp_path, form, shared))
    assert checkpoint.model.shared_classifier == shared
    assert checkpoint.model.group_size == (16 if form == "v2" else 0)
    assert f"v{checkpoint.version}" == form
    for key in files.keys(checkpoint.model):
        checkpoint.tensor(*key)


def patched(at: int, value: int, form: str = "<i") -> Callable[[bytes], bytes]:
    """Puts one number into a file."""

    def patch(data: bytes) -> bytes:
        raw = struct.pack(form, value)
        return data[:at] + raw + data[at + len(raw) :]

    return patch


DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, SEQ = range(0, 28, 4)
BAD_V0 = {
    "empty": (lambda d: b"", "at least 28 bytes"),
    "20 bytes of header": (lambda d: d[:20], "at least 28 bytes"),
    "header only": (lambda d: d[:28], "truncated"),
    "half the file": (lambda d: d[: len(d) // 2], "truncated"),
    "one byte short": (lambda d: d[:-1], "truncated"),
    "one byte more": (lambda d: d + b"\0", "too long"),
    "dim 0": (patched(DIM, 0), "dim"),
    "negative dim": (patched(DIM, -288), "dim"),
    "absurd dim": (patched(DIM, 1 << 30), "dim"),
    "hidden_dim 0": (patched(HIDDEN, 0), "hidden_dim"),
    "negative layers": (patched(LAYERS, -1), "n_layers"),
    "absurd layers": (patched(LAYERS, 1 << 30), "n_layers"),
    "n_heads 0": (patched(HEADS, 0), "n_heads"),
    "n_heads that does not divide": (patched(HEADS, 5), "n_heads"),
    "odd head size": (patched(HEADS, 32), "head size"),
    "n_kv_heads 0": (patched(KV_HEADS, 0), "n_kv_heads"),
    "n_kv_heads that does not divide": (patched(KV_HEADS, 3), "n_kv_heads"),
    "vocabulary INT_MIN": (patched(VOCAB, -(1 << 31)), "vocab_size"),
    "vocabulary 2^30": (patched(VOCAB, 1 << 30), "vocab_size"),
    "vocabulary 0": (patched(VOCAB, 0), "vocab_size"),
    "classifier missing": (patched(VOCAB, -40), "truncated"),
    "positions 2^30": (patched(SEQ, 1 << 30), "seq_len"),
    "big-endian magic": (lambda d: struct.pack(">I", MAGIC) + d[4:], "byte-swapped"),
    "version 3": (lambda d: struct.pack("<Ii", MAGIC, 3) + d[8:], "version"),
    "magic and nothing else": (lambda d: struct.pack("<Ii", MAGIC, 1).ljust(100, b"\1"), "256 bytes"),
    "text": (lambda d: b"Once upon a time, there was a little girl named Lily.", "is this a llama2.c checkpoint?"),
}


@pytest.mark.parametrize("what", BAD_V0)
def test_bad_legacy_file(what: str, v0: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = BAD_V0[what]
    expect_refusal(tmp_path, change(v0), words, capsys)


BAD_V2 = {
    "group size 0": (patched(37, 0), "group_size"),
    "negative group size": (patched(37, -16), "group_size"),
    "group size that does not divide": (patched(37, 48), "32, 16, 8, 4, 2, 1"),
    "shared_classifier 2": (lambda d: d[:36] + b"\2" + d[37:], "shared_classifier"),
    "garbage in the padding": (patched(100, 7), "zeros from byte 41"),
    "read as version 1": (patched(4, 1), "header"),
    "n_kv_heads that does not divide": (patched(8 + KV_HEADS, 3), "n_kv_heads"),
    "truncated": (lambda d: d[:-5], "truncated"),
    "too long": (lambda d: d + bytes(64), "too long"),
}


@pytest.mark.parametrize("what", BAD_V2)
def test_bad_int8_file(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = BAD_V2[what]
    expect_refusal(tmp_path, change(write(tmp_path, "v2").read_bytes()), words, capsys)


def expect_refusal(folder: Path, data: bytes, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The build and tools/export say the same in one line, with the code of bad data, and leave nothing behind."""
    path = folder / "bad" / "bad.bin"
    path.parent.mkdir()
    path.write_bytes(data)
    for command, name in (
        (lambda: bake(["facts", str(path)]), "storybake"),
        (lambda: bake(["data", str(path), "--output", str(path.parent)]), "storybake"),
        (lambda: convert([str(path), str(path.parent / "out.bin")]), "tools/export"),
    ):
        assert command() == BAD_DATA
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.startswith(f"{name}: bad.bin: ")
        assert words in printed.err
        assert printed.err.count("\n") == 1 and printed.err[:-1].isprintable()
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("bad", (np.nan, np.inf, -np.inf))
def test_what_is_not_finite_is_named(tmp_path: Path, v0: bytes, bad: float) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(patched(28 + 4 * 40 * 32 + 4 * 2 * 32, np.float32(bad).view(np.int32))(v0))
    with pytest.raises(BakeError, match=r"bad.bin: wq\[0\]: expected finite numbers, found 1 NaN or infinity"):
        open_checkpoint(path).tensor("wq", 0)


def test_a_scale_that_is_not_finite_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "v2")
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<f", np.nan)  # the last scale of w3 of the last layer
    path.write_bytes(data)
    with pytest.raises(BakeError, match=r"w3\[1\]: scales: expected finite numbers"):
        open_checkpoint(path).tensor("w3", 1)


@pytest.mark.parametrize("path", ("no/such/file.bin", ".", "/dev/zero"))
def test_what_is_no_file_is_refused(path: str) -> None:
    found = Path(path).resolve() if path == "." else Path(path)
    with pytest.raises(BakeError) as caught:
        open_checkpoint(found)
    assert caught.value.exit_code in (MISSING_FILE, BAD_DATA)  # a folder may have a name that is refused first


def test_the_command_line_prints_one_line_and_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(b"short")
    result = subprocess.run(
        [sys.executable, "-m", "codegen", "explain", str(path)], cwd=files.ROOT, capture_output=True, text=True
    )
    assert result.returncode == BAD_DATA
    assert result.stdout == "" and result.stderr.count("\n") == 1 and "bad.bin" in result.stderr


def test_a_file_that_shrinks_or_goes_after_it_was_opened(tmp_path: Path, v0: bytes) -> None:
    path = tmp_path / "shrinks.bin"
    path.write_bytes(v0)
    checkpoint = open_checkpoint(path)
    path.write_bytes(v0[:200])
    with pytest.raises(BakeError, match=r"expected \d+ values, found \d+; the file shrank while it was read"):
        checkpoint.tensor("token_embedding_table")
    with pytest.raises(BakeError, match="can't be read: File name too long") as caught:
        read_bytes(tmp_path / ("n" * 300), 4)
    assert caught.value.exit_code == MISSING_FILE
