"""How much of the board's memory the Duo's program takes: the stories15M shape in int8, as QEMU 5.2 runs it.

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

from shapes import ROOT

from riscv_tools import need

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
    with subprocess.Popen([ROOT / "tools/run-riscv", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None:
            with contextlib.suppress(OSError):  # it has just ended
                most = max(most, guest_memory(Path(f"/proc/{run.pid}/smaps").read_text()))
            time.sleep(0.2)
    assert run.returncode == 0
    return most


def test_weights_cache_and_three_megabytes(tmp_path: Path) -> None:
    need("gcc")
    need("qemu5")
    model = seeded.write(tmp_path, "stories15M_q8")
    build = tmp_path / "build"
    environment = {**os.environ, "PATH": f"{ROOT / 'tools'}:{os.environ['PATH']}", "CXX": "ccache g++"}
    for words in (["setup", "--cross-file", "cross/duo.ini", build, f"-Dmodel={model}"], ["compile", "-C", build, model.stem]):
        done = subprocess.run(["meson", *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    told = subprocess.run([ROOT / "tools/run-riscv", build / model.stem, "--info"], capture_output=True, text=True, check=True)
    facts = {line[:18].strip(): line[18:].split() for line in told.stdout.splitlines()}
    weights, cache = int(facts["weights"][0]), int(facts["key/value cache"][0])
    taken = most_memory(build / model.stem, "-n", "12", "-t", "0")
    print(f"{taken / MB:.1f} MB: weights {weights / MB:.1f}, key/value cache {cache / MB:.1f}")
    assert weights < taken <= weights + cache + 3 * MB
