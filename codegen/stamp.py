"""Tells whether what a bake is made of has changed: python3 -IS codegen/stamp.py WATCHED STAMP, at every compile.

WATCHED, which codegen.saved writes, has a command's arguments and lists files and folders. The stamp has the fingerprint of the list
and of each file, and is written anew when one of them has changed, come, or gone, whatever its date says and wherever a link leads
now; then the build bakes again. Size, dates, place and the date of the last change of each, which no program can set, are kept beside
the stamp: as long as they are the same, no file is read, and all of it takes a few milliseconds. Hence no import but of the standard
library.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import time

TYPE_CHECKING = False  # importing typing takes longer than all else takes to run
if TYPE_CHECKING:
    from typing import Any

    State = list[Any] | None
# Counts the nanoseconds in which a file may change twice with one date: one that changed so lately is read again the next time.
TICK = 100_000_000


def files_of(watched: dict[str, list[str]]) -> list[str]:
    """Returns the names of all files that are watched, those of a folder among them."""
    names = list(watched.get("files", ()))
    for folder in watched.get("folders", ()):
        try:
            names += (entry.path for entry in os.scandir(folder) if entry.is_file())
        except OSError:
            pass  # it is gone, and its files with it
    return sorted(set(names))


def state_of(name: str) -> State:
    """Returns what tells without reading it whether a file is the same; None when it is not there, or when that can't be told
    yet."""
    try:
        status = os.stat(name)
    except OSError:
        return None
    if abs(time.time_ns() - status.st_ctime_ns) < TICK:
        return None
    return [os.path.realpath(name), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def fingerprint(name: str) -> str | None:
    """Computes the hash of a file's bytes; None when it can't be read, or is a pipe or a device, which may never end."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            return None
        with open(name, "rb", buffering=0) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def read(name: str) -> dict[str, Any]:
    """Reads a JSON object that this program wrote; an empty one when there is none."""
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            value = json.load(file)
    except (OSError, ValueError):
        value = None
    return value if isinstance(value, dict) else {}


def write(name: str, value: object) -> None:
    """Writes a JSON object whole or not at all. OSError where it can't be written."""
    try:
        with open(f"{name}.part", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(value, file, indent=0)
        os.replace(f"{name}.part", name)
    except OSError:
        if os.path.isfile(f"{name}.part"):
            os.unlink(f"{name}.part")
        raise


def refuse(name: str, why: str | None) -> int:
    """Says, in one line, that a file can't be written; returns the exit code, 74."""
    try:
        os.write(2, f"storybake: {name}: can't be written: {why}; check the folder and free space\n".encode(errors="replace"))
    except OSError:
        pass  # nobody can be told
    return 74


def main(watched: str, stamp: str) -> int:
    seen = f"{stamp}.seen"
    before, prints = read(seen), read(stamp)
    now: dict[str, State] = {}
    found: dict[str, str | None] = {}
    for name in (watched, *files_of(read(watched))):  # the arguments are in the list itself
        now[name] = state_of(name)
        same = name in prints and now[name] is not None and before.get(name) == now[name]
        found[name] = prints[name] if same else fingerprint(name)
    try:
        if found != prints or not os.path.exists(stamp):
            write(stamp, found)
        if now != before:
            write(seen, now)
    except OSError as error:
        return refuse(stamp, error.strerror)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
