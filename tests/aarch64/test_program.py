"""The programs for 64-bit Arm that tools/check has built, in the emulator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest


def program(variable: str) -> Path:
    """The program that a variable of tests/check.py names."""
    path = Path(os.environ.get(variable, ""))
    if not path.is_file() or not shutil.which("qemu-aarch64"):
        pytest.skip(f"{variable} names no program, or qemu-aarch64 is not here; run: tools/check --only default,arm,aarch64")
    return path


def emulate(cpu: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["qemu-aarch64", "-cpu", cpu, *map(str, command)], capture_output=True, text=True, check=False)


def test_a_cpu_without_sdot_is_refused() -> None:
    """A Raspberry Pi 4's with a program for a 5: one line, and no illegal instruction."""
    path = program("STORYBAKE_ARM")
    refused = emulate("cortex-a72", path, "-t", "0", "-n", "5")
    assert (refused.returncode, refused.stdout) == (69, "")
    assert refused.stderr.count("\n") == 1 and "asimddp" in refused.stderr
    assert emulate("cortex-a76", path, "-t", "0", "-n", "5").returncode == 0


def test_the_logits_are_this_machines() -> None:
    """Their fingerprint ends every run."""
    words = ("-t", "0", "-n", "12", "-i", "Once upon a time")
    here = program("STORYBAKE_TINYTALES")
    native = subprocess.run([here, *words], capture_output=True, text=True, check=True)
    arm = emulate("cortex-a76", program("STORYBAKE_ARM"), *words)
    fingerprints = [re.findall(r"0x[0-9a-f]{16}", ran.stderr) for ran in (native, arm)]
    assert fingerprints[0] and fingerprints[0] == fingerprints[1]
    assert native.stdout == arm.stdout


def test_the_storyteller_is_static_and_speaks(tmp_path: Path) -> None:
    path = program("STORYBAKE_STORYTELLER_ARM")
    assert b"ld-linux" not in path.read_bytes()[:4096]
    wav = tmp_path / "story.wav"
    told = emulate("cortex-a76", path, "--wish", "a dragon", "-s", "7", "--max-sentences", "1", "--voice", "kal16", "--wav", wav)
    assert told.returncode == 0 and re.fullmatch(r"[A-Z][^.!?]+[.!?][\"”]?\n", told.stdout), told.stderr
    assert wav.stat().st_size > 32000, "a second of sound at least"
