"""The robot shows whoever started it that it has not hung: by a file that init looks at, a device, or systemd's socket."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from programs import TYPE_A_WISH, Running, command, on_this_machine, tell, until


def test_a_number_grows_as_long_as_something_comes_of_the_work(tmp_path: Path) -> None:
    """Also while nobody wishes for anything; the end by itself is told from a hang."""
    alive = tmp_path / "alive"
    running = Running(tmp_path, "--loop", "--wish", "-", "--mute", "-n", "8", "--watchdog", alive)
    running.wait_for(TYPE_A_WISH)
    first = int(alive.read_text())
    until(lambda: int(alive.read_text() or 0) > first + 1, lambda: alive.read_text())
    running.type("a story")
    running.wait_for(TYPE_A_WISH, times=2)
    assert running.end() == 0 and alive.read_text() == "V\n"


def test_a_robot_that_hangs_shows_no_life(tmp_path: Path) -> None:
    """All its threads are there, but the player takes nothing; after a crash there is no V."""
    alive = tmp_path / "alive"
    player = command(tmp_path / "player", f"touch {tmp_path}/playing\nexec sleep 600")
    words = ("--wish", "a story", "-s", "3", "--voice", "kal16", "--snd-command", player, "--watchdog", alive)
    running = Running(tmp_path, *words)
    until((tmp_path / "playing").exists, running.text)

    def hangs() -> bool:
        before = alive.read_text()
        time.sleep(2.5)
        return before == alive.read_text() and running.process.poll() is None

    until(hangs, alive.read_text)
    running.process.kill()
    running.process.wait()
    assert int(alive.read_text()) > 0


def test_a_device_is_fed_and_stopped(tmp_path: Path) -> None:
    """A pipe takes one number after the other, as /dev/watchdog does, and V as the last."""
    os.mkfifo(tmp_path / "device")
    device = os.open(tmp_path / "device", os.O_RDONLY | os.O_NONBLOCK)
    result = tell(on_this_machine(), "--wish", "a story", "--mute", "-n", "8", "--watchdog", tmp_path / "device")
    numbers = os.read(device, 65536).decode().split()
    os.close(device)
    assert result.returncode == 0 and numbers[-1] == "V"
    assert numbers[:-1] == [str(n) for n in range(1, len(numbers))] and len(numbers) > 1


def came(server: socket.socket) -> bool:
    """Whether a datagram has come; takes it."""
    server.setblocking(False)
    try:
        return bool(server.recv(100))
    except BlockingIOError:
        return False


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool) -> None:
    """By datagrams to its socket, as a service with WatchdogSec= is asked to, beside a file or without one."""
    name = f"@storyteller-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        systemd.settimeout(30)
        asked = {**os.environ, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "120000000"}
        running = Running(tmp_path, "--loop", "--wish", "-", "--mute", env=asked)
        assert [systemd.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3, "while nobody wishes for anything"
        assert running.end() == 0 and "can't be written" not in running.text()

        # Nothing is sent that is not asked for, of another process, or of nobody; the story is told.
        while came(systemd):
            pass
        for environment in ({**asked, "WATCHDOG_PID": "1"}, {**os.environ, "NOTIFY_SOCKET": name}):
            result = tell(on_this_machine(), "--wish", "a story", "--mute", "-n", "8", env=environment)
            assert result.returncode == 0 and not came(systemd), result.stderr
    gone = tell(on_this_machine(), "--wish", "a story", "--mute", "-n", "8", env={**asked, "NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert gone.returncode == 0 and gone.stdout, gone.stderr
    assert gone.stderr.count(f"NOTIFY_SOCKET={tmp_path}/gone: can't be written: No such file") == 1, gone.stderr


def test_a_watchdog_that_is_not_there(tmp_path: Path) -> None:
    result = tell(on_this_machine(), "--wish", "a story", "--mute", "--watchdog", tmp_path / "none/alive")
    assert result.returncode == 74 and f"--watchdog {tmp_path}/none/alive: can't be written: No such file" in result.stderr
    os.mkfifo(tmp_path / "nobody reads")
    waits = tell(on_this_machine(), "--wish", "a story", "--mute", "--watchdog", tmp_path / "nobody reads")
    assert waits.returncode == 74 and "nobody reads: can't be written: No such device or address" in waits.stderr
    full = tell(on_this_machine(), "--wish", "a story", "--mute", "-n", "8", "--watchdog", "/dev/full")
    assert full.returncode == 0 and full.stdout and full.stderr.count("No space left on device") == 1, full.stderr
