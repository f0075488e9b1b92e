"""What is spoken: Flite's samples, handed on while a sentence is still computed."""

from __future__ import annotations

import signal
import subprocess
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from programs import EMULATOR, HERO, RATE, on_the_duo, on_this_machine, record, said, samples, tell, with_sanitizers

LONG = (
    "Once upon a time there was a little girl who lived in a small house by the sea, and every morning she walked down to the "
    "beach, because she loved to look at the waves and at the ships."
)


LOUDNESS = {"slt": -16.1, "kal16": -28.3, "rms": -21.5, "awb": -20.7}  # LUFS, before they are levelled


def flite(voice: str, wav: Path) -> np.ndarray:
    """The samples of the sentence by Debian's program, which computes it as a whole."""
    subprocess.run(["flite", "-voice", voice, "-t", LONG, "-o", wav], check=True)
    return samples(wav)


def say(path: Path, voice: str, wav: Path) -> np.ndarray:
    """The samples of the sentence, and of what the model says after it."""
    result = tell(path, "-i", LONG, "--max-sentences", "1", "--voice", voice, "--wav", wav)
    assert result.returncode == 0 and result.stdout.startswith(LONG), result.stderr
    return samples(wav)


@pytest.mark.parametrize("voice", ["slt", "kal16", "rms", "awb"])
def test_the_samples_are_those_of_flite(voice: str, tmp_path: Path) -> None:
    expected = flite(voice, tmp_path / "flite.wav")
    assert len(expected) > 8 * 16000, "several times what is handed on together"
    sound = say(on_this_machine(), voice, tmp_path / "said.wav")[: len(expected)]
    whole = slice(RATE // 100, None)  # behind the soft start
    gain = 10 ** ((-23 - LOUDNESS[voice]) / 20)
    plain = np.abs(expected[whole] * gain) < 0.48  # where no peak is rounded off
    assert plain.mean() > 0.99
    assert np.abs(sound[whole] - expected[whole] * gain)[plain].max() <= 1 / 32768, "less than a step of 16 bits"


@pytest.mark.parametrize("voice", ["kal", "espeak"])
def test_a_voice_of_another_rate_is_whole(voice: str, tmp_path: Path) -> None:
    sound = say(on_this_machine(), voice, tmp_path / "said.wav")
    assert 8 < len(sound) / 16000 < 25 and np.abs(sound[-16000:]).max() > 0.05


def test_an_interruption_in_mid_sentence_keeps_what_was_spoken(tmp_path: Path) -> None:
    """The board's program, in the emulator slow enough to be met while it computes."""
    duo = on_the_duo()
    whole = say(duo, "slt", tmp_path / "whole.wav")
    part = tmp_path / "part.wav"
    command = [*EMULATOR, duo, "-i", LONG, "--voice", "slt", "--wav", part]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while sum(path.stat().st_size for path in tmp_path.glob("part.wav*")) <= 44:
        assert process.poll() is None, "it ended before anything was spoken"
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    with wave.open(str(part)) as file:
        assert 44 + 2 * file.getnframes() == part.stat().st_size
    spoken = samples(part)
    assert 0 < len(spoken) < len(flite("slt", tmp_path / "flite.wav")), "the first sound came only with the last"
    assert np.array_equal(spoken, whole[: len(spoken)])


def test_hearing_and_speaking_leak_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A board loads the recogniser for each wish. (What Flite's own registers keep is reachable, and no leak.)"""
    monkeypatch.setenv("STORYBAKE_STORYTELLER", str(with_sanitizers()))
    wish = record(tmp_path / "wish.wav", 0.5, said(f"a story about {HERO}", "slt", tmp_path), 1.0)
    result = tell(with_sanitizers(), "--mic-wav", wish, "--voice", "kal16", "--max-sentences", "1", "--wav", tmp_path / "story.wav")
    assert result.returncode == 0 and f"heard: a story about {HERO}" in result.stderr, result.stderr
