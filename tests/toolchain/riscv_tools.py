"""What the toolchain's tests share: the checkout, running its tools, skipping when one is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).resolve().parent / "project"

PATH = os.environ["PATH"]


def run(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command, without a check of its exit code; stdout and stderr are kept as text."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


def environment(**variables: str) -> dict[str, str]:
    """The environment without the variables that steer the tools, and with these."""
    steering = ("DUO_HOST", "STORYBAKE_VLEN")
    return {name: value for name, value in os.environ.items() if name not in steering} | variables


def need_mounts() -> None:
    """Skip the test where no command may have mounts of its own: root's may, but not in every container."""
    if os.geteuid() != 0 or run("unshare", "--mount", "true").returncode:
        pytest.skip("a mount of its own is root's")


def need(part: str) -> None:
    """Skip the test, saying what to run, if a part of the toolchain (gcc, gcc10, qemu5, qemu, speech) is not here."""
    probes: dict[str, list[str | Path]] = {
        "gcc": [ROOT / "tools/riscv64", "g++", "--version"],
        "gcc10": [ROOT / "tools/riscv64", "g++-10", "--version"],
        "qemu5": [ROOT / ".toolchain/qemu5/usr/bin/qemu-riscv64-static", "--version"],
        "qemu": ["sh", "-c", ".toolchain/qemu/usr/bin/qemu-riscv64 --version || qemu-riscv64 --version"],
        "speech": ["test", "-e", ".toolchain/speech/stamp"],
    }
    try:
        here = subprocess.run(probes[part], cwd=ROOT, capture_output=True, check=False).returncode == 0
    except OSError:
        here = False
    if not here:
        pytest.skip(f"the toolchain's {part} is not here; run: tools/setup cross && tools/toolchain {part}")


def one_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    """The only line on stderr of a command that had to fail with this exit code and print nothing else."""
    assert (result.returncode, result.stdout) == (code, ""), result
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n"), result.stderr
    return result.stderr
