"""What docs/security.md promises of a baked program: no network, no shell, memory and descriptors that stay."""

from __future__ import annotations

import subprocess
import sys
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
    assert {"read", "write", "memcpy"} <= asked, "objects that ask for nothing prove nothing"
    assert not asked & (NETWORK | SHELL)


def test_many_stories_take_no_more_memory_than_one(binary: str) -> None:
    """200 stories in one process: its peak is that of ten to the page, and it has its three descriptors open."""
    peaks = []
    for count in (10, 200):
        script = (
            "import os, resource, subprocess, sys\n"
            "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
            "_, status, usage = os.wait4(p.pid, 0)\n"
            "print(status, usage.ru_maxrss)\n"
        )
        command = [binary, "-r", str(count), "-n", "40", "-s", "1", "--threads", "1"]
        result = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
        status, peak = map(int, result.stdout.split())
        assert status == 0
        peaks.append(peak)
    assert peaks[1] <= peaks[0] + 64, f"kB at most: {peaks}"  # 64 kB: where pages happen to be shared or not


def test_no_descriptor_is_left_open(binary: str, tmp_path: Path) -> None:
    """With eight descriptors to be had in all, two hundred stories are told."""
    command = f'ulimit -n 8 && exec "{binary}" -r 200 -n 10 -s 1 --threads 1 --logits "{tmp_path / "logits"}"'
    result = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(b"\n") >= 200
