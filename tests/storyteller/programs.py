"""The storyteller under test: this machine's, and the Milk-V Duo's in the emulator of its processor."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
QEMU = ROOT / ".toolchain/qemu5/usr/bin/qemu-riscv64-static"
RATE = 16000
EMULATOR = [QEMU, "-cpu", "rv64,x-v=true,vext_spec=v0.7.1,vlen=128"]  # as tools/run-riscv has it
TOPICS = [line for line in (ROOT / "models/tinytales.topics.txt").read_text().splitlines() if line and not line.startswith("#")]


def known(*liked: str) -> list[str]:
    """Topics that can be said to the default model: those, but for one that its list lacks another of its kind, "the hill" for
    "the sea", or any other, as long as there are such."""

    def kind(topic: str) -> tuple[str, bool]:
        first, _, rest = topic.partition(" ")
        return {"an": "a"}.get(first, first if first in ("a", "the") else ""), " " in rest

    def found() -> Iterator[str]:
        spare = [topic for topic in TOPICS if topic not in liked]
        for topic in liked:
            if topic not in TOPICS and spare:
                topic = next((other for other in spare if kind(other) == kind(topic)), spare[0])
                spare.remove(topic)
            yield topic

    return list(found())


HERO, FRIEND = known("a dragon", "a rabbit")  # are what the tests say to it
SHORT = ("--max-sentences", "2", "-s", "5", "--voice", "kal16")  # makes a story of two sentences


def program(variable: str, setup: str) -> Path:
    """A storyteller that was built before; skips the test, saying how to build it, where there is none."""
    path = Path(os.environ.get(variable, "/nonexistent"))
    if not path.is_file():
        pytest.skip(f"no storyteller in {variable}; build one: meson setup {setup} && meson compile -C {setup.split()[-1]}")
    return path


def on_this_machine() -> Path:
    return program("STORYBAKE_STORYTELLER", "-Dstoryteller=enabled build")


def on_the_duo() -> Path:
    return program("STORYBAKE_STORYTELLER_DUO", "--cross-file cross/duo.ini -Dstoryteller=enabled build-duo")


def with_sanitizers() -> Path:
    return program("STORYBAKE_STORYTELLER_SANITIZE", "-Dstoryteller=enabled -Db_sanitize=address,undefined -Db_lundef=false build-sanitize")


def tell(path: Path, *words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a storyteller, through tools/run-riscv where it is none of this machine's; no exit code is checked."""
    runner = [] if path == Path(os.environ.get("STORYBAKE_STORYTELLER", "")) else [ROOT / "tools/run-riscv"]
    command = [str(word) for word in [*runner, path, *words]]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def run(*words: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs this machine's, to which nobody types anything."""
    return tell(on_this_machine(), *words, stdin=subprocess.DEVNULL, **options)


def samples(path: Path) -> np.ndarray:
    """The samples of a WAV of the storyteller's: 16 bits, one channel, 16,000 a second; float64 of [-1, 1)."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768


def said(text: str, voice: str, folder: Path) -> np.ndarray:
    """A sentence as Debian's flite says it, at 16 kHz; int16."""
    path = folder / "said.wav"
    subprocess.run(["flite", "-voice", voice, "-t", text, str(path)], check=True)
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        rate = file.getframerate()
    times = np.arange(len(samples) * RATE // rate) * (rate / RATE)
    return np.interp(times, np.arange(len(samples)), samples).astype(np.int16)


def record(path: Path, *parts: np.ndarray | float) -> Path:
    """A WAV file of sounds and pauses (seconds), over the noise of a quiet room."""
    pieces = [np.zeros(int(part * RATE), np.int16) if isinstance(part, float) else part for part in parts]
    samples = np.concatenate(pieces).astype(np.int32) + np.random.default_rng(1).integers(-10, 11, sum(map(len, pieces)))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.clip(-32768, 32767).astype("<i2").tobytes())
    return path


def command(path: Path, text: str) -> str:
    """A program of a few lines of shell, as a command of the storyteller's."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


TYPED = ("--loop", "--wish", "-", "--mute", "-s", "5")
TYPE_A_WISH = "type a wish"


class Running:
    """A storyteller of this machine, or another one that is named, that runs, with a terminal's lines to type into; what it says is
    in two files."""

    def __init__(self, folder: Path, *words: str | Path, path: Path | None = None, **options: object) -> None:
        self.files = {name: folder / name for name in ("stdout", "stderr")}
        with self.files["stdout"].open("wb") as out, self.files["stderr"].open("wb") as err:
            command = [str(word) for word in [path or on_this_machine(), *words]]
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                command, stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True, **options
            )

    def text(self, name: str = "stderr") -> str:
        return self.files[name].read_text()

    def type(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, text: str, name: str = "stderr", times: int = 1) -> str:
        """Waits until a text has been said so many times; all that was said."""
        until(lambda: self.text(name).count(text) >= times, lambda: f"no {text!r} in: {self.text(name)}")
        return self.text(name)

    def end(self, sign: int | None = None) -> int:
        """Ends its input, or sends a signal; the exit code, once no process that it started is left."""
        if sign is None:
            self.process.stdin.close()
        else:
            self.process.send_signal(sign)
        code: int = self.process.wait(timeout=60)
        until(lambda: not members(self.process.pid), lambda: f"processes that are left: {members(self.process.pid)}")
        return code


def evening(folder: Path, *lines: str, words: tuple[str | Path, ...] = TYPED, rules: str | bytes | None = None) -> tuple[str, str]:
    """Types lines to a robot, each when it has answered the one before; what it told and what it said."""
    path = folder / "rules.txt"
    if rules is not None:
        path.write_bytes(rules if isinstance(rules, bytes) else rules.encode())
        words = (*words, "--rules", path)
    running = Running(folder, *words)
    for n, line in enumerate(lines, 1):
        running.wait_for(TYPE_A_WISH, times=n)
        running.type(line)
    if lines:
        running.wait_for(TYPE_A_WISH, times=len(lines) + 1)
    assert running.end() == 0, running.text()
    return running.text("stdout"), running.text()


def members(session: int) -> list[str]:
    """The processes of a session, which is what a program's children have of it when it has gone; no dead ones."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:  # just gone
            continue
        state, _, _, its_session, *_ = text.rpartition(")")[2].split()
        if int(its_session) == session and state != "Z":
            found.append(text[:40])
    return found


def until(condition: Callable[[], bool], message: Callable[[], str]) -> None:
    """Waits until something is so; two minutes on a busy machine, a moment else."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, message()
        time.sleep(0.01)


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


if __name__ == "__main__":  # python3 tests/storyteller/programs.py PROGRAM ARGS...: the figures of docs/robot-building.md
    for kind, size in sorted(peak_memory(Path(sys.argv[1]), *sys.argv[2:]).items()):
        print(f"{size / 1e6:8.2f} MB  {kind}")
