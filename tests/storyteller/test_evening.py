"""An evening with the robot, and the morning after: through recordings, files and pipes alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import hearing
import numpy as np
from loudness import measure
from programs import HERO, RATE, Running, command, on_the_duo, on_this_machine, record, said, samples, tell

ACOUSTIC_MODEL = Path("/usr/share/pocketsphinx/model/en-us/en-us")  # Debian's
WORDS = ("--loop", "--attention", "wake", "--voice", "kal16", "-s", "7")


def spoken(folder: Path, *texts: str, semitones: float = 7, noise: float = 20) -> Path:
    """A child's texts, over the noise of the room."""
    parts: list[np.ndarray | float] = [0.8]
    for text in texts:
        parts += [hearing.raised(said(text, "kal16", folder), semitones, folder), 1.5]
    path = record(folder / "spoken.wav", *parts)
    return record(path, hearing.with_noise(np.frombuffer(path.read_bytes()[44:], np.int16), noise))


def evening(program: Path, folder: Path, *words: str | Path) -> str:
    """A child wakes it, wishes, wants it again, and says good night; the story, which was told twice."""
    asked = spoken(folder, "hello teddy", f"tell me a story about {HERO}", "hello teddy", "that one again", "hello teddy", "good night")
    result = tell(program, *WORDS, *words, "--mic-wav", asked, "--wav", folder / "evening.wav", stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    assert re.findall("heard: (.*)", result.stderr)[:2] == [f"tell me a story about {HERO}", "that one again"], result.stderr
    stories = [part for part in result.stdout.split("\n") if part]
    told = tell(on_this_machine(), "--wish", HERO, "--mute", "-s", "7").stdout
    assert HERO.split()[-1] in told and "\n".join(stories) == (told + told).strip(), "told twice, and nothing else"
    loudness, peak = measure(samples(folder / "evening.wav"))
    assert abs(loudness + 23) <= 1 and peak < -1, (loudness, peak)
    return told


def test_an_evening_with_the_boards_program(tmp_path: Path) -> None:
    evening(on_the_duo(), tmp_path, "--acoustic-model", ACOUSTIC_MODEL)


def test_an_evening_and_the_morning_after(tmp_path: Path) -> None:
    memory = ("--memory", tmp_path / "memory")
    told = evening(on_this_machine(), tmp_path, *memory)

    # The power fails in the middle of the next story: its player has taken half a second.
    player = command(tmp_path / "player", f"head -c {RATE} >/dev/null\ntouch {tmp_path}/playing\nexec sleep 60")
    words = ("--loop", "--wish", "-", *WORDS[3:], *memory, "--snd-command", player)
    running = Running(tmp_path, *words)
    running.wait_for("type a wish")
    running.type("a cat")
    running.wait_for("a story about a cat")
    while not (tmp_path / "playing").exists():
        assert running.process.poll() is None
    running.process.kill()
    running.process.wait()

    # The morning after it still knows the story that it told to its end.
    asked = spoken(tmp_path, "hello teddy", "that one again")
    result = tell(on_this_machine(), *WORDS[:-2], *memory, "--mute", "--mic-wav", asked, stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and result.stdout == told, result.stderr
