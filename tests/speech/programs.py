"""The storyteller under test: this machine's, and the Milk-V Duo's in the emulator of its processor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
QEMU = ROOT / ".toolchain/qemu5/usr/bin/qemu-riscv64-static"
EMULATOR = [QEMU, "-cpu", "rv64,x-v=true,vext_spec=v0.7.1,vlen=128"]  # as tools/run-riscv has it


def program(variable: str, setup: str) -> Path:
    """A storyteller that was built before; skips the test, saying how to build it, where there is none."""
    path = Path(os.environ.get(variable, "/nonexistent"))
    if not path.is_file():
        pytest.skip(f"no storyteller in {variable}; build one: meson setup {setup} && meson compile -C {setup.split()[-1]}")
    return path


def on_this_machine() -> Path:
    return program("STORYBAKE_STORYTELLER", "-Dspeech=enabled build")


def on_the_duo() -> Path:
    return program("STORYBAKE_STORYTELLER_DUO", "--cross-file cross/duo.ini -Dspeech=enabled build-duo")


def tell(path: Path, *words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a storyteller, through tools/run-riscv where it is none of this machine's; no exit code is checked."""
    runner = [] if path == Path(os.environ.get("STORYBAKE_STORYTELLER", "")) else [ROOT / "tools/run-riscv"]
    command = [str(word) for word in [*runner, path, *words]]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)  # type: ignore[call-overload, no-any-return]


def samples(path: Path) -> np.ndarray:
    """The samples of a WAV of the storyteller's: 16 bits, one channel, 16,000 a second; float64 of [-1, 1)."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768


def guest_memory(process: int) -> dict[str, int]:
    """Bytes of memory that a program in the emulator has resident: its own by the kind of region, not the emulator's.

    The emulator of user programs leaves guest addresses as they are (guest_base 0), low or from 0x4000000000 on; its own
    heap, stack and translated code lie above 0x550000000000, its program and data in low regions that bear its name.
    """
    sizes: dict[str, int] = {}
    own = False
    for region in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{process}/smaps").read_text()):
        if not region:  # the process is over
            break
        words = region.splitlines()[0].split(maxsplit=5)
        name = words[5] if len(words) > 5 else ""
        resident = re.search(r"^Rss: +(\d+) kB", region, re.MULTILINE)
        previous, own = own, name == str(QEMU.resolve())
        after_own = previous and not name  # its zeroed data
        if own or after_own or name == "[heap]" or int(words[0].split("-")[0], 16) >= 0x550000000000 or not resident:
            continue
        kind = Path(name).name if name else "anonymous"
        sizes[kind] = sizes.get(kind, 0) + int(resident[1]) * 1024
    return sizes


def peak_memory(path: Path, *words: str | Path) -> dict[str, int]:
    """The regions of a program of the Duo's when they were largest together, looked at every few milliseconds."""
    command = [str(word) for word in [*EMULATOR, path, *words]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak: dict[str, int] = {}
    while process.poll() is None:
        try:
            now = guest_memory(process.pid)
        except OSError:  # it has just ended
            break
        peak = max(peak, now, key=lambda sizes: sum(sizes.values()))
        time.sleep(0.003)
    assert process.wait() == 0
    return peak


if __name__ == "__main__":  # python3 tests/speech/programs.py PROGRAM ARGS...: the figures of docs/robot.md
    for kind, size in sorted(peak_memory(Path(sys.argv[1]), *sys.argv[2:]).items()):
        print(f"{size / 1e6:8.2f} MB  {kind}")
