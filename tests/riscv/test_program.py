"""The Duo's program of the stories15M shape in int8: what it says on another CPU, and how much of the board's memory it
takes, as QEMU 5.2 runs it.

The guest's mappings are the emulator's own (its guest_base is 0), beside those of the emulator itself: its program file,
its heap, and what lies beyond the guest's address space (translated code). Of the guest's, what is resident counts, and
of its static data everything, as if the whole context were in use.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shapes import ROOT

from riscv_tools import need, one_line, run
from test_probe import QEMU

sys.path.insert(0, str(ROOT / "tests"))
import seeded  # noqa: E402

MB = 1_000_000


GUEST_END = 0x5000000000
MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)\n(?:.*\n)*?Rss: +(\d+) kB", re.MULTILINE)


def guest_memory(smaps: str) -> int:
    """Bytes of the guest, from the emulator's /proc/PID/smaps."""
    total = 0
    for begin, end, access, file, resident in MAPPING.findall(smaps):
        first, last = int(begin, 16), int(end, 16)
        if first < GUEST_END and not file.endswith(("qemu-riscv64-static", "[heap]")):
            static = "w" in access and first < 0x4000000000
            total += last - first if static else int(resident) * 1024
    return total


def most_memory(*command: str | Path) -> int:
    """The most that a program run by tools/run-riscv takes, looked at a few times a second."""
    most = 0
    with subprocess.Popen([ROOT / "tools/run-riscv", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as emulator:
        while emulator.poll() is None:
            with contextlib.suppress(OSError):  # it has just ended
                most = max(most, guest_memory(Path(f"/proc/{emulator.pid}/smaps").read_text()))
            time.sleep(0.2)
    assert emulator.returncode == 0
    return most


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as tools/story does, for the board."""
    need("gcc")
    need("qemu5")
    folder = tmp_path_factory.mktemp("duo")
    model = seeded.write(folder, "stories15M_q8")
    build = folder / "build"
    environment = {**os.environ, "PATH": f"{ROOT / 'tools'}:{os.environ['PATH']}", "CXX": "ccache g++"}
    options = [f"-Dmodel={model}", "-Dstoryteller=disabled", "-Dunity=on", "-Dunity_size=100"]
    for words in (["setup", "--cross-file", "cross/duo.ini", build, *options], ["compile", "-C", build, model.stem]):
        done = subprocess.run(["meson", *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / model.stem


@pytest.mark.parametrize("cpu", ["v=false", "v=true,vext_spec=v1.0"])
def test_a_cpu_without_its_vectors_is_refused(cpu: str, program: Path) -> None:
    need("qemu")
    refused = one_line(run(str(QEMU), "-cpu", f"rv64,{cpu}", program, "-n", "3"), 69)
    assert "built for duo, which needs RVV 0.7.1 with registers of 128 bits; this CPU lacks it" in refused
    assert run(str(QEMU), "-cpu", f"rv64,{cpu}", program, "--info").returncode == 0, "what needs no vectors is answered"


def test_weights_cache_and_three_megabytes(program: Path) -> None:
    told = subprocess.run([ROOT / "tools/run-riscv", program, "--info"], capture_output=True, text=True, check=True)
    facts = {line[:18].strip(): line[18:].split() for line in told.stdout.splitlines()}
    weights, cache = int(facts["weights"][0]), int(facts["key/value cache"][0])
    taken = most_memory(program, "-n", "12", "-t", "0")
    print(f"{taken / MB:.1f} MB: weights {weights / MB:.1f}, key/value cache {cache / MB:.1f}")
    assert weights < taken <= weights + cache + 3 * MB
