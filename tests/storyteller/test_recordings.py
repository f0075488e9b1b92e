"""Recordings as other programs write them, into files and into pipes: each is heard, or refused in a line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import HERO, RATE, on_this_machine, record, said, tell

RAW = ["-t", "raw", "-r", str(RATE), "-c", "1", "-b", "16", "-e", "signed", "-"]
PYTHON = """import sys, wave
file = wave.open(sys.stdout.buffer, "wb")
file.setparams((1, 2, 16000, 0, "NONE", ""))
file.writeframesraw(sys.stdin.buffer.read())
"""


@pytest.fixture(scope="module")
def wish(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wish said by Flite, in a file of Python's wave module."""
    folder = tmp_path_factory.mktemp("wish")
    return record(folder / "wish.wav", 0.8, said(f"tell me a story about {HERO}", "slt", folder), 1.0)


def piped(sound: bytes, out: Path, *command: str) -> Path:
    """What a program writes into a pipe, where it can't go back to fill in the length."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        told, _ = process.communicate(sound)
    out.write_bytes(told)
    return out


def by_sox_into_a_file(sound: bytes, out: Path) -> Path:
    subprocess.run(["sox", "-q", *RAW, str(out)], input=sound, check=True)
    return out


def by_sox_with_a_comment(sound: bytes, out: Path) -> Path:
    subprocess.run(["sox", "-q", *RAW, "--comment", "odd", str(out)], input=sound, check=True)
    return out


def by_sox_on_a_pipe(sound: bytes, out: Path) -> Path:
    return piped(sound, out, "sox", "-q", *RAW, "-t", "wav", "-")


def by_python_on_a_pipe(sound: bytes, out: Path) -> Path:
    return piped(sound, out, sys.executable, "-c", PYTHON)


HEARD = (by_sox_into_a_file, by_sox_with_a_comment, by_sox_on_a_pipe, by_python_on_a_pipe)


@pytest.mark.parametrize("maker", HEARD, ids=lambda maker: maker.__name__)
def test_a_recording_of_another_program_is_heard(maker: Callable[[bytes, Path], Path], wish: Path, tmp_path: Path) -> None:
    sound = wish.read_bytes()[44:]
    made = maker(sound, tmp_path / "made.wav")
    assert sound in made.read_bytes()
    result = tell(on_this_machine(), "--mic-wav", made, "--mute", "--max-sentences", "1", "-s", "5", stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and f"heard: tell me a story about {HERO}\n" in result.stderr, result.stderr


def by_espeak(out: Path) -> Path:
    return piped(b"", out, "espeak-ng", "--stdout", f"tell me a story about {HERO}")


def by_sox_in_two_channels(out: Path) -> Path:
    return piped(b"\0" * RATE, out, "sox", "-q", *RAW, "-t", "wav", "-c", "2", "-")


def by_sox_in_24_bits(out: Path) -> Path:
    return piped(b"\0" * RATE, out, "sox", "-q", *RAW, "-t", "wav", "-b", "24", "-")


def by_sox_in_floats(out: Path) -> Path:
    return piped(b"\0" * RATE, out, "sox", "-q", *RAW, "-t", "wav", "-e", "float", "-b", "32", "-")


def by_sox_as_au(out: Path) -> Path:
    return piped(b"\0" * RATE, out, "sox", "-q", *RAW, "-t", "au", "-")


@pytest.mark.parametrize(("maker", "words"), [
    (by_espeak, "22050"), (by_sox_in_two_channels, "2 channels"), (by_sox_in_24_bits, "24"), (by_sox_in_floats, "32"),
    (by_sox_as_au, "not a WAV file"),
], ids=lambda value: getattr(value, "__name__", ""))  # fmt: skip
def test_a_recording_that_cannot_be_heard_is_refused(maker: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    result = tell(on_this_machine(), "--mic-wav", maker(tmp_path / "made.wav"), "--mute", stdin=subprocess.DEVNULL)
    last = result.stderr.splitlines()[-1]
    assert result.returncode == 65 and "made.wav: " in last and words in last and result.stderr.count("\n") == 1, result.stderr


def test_a_story_on_a_pipe_can_be_read_again(tmp_path: Path) -> None:
    """The storyteller's own sound, through a pipe: read as a recording it is no wish, and no fault."""
    pipe, made = tmp_path / "pipe", tmp_path / "made.wav"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=made.open("wb")) as reader:
        assert tell(on_this_machine(), "-i", "Once", "-s", "5", "-n", "8", "--wav", pipe).returncode == 0
    assert reader.returncode == 0 and made.read_bytes()[4:8] == b"\xff" * 4, "its length was not known"
    result = tell(on_this_machine(), "--mic-wav", made, "--mute", "--max-sentences", "1", stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and "made.wav" not in result.stderr, result.stderr
