"""Tools whose Python part is not the generator's, as processes: descriptors that are closed, a full device, a reader that leaves."""

from __future__ import annotations

import itertools
import os
import subprocess

import pytest
from riscv_tools import ROOT

CLOSED = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]
# What each prints on standard output, and what it refuses with an exit code.
ANSWERS = {"c906sim": "--help", "count": "--help", "models": "--help", "train": "--print 40", "verify-release": "--help"}
REFUSALS = {
    "bench": ("--runs x build", 2), "board-report": ("/nonexistent", 66), "c906sim": ("1 2 /nonexistent", 66), "card": ("image", 2),
    "check": ("--only typo", 2), "count": ("2 1 program", 2), "deploy": ("board", 2), "draft": ("/nonexistent.bin", 66),
    "evaluate": ("/nonexistent.bin /nonexistent", 66), "explain": ("/nonexistent.bin", 66), "export": ("/nonexistent.bin x", 66),
    "fresh": ("--nonsense", 2), "judge-stories": ("--stories x", 2), "models": ("stories9M", 2), "regen": ("--chekc", 2),
    "riscv64": ("", 2), "run-riscv": ("", 2), "setup": ("nonsense", 2), "story": ("--model /nonexistent", 66),
    "toolchain": ("nonsense", 2), "train": ("--print x", 2), "verify-release": ("/nonexistent.tar.xz /nonexistent", 66),
}  # fmt: skip


def ran(
    tool: str, words: str, closing: str = "", stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Runs a tool with descriptors as a shell's words say."""
    script = ["sh", "-c", f'exec "$@" {closing}', "sh", str(ROOT / "tools" / tool), *words.split()]
    return subprocess.run(script, stdout=stdout, stderr=stderr, check=False)


@pytest.mark.parametrize("tool", ANSWERS)
def test_an_answer_comes_whole_or_is_missed(tool: str) -> None:
    whole = ran(tool, ANSWERS[tool])
    assert whole.returncode == 0 and whole.stdout.count(b"\n") > 5 and whole.stderr == b""
    for closed in CLOSED:
        asked = ran(tool, ANSWERS[tool], " ".join(f"{number}>&-" for number in closed))
        if 1 not in closed:
            assert (asked.returncode, asked.stdout, asked.stderr) == (0, whole.stdout, b""), closed
        else:
            missed = f"tools/{tool}: standard output: writing failed: ".encode() if 2 not in closed else b""
            assert (asked.returncode, asked.stdout) == (74, b"") and asked.stderr.startswith(missed), closed
            assert asked.stderr.count(b"\n") == (2 not in closed)
    full = ran(tool, ANSWERS[tool], ">/dev/full")
    assert (full.returncode, full.stderr) == (74, f"tools/{tool}: standard output: writing failed: No space left on device\n".encode())


@pytest.mark.parametrize("tool", ANSWERS)
def test_a_reader_that_leaves_is_no_error(tool: str) -> None:
    gone, into = os.pipe()
    os.close(gone)
    with os.fdopen(into, "wb") as nobody:
        command = [ROOT / "tools" / tool, *ANSWERS[tool].split()]
        left = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, check=False)
    assert (left.returncode, left.stderr) == (0, b"")


@pytest.mark.parametrize("tool", REFUSALS)
def test_a_standard_error_that_takes_nothing(tool: str) -> None:
    """Full, or without a reader, alone or with standard output: a refusal keeps its code, and an answer is whole."""
    words, code = REFUSALS[tool]
    gone, into = os.pipe()
    os.close(gone)
    kept = subprocess.PIPE
    for closing, stdout, stderr in (("2>/dev/full", kept, kept), (">/dev/full 2>&1", kept, kept), ("", kept, into), ("", into, into)):
        done = ran(tool, words, closing, stdout, stderr)
        assert (done.returncode, done.stdout or b"", done.stderr or b"") == (code, b"", b""), (closing, done)
    os.close(into)
    helped = ran(tool, "--help", "2>/dev/full")
    assert (helped.returncode, helped.stdout) == (0, ran(tool, "--help").stdout) and helped.stdout
    assert ran(tool, "--help", ">/dev/full 2>&1").returncode == 74


def test_no_tool_is_left_out() -> None:
    assert set(REFUSALS) == {path.name for path in (ROOT / "tools").iterdir() if path.is_file() and os.access(path, os.X_OK)}


@pytest.mark.parametrize("tool", REFUSALS)
def test_a_refusal_keeps_its_code_and_its_place(tool: str) -> None:
    words, code = REFUSALS[tool]
    for closed in [(), *CLOSED]:
        asked = ran(tool, words, " ".join(f"{number}>&-" for number in closed))
        assert (asked.returncode, asked.stdout) == (code, b""), (closed, asked)
        assert bool(asked.stderr) == (2 not in closed) and b"Traceback" not in asked.stderr, closed
