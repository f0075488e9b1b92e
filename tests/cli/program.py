"""Running the baked program that is tested, and what its answers have in common."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RUNNER = shlex.split(os.environ.get("STORYBAKE_RUN", ""))  # what runs a program that is not for this machine


def variable(name: str) -> str:
    if name not in os.environ:
        pytest.fail(f"{name} is not set: run these tests through meson test, or name a baked program's files")
    return os.environ[name]


def run(
    binary: str, *arguments: str, stdin: bytes = b"", cwd: Path | None = None, timeout: int = 120, **env: str
) -> subprocess.CompletedProcess[bytes]:
    command = [*RUNNER, binary, *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, timeout=timeout, cwd=cwd, env={**os.environ, **env}
    )


def refused(result: subprocess.CompletedProcess[bytes], code: int, *parts: str) -> None:
    """One line on standard error that names all parts, nothing on standard output, and the exit code."""
    message = result.stderr.decode()
    assert result.returncode == code, message
    assert result.stdout == b""
    assert message.count("\n") == 1 and message.endswith("\n"), message
    for part in parts:
        assert part in message


def logits_of(result: subprocess.CompletedProcess[bytes]) -> str:
    found = re.search(rb"logits (0x[0-9a-f]{16})\n", result.stderr)
    assert found, result.stderr
    return found.group(1).decode()
