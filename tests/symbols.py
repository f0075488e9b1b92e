"""What objects ask the C library for: a promise of what a program can't do is read off the names that it lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

# What a program would need to talk to another machine: calls of the system, and of the C library.
NETWORK = set(
    "socket connect bind listen accept accept4 send sendto sendmsg recv recvfrom getaddrinfo gethostbyname gethostbyname_r "
    "getnameinfo res_query".split()
)
# What it would need to have a shell run a text, or to start a program.
SHELL = set("system popen execl execv execve execvp execlp posix_spawn posix_spawnp fork vfork".split())


def read_elf(*words: str | Path) -> str:
    """What readelf says, of this machine's files and of others'."""
    return subprocess.run(["readelf", "-W", *words], capture_output=True, text=True, check=True).stdout


def asked_names(*objects: Path) -> set[str]:
    """The undefined symbols of object files and archives."""
    words = [line.split() for line in read_elf("-s", *objects).splitlines() if " UND " in line]
    return {line[7] for line in words if len(line) > 7}
