"""What docs/security.md promises of a baked program: no network, no shell, memory and descriptors that stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from symbols import NETWORK, SHELL, asked_names  # noqa: E402


def test_no_network_and_no_shell(binary: str) -> None:
    """By what the program's own objects ask the C library for: none of it is there to be called."""
    folder = Path(binary).parent
    parts = [*folder.glob("*.a"), *folder.glob("runtime/*.a"), *folder.glob(f"{Path(binary).name}.linked.p/*.o")]
    asked = asked_names(*(part for part in parts if part.name != "libspeech.a"))  # which is the storyteller's
    assert {"read", "write"} <= asked, "objects that ask for nothing prove nothing"
    assert not asked & (NETWORK | SHELL)


def test_many_stories_take_no_more_memory_than_one(binary: str, not_sanitized: None) -> None:
    """Stories in one process: its peak after two hundred is that after the first ten, to the page."""
    command = [binary, "-r", "100000", "-n", "40", "-s", "1", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        story = len(process.stdout.read(400)) // 4  # bytes, about
        process.stdout.read(9 * story)
        ten = peak(process.pid)
        assert len(process.stdout.read(200 * story)) == 200 * story
        two_hundred = peak(process.pid)
        process.kill()
    assert two_hundred <= ten + 64, f"kB at most: {ten}, {two_hundred}"  # 64 kB: where pages happen to be shared or not


MARK = "-- the next --"
STORIES = int(os.environ.get("STORYBAKE_STORIES", "400"))


@pytest.mark.parametrize(("stories", "threads"), [(STORIES, 1), (40, 2)])
def test_descriptors_and_threads_stay(stories: int, threads: int, binary: str, not_sanitized: None) -> None:
    """Stories in one process: after a tenth of them and after nine tenths it has the same descriptors, threads and memory."""
    pipe = 64 * 1024  # stories, more than one a byte of the pipe: it is still telling when it is looked at
    command = [binary, "-r", str(stories + pipe), "-n", "20", "-s", "1", "-t", "1", "--separator", MARK, "--threads", str(threads)]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        told = 0
        for part in (stories // 10, stories * 9 // 10):
            while told < part:
                line = process.stdout.readline()
                assert line, "it ended early"
                told += line == f"{MARK}\n".encode()
            found.append((len(os.listdir(f"/proc/{process.pid}/fd")), len(os.listdir(f"/proc/{process.pid}/task")), peak(process.pid)))
        assert process.poll() is None
        process.kill()
    print(f"{stories} stories: descriptors, threads, kB at most: {found[0]}, then {found[1]}")
    assert found[0][:2] == found[1][:2] and found[1][2] <= found[0][2] + 64


def peak(pid: int) -> int:
    """The most memory that a running program has had resident, in kB: what its parent had before does not count."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_no_descriptor_is_left_open(binary: str, tmp_path: Path) -> None:
    """With eight descriptors to be had in all, two hundred stories are told."""
    command = f'ulimit -n 8 && exec "{binary}" -r 200 -n 10 -s 1 --threads 1 --logits "{tmp_path / "logits"}"'
    result = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(b"\n") >= 200
