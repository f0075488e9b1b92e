"""storyteller/S99storyteller, the board's start script: starts, tells its state, stops, and says why it can't start."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "storyteller/S99storyteller"

# Plays the program: notes its words, then waits for the signal that ends it.
STORYTELLER = """#!/bin/sh
echo "started in $PWD with: $*"
trap 'echo stopped; exit 0' TERM
while :; do sleep 0.05; done
"""


class Board:
    """A folder that plays the board's file system, with a sound card and a program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "console"
        self.sound = folder / "snd"
        self.sound.mkdir()
        (self.sound / "pcmC1D0p").touch()
        self.program = folder / "storyteller"
        self.program.write_text(STORYTELLER)
        self.program.chmod(0o755)
        self.settings: dict[str, str] = {"OPTIONS": "--loop --voice slt"}

    def run(self, word: str, shell: str = "busybox sh") -> subprocess.CompletedProcess[str]:
        paths = {"FOLDER": self.folder, "LOG": self.log, "SOUND": self.sound, "PIDFILE": self.folder / "pid", "WAIT": 1, "WATCHDOG": 0}
        conf = self.folder / "storyteller.conf"
        conf.write_text("".join(f"{name}='{value}'\n" for name, value in {**paths, **self.settings}.items()))
        environment = {"PATH": "/usr/bin:/bin", "STORYTELLER_DEFAULTS": str(conf)}
        return subprocess.run([*shell.split(), SCRIPT, word], env=environment, text=True, capture_output=True, timeout=30, check=False)

    def wait_for(self, text: str, times: int = 1) -> str:
        end = time.monotonic() + 60
        while (log := self.log.read_text() if self.log.exists() else "").count(text) < times:
            assert time.monotonic() < end, f"no '{text}' in: {log}"
            time.sleep(0.02)
        return log


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.run("stop")


@pytest.mark.parametrize("shell", ["busybox sh", "dash", "bash"])
def test_starts_says_so_and_stops(board: Board, shell: str) -> None:
    assert board.run("status", shell).returncode == 3
    result = board.run("start", shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert board.wait_for("started") == f"started in {board.folder} with: --loop --voice slt\n"
    assert board.run("status", shell).stdout.startswith("running, process ")
    assert board.run("start", shell).stderr == "storyteller: already running\n"
    assert board.run("stop", shell).returncode == 0
    assert board.wait_for("stopped").count("started") == 1
    assert board.run("status", shell).returncode == 3
    assert board.run("stop", shell).stderr == "storyteller: not running\n"


def test_an_option_may_be_a_command(board: Board) -> None:
    board.program.write_text("#!/bin/sh\nfor word; do echo \"<$word>\"; done\necho started\n")
    board.settings["OPTIONS"] = '--loop --snd-command "aplay -D plughw:2,0 -t raw"'
    board.run("start")
    assert board.wait_for("started") == "<--loop>\n<--snd-command>\n<aplay -D plughw:2,0 -t raw>\nstarted\n"


def test_restart_is_a_new_process(board: Board) -> None:
    board.run("start")
    first = board.run("status").stdout
    board.wait_for("started")
    assert board.run("restart").returncode == 0
    assert board.run("status").stdout not in (first, "not running\n")


def test_a_program_that_ignores_the_signal_is_killed(board: Board) -> None:
    board.program.write_text("#!/bin/sh\ntrap '' TERM\necho started\nwhile :; do sleep 0.05; done\n")
    board.run("start")
    board.wait_for("started")
    assert board.run("stop").returncode == 0
    assert board.run("status").returncode == 3


def test_waits_for_the_sound_card_then_says_so(board: Board) -> None:
    (board.sound / "pcmC1D0p").rename(board.sound / "pcmC1D0c")  # capture only
    result = board.run("start")
    assert result.returncode == 1 and result.stderr.startswith(f"storyteller: no sound card in {board.sound} after 1 seconds")
    assert board.run("status").returncode == 3


def test_the_boards_own_codec_is_no_reason_to_start_before_the_usb_card(board: Board) -> None:
    """It is there at once; without another card in time it has to do."""
    (board.folder / "cards/card1").mkdir(parents=True)
    (board.folder / "cards/card1/id").write_text("cv182xadac\n")
    board.settings |= {"CARDS": str(board.folder / "cards"), "WAIT": "30"}
    script = threading.Thread(target=board.run, args=("start",))
    script.start()
    time.sleep(0.3)
    assert board.run("status").returncode == 3
    (board.sound / "pcmC2D0p").touch()
    script.join(timeout=20)
    assert board.run("status").returncode == 0
    board.run("stop")
    (board.sound / "pcmC2D0p").unlink()
    board.settings["WAIT"] = "0"
    assert board.run("start").returncode == 0 and board.run("status").returncode == 0


def test_a_button_to_ground_reads_1_while_it_is_pressed(board: Board) -> None:
    """The folder plays the kernel's: a line that was exported before, and one that can't be."""
    line = board.folder / "gpio/gpio508"
    line.mkdir(parents=True)
    for name in ("value", "direction", "active_low"):
        (line / name).write_text("0\n")
    board.settings |= {"GPIO": str(board.folder / "gpio"), "BUTTON": "508"}
    result = board.run("start")
    assert (result.returncode, result.stderr) == (0, "")
    assert board.wait_for("started").endswith(f"with: --loop --voice slt --button {line}/value\n")
    assert ((line / "direction").read_text(), (line / "active_low").read_text()) == ("in\n", "1\n")
    board.run("stop")
    board.settings["BUTTON"] = "77"
    result = board.run("start")
    assert result.returncode == 1 and "no button: GPIO line 77 can't be had" in result.stderr.splitlines()[-1]


def test_says_where_the_program_was_expected(board: Board) -> None:
    board.program.unlink()
    result = board.run("start")
    assert result.returncode == 1 and f"no program in {board.folder}" in result.stderr


def test_a_number_that_is_nobodys_is_not_a_robot(board: Board) -> None:
    (board.folder / "pid").write_text("4194304999\n")
    assert board.run("status").returncode == 3
    assert board.run("start").returncode == 0


def test_a_number_that_is_another_programs_is_left_alone(board: Board) -> None:
    """The file outlived the robot, and a new process got its number."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        (board.folder / "pid").write_text(f"{other.pid}\n")
        assert board.run("status").stdout == "not running\n"
        assert board.run("stop").stderr == "storyteller: not running\n"
        assert other.poll() is None
        (board.folder / "pid").write_text(f"{other.pid}\n")
        assert board.run("start").returncode == 0
        assert board.run("status").stdout.startswith("running, process ") and str(other.pid) not in board.run("status").stdout
    finally:
        other.kill()
        other.wait()


def test_a_robot_that_died_is_started_again(board: Board) -> None:
    board.program.write_text("#!/bin/sh\necho started\n")
    board.run("start")
    board.wait_for("started")
    end = time.monotonic() + 10
    while board.run("status").returncode != 3:
        assert time.monotonic() < end
    assert (board.folder / "pid").exists()
    board.program.write_text(STORYTELLER)
    assert board.run("start").returncode == 0
    assert board.run("status").returncode == 0


def test_a_robot_that_hangs_is_started_again(board: Board) -> None:
    """It shows life for a while, which is left alone, then none; its words are the same again, and after a stop nobody starts it."""
    board.program.write_text(
        '#!/bin/sh\necho "started with: $*"\n'
        "for n in 1 2 3 4 5; do echo $n >alive; sleep 0.5; done\necho hangs\nwhile :; do sleep 0.05; done\n"
    )
    board.settings |= {"WATCHDOG": "1", "ALIVE": str(board.folder / "alive")}
    assert board.run("start").returncode == 0
    log = board.wait_for("started", times=2)
    assert log.index("hangs") < log.index("no sign of life for 1 seconds"), log
    assert set(re.findall("started with: (.*)", log)) == {f"--loop --voice slt --watchdog {board.folder}/alive"}
    assert board.run("status").stdout.startswith("running, process ")
    assert board.run("stop").returncode == 0
    time.sleep(1.5)  # the watch has looked once more
    assert board.run("status").returncode == 3


def test_refuses_other_words(board: Board) -> None:
    result = board.run("begin")
    assert (result.returncode, result.stderr) == (2, "storyteller: expected start, stop, restart or status\n")
