"""The storyteller without hardware: wishes said by Flite's voices in place of a microphone, stories as WAV files, faults."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import programs
import pytest
from programs import RATE, command, record, said

WISHES = (
    "tell me a story about a dragon", "tell me a story about the sea", "tell me a story about sharing", "a story about a rabbit",
    "please tell me a story about a birthday party", "tell me a story about a princess", "i want a story about the moon",
    "tell me a story about a robot", "tell me a story about a hungry friend", "can you tell me a story about a rainbow",
)  # fmt: skip
VOICES = ("slt", "kal16", "rms", "awb", "kal")


@pytest.fixture
def tell() -> Callable[..., subprocess.CompletedProcess[str]]:
    return partial(programs.tell, programs.on_this_machine(), stdin=subprocess.DEVNULL)


def test_48_of_50_wishes_are_heard(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    right = 0
    for voice in VOICES:
        parts: list[np.ndarray | float] = [0.5]
        for wish in WISHES:
            parts += [said(wish, voice, tmp_path), 1.0]
        recording = record(tmp_path / "wishes.wav", *parts)
        result = tell("--loop", "--mute", "--mic-wav", recording, "--max-sentences", "1")
        assert result.returncode == 0, result.stderr
        heard = re.findall(r"^heard: (.*)$", result.stderr, re.MULTILINE)
        print(voice, set(WISHES) - set(heard))
        right += len(set(WISHES) & set(heard))
    assert right >= 48


def test_a_said_wish_becomes_a_spoken_story(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    recording = record(tmp_path / "wish.wav", 0.5, said("tell me a story about a dragon", "slt", tmp_path), 1.5)
    result = tell("--mic-wav", recording, "--wav", tmp_path / "story.wav", "-s", "3")
    assert result.returncode == 0, result.stderr
    assert "heard: tell me a story about a dragon" in result.stderr
    assert "dragon" in result.stdout
    story = programs.samples(tmp_path / "story.wav")
    words = len(result.stdout.split())
    assert 0.2 < len(story) / RATE / words < 0.7  # seconds a word
    assert np.sqrt(np.mean(story**2)) > 0.01


def test_what_was_spoken_is_heard_again(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """The storyteller's own voice says a wish, which the storyteller hears."""
    spoken = tell("-i", "A story about a rabbit.", "--max-sentences", "1", "--wav", tmp_path / "said.wav", "-s", "1")
    assert spoken.returncode == 0 and spoken.stdout.strip() == "A story about a rabbit."
    sound = (programs.samples(tmp_path / "said.wav") * 32768).astype(np.int16)
    heard = tell("--mic-wav", record(tmp_path / "mic.wav", 0.5, sound, 1.0), "--mute", "--max-sentences", "1")
    assert "heard: a story about a rabbit" in heard.stderr


def test_a_sentence_that_is_no_wish_is_asked_for_twice(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    other = said("the quick brown fox jumps over the lazy dog", "slt", tmp_path)
    recording = record(tmp_path / "other.wav", 0.5, other, 1.0, other, 1.0, other, 1.0)
    result = tell("--mic-wav", recording, "--mute", "--max-sentences", "1")
    assert result.returncode == 0
    assert result.stderr.count("not understood") == 3
    assert "a story of my own choice" in result.stderr and result.stdout.strip()


def test_silence_ends_after_eight_seconds_and_a_story_is_told(
    tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    result = tell("--mic-wav", record(tmp_path / "silence.wav", 26.0), "--mute", "--max-sentences", "1")
    assert result.returncode == 0
    assert result.stderr.count("nothing heard for 8 s") == 3 and result.stdout.strip()


def test_messages_in_chinese(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    result = tell("--mic-wav", record(tmp_path / "silence.wav", 26.0), "--mute", "--max-sentences", "1", "--language", "zh")
    assert "没有听到声音" in result.stderr


def test_typed_commands(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    lines = "a dragon\nagain\nnext\nlouder\nstop\n"
    path = programs.on_this_machine()
    result = subprocess.run(
        [path, "--loop", "--wish", "-", "--wav", tmp_path / "all.wav", "--max-sentences", "1", "-s", "5", "--speed", "200"],
        input=lines, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0 and "good night" in result.stderr


def test_a_broken_recording_is_refused(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    good = record(tmp_path / "good.wav", 1.0).read_bytes()
    bad = {
        "says 4294967295 bytes": good[:40] + b"\xff\xff\xff\xff" + good[44:],
        "0 bytes of samples": good[:40] + bytes(4) + good[44:],
        "0 channels": good[:22] + bytes(2) + good[24:],
        "0 samples a second": good[:24] + bytes(4) + good[28:],
        "with 24 bits": good[:34] + b"\x18\x00" + good[36:],
        "fmt chunk has 0 bytes": good[:16] + bytes(4) + good[20:],
        "not a WAV file": b"RIFX" + good[4:],
        "was the file cut": good[:2000],
    }
    for message, content in bad.items():
        (tmp_path / "bad.wav").write_bytes(content)
        result = tell("--mic-wav", tmp_path / "bad.wav", "--mute")
        assert result.returncode == 65 and message in result.stderr, (message, result.stderr)


def test_no_microphone(tell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for words in ("/nonexistent/arecord", "false"):
        result = tell("--mic-command", words, "--mute")
        assert result.returncode == 69 and result.stdout == "", result.stderr
    assert tell("--listen", "--mute", env={"PATH": "/nonexistent"}).returncode == 69


def test_a_player_that_dies_leaves_the_text(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """It plays the first sentences, and never again."""
    player = command(tmp_path / "player", f"[ -e {tmp_path}/dead ] && exit 1\nhead -c 200000 >/dev/null\ntouch {tmp_path}/dead")
    result = tell("--wish", "a dragon", "--snd-command", player, "-s", "3")
    assert result.stdout == tell("--wish", "a dragon", "--mute", "-s", "3").stdout
    assert result.stderr.count("the story goes on as text") == 1


def test_a_full_disk(tell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = tell("--wish", "a dragon", "--wav", "/dev/full")
    assert result.returncode == 74 and "No space left on device" in result.stderr


@pytest.mark.parametrize("state", ["listening", "speaking"])
def test_an_interruption_leaves_no_child_and_a_whole_file(state: str, tmp_path: Path) -> None:
    path, children = programs.on_this_machine(), tmp_path / "children"
    child = command(tmp_path / "child", f"echo $$ >>{children}\nexec sleep 60")
    listening = state == "listening"
    words = ["--mic-command", child] if listening else ["--wish", "a dragon", "--snd-command", child]
    process = subprocess.Popen(
        [path, *words, "--wav", tmp_path / "story.wav"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not children.exists() or not children.read_text().endswith("\n"):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    for number in children.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(number), 0)
    assert not list(tmp_path.glob("*.tmp"))
    with wave.open(str(tmp_path / "story.wav")) as file:
        assert 44 + 2 * file.getnframes() == (tmp_path / "story.wav").stat().st_size
        assert listening or file.getnframes() > 0


def test_two_at_once(tell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    device = "/dev/snd" if os.path.exists("/dev/snd") else programs.on_this_machine()
    with open(os.open(device, os.O_RDONLY)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = tell("--wish", "a dragon", "--snd-command", "cat")
    assert result.returncode == 69 and "another storyteller" in result.stderr


def test_hooks(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    hook = command(tmp_path / "hook", f'echo "$1" >>{tmp_path}/hooks')
    hooks = [word for name in ("listen", "think", "speak", "error") for word in (f"--on-{name}", f"'{hook}' {name}")]
    recording = record(tmp_path / "wish.wav", 0.5, said("a story about a rabbit", "slt", tmp_path), 1.5)
    assert tell("--mic-wav", recording, "--wav", tmp_path / "story.wav", *hooks).returncode == 0
    assert sorted((tmp_path / "hooks").read_text().split()) == ["listen", "speak", "think"]


def test_info_says_whether_both_fit(tell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = tell("--info")
    assert result.returncode == 0
    assert re.search(r"^both at once +\d+\.\d MB of \d+\.\d available: (both fit|one after the other)$", result.stdout, re.MULTILINE)
