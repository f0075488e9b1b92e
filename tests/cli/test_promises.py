"""What docs/security.md promises of a baked program: no network, no shell, memory and descriptors that stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
