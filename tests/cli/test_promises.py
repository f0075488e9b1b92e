"""What docs/security.md promises of a baked program: no network, no shell, memory and descriptors that stay."""

from __future__ import annotations

import subprocess
from pathlib import Path

# What a program would need to talk to a network, or to have a shell run a text.
NETWORK = {"socket", "connect", "bind", "listen", "accept", "getaddrinfo", "gethostbyname", "sendto", "recvfrom"}
SHELL = {"system", "popen", "execl", "execv", "execve", "execvp", "execlp", "posix_spawn", "posix_spawnp", "fork", "vfork"}


def test_no_network_and_no_shell(binary: str) -> None:
    """By what the program's own objects ask the C library for: none of it is there to be called."""
    asked = set()
    for archive in ("runtime/libruntime.a", "libbaked.a", "libkernels.a"):
        command = ["nm", "--undefined-only", str(Path(binary).parent / archive)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        asked |= {line.split()[-1] for line in result.stdout.splitlines() if " U " in line}
    assert {"read", "write"} <= asked, "objects that ask for nothing prove nothing"
    assert not asked & (NETWORK | SHELL)


def test_many_stories_take_no_more_memory_than_one(binary: str) -> None:
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
