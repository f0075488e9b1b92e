"""How the storyteller's voices speak: speed, pitch, the espeak-ng command, and text that no voice can say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from loudness import measure
from programs import RATE, command, on_this_machine, samples, tell

SENTENCE = "Once upon a time there was a little dragon who loved the warm sun."


def say(path: Path, *words: str | Path, text: str = SENTENCE, **options: object) -> subprocess.CompletedProcess[str]:
    """One sentence into a WAV file."""
    return tell(on_this_machine(), "-i", text, "--max-sentences", "1", "-s", "1", "--wav", path, *words, **options)


def spoken(path: Path, *words: str | Path) -> np.ndarray:
    result = say(path, *words)
    assert (result.returncode, result.stdout) == (0, SENTENCE + "\n"), result.stderr
    return samples(path)


def fundamental(sound: np.ndarray) -> float:
    """The median over the voiced parts of a sound of their fundamental frequency in Hz, 50 to 400.

    By the first peak of the normalised cross-correlation of 40 ms with what follows them.
    """
    lags, window = np.arange(RATE // 400, RATE // 50), RATE // 25
    found = []
    for at in range(0, len(sound) - window - lags[-1], window // 2):
        part = sound[at : at + window]
        if part.std() < 0.02:
            continue
        later = np.lib.stride_tricks.sliding_window_view(sound[at : at + window + lags[-1]], window)[lags]
        likeness = later @ part / np.sqrt((part @ part) * np.square(later).sum(axis=1) + 1e-9)
        if likeness.max() > 0.65:
            peak = int(np.argmax(likeness > 0.93 * likeness.max()))
            while peak + 1 < len(lags) and likeness[peak + 1] > likeness[peak]:
                peak += 1
            found.append(RATE / lags[peak])
    assert len(found) > 10, "hardly any voiced part"
    return float(np.median(found))


@pytest.mark.parametrize("voice", ["slt", "kal16", "rms", "espeak"])
def test_speed_changes_how_long_it_takes(voice: str, tmp_path: Path) -> None:
    plain, fast, slow = (len(spoken(tmp_path / "say.wav", "--voice", voice, "--speed", speed)) for speed in ("100", "150", "70"))
    assert 1.35 < plain / fast < 1.65 and 0.6 < plain / slow < 0.8


@pytest.mark.parametrize("voice", ["slt", "kal16", "awb"])
def test_pitch_changes_the_fundamental_frequency(voice: str, tmp_path: Path) -> None:
    plain, high, low = (fundamental(spoken(tmp_path / "say.wav", "--voice", voice, "--pitch", pitch)) for pitch in ("100", "140", "80"))
    assert 1.3 < high / plain < 1.5 and 0.7 < low / plain < 0.9, (plain, high, low)


def test_espeaks_pitch_is_on_its_own_scale(tmp_path: Path) -> None:
    plain, high = (fundamental(spoken(tmp_path / "say.wav", "--voice", "espeak", "--pitch", pitch)) for pitch in ("100", "150"))
    assert 1.1 < high / plain < 1.5


def test_a_voice_whose_pitch_is_fixed_says_so(tmp_path: Path) -> None:
    result = say(tmp_path / "high.wav", "--voice", "rms", "--pitch", "150")
    assert result.returncode == 0
    assert result.stderr.splitlines()[0] == "storyteller: warning: --pitch: the voice rms has one pitch alone: take slt, awb or kal16"
    assert "--pitch" not in say(tmp_path / "plain.wav", "--voice", "rms").stderr
    assert 0.97 < fundamental(samples(tmp_path / "high.wav")) / fundamental(samples(tmp_path / "plain.wav")) < 1.03


@pytest.mark.parametrize("voice", ["slt", "kal16", "rms", "awb", "kal", "espeak"])
def test_every_voice_is_as_loud_as_the_others(voice: str, tmp_path: Path) -> None:
    """A whole story, and one at twice the volume, whose peaks are rounded off."""
    for volume, lufs, most in (("100", -23.0, 1.0), ("-6dB", -29.0, 1.0), ("200", -17.0, 1.5)):
        words = ("--wish", "a cat", "-s", "7", "--voice", voice, "--volume", volume, "--wav", tmp_path / "story.wav")
        result = tell(on_this_machine(), *words)
        assert result.returncode == 0, result.stderr
        loudness, peak = measure(samples(tmp_path / "story.wav"))
        assert abs(loudness - lufs) <= most and peak < -1.0, (volume, loudness, peak)


def test_espeak_speaks(tmp_path: Path) -> None:
    for voice in ("espeak", "espeak:en-us"):
        sound = spoken(tmp_path / "say.wav", "--voice", voice)
        assert 2 < len(sound) / RATE < 10 and np.abs(sound).max() > 0.1
    result = say(tmp_path / "say.wav", "--voice", "espeak:xx-nowhere")
    assert result.returncode == 69 and "espeak-ng ended with" in result.stderr.splitlines()[-1]


def test_without_espeak_another_voice_is_suggested(tmp_path: Path) -> None:
    result = say(tmp_path / "say.wav", "--voice", "espeak", env={"PATH": "/nonexistent"})
    assert (result.returncode, result.stdout) == (69, "")
    assert result.stderr == "storyteller: --voice espeak: no espeak-ng in PATH: apt-get install espeak-ng, or take another voice\n"


@pytest.mark.parametrize(
    "script, message", [("exit 3", "ended with 3, expected 0"), ("cat", "is wrong: not a WAV file"), ("kill -SEGV $$", "ended with 139")]
)
def test_an_espeak_that_is_broken_is_tried_twice(script: str, message: str, tmp_path: Path) -> None:
    command(tmp_path / "espeak-ng", f"echo x >>{tmp_path}/calls\n{script}")
    result = say(tmp_path / "say.wav", "--voice", "espeak", env=os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert result.returncode == 69 and message in result.stderr.splitlines()[-1], result.stderr
    assert (tmp_path / "calls").read_text().count("x") == 2


def test_one_crash_of_espeak_is_not_noticed(tmp_path: Path) -> None:
    """It is started anew for each sentence, and again when it failed."""
    crash = f"[ -e {tmp_path}/crashed ] || {{ touch {tmp_path}/crashed; kill -KILL $$; }}"
    command(tmp_path / "espeak-ng", f'{crash}\nexec /usr/bin/espeak-ng "$@"')
    result = say(tmp_path / "say.wav", "--voice", "espeak", env=os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert result.returncode == 0 and (tmp_path / "crashed").exists()
    expected = spoken(tmp_path / "plain.wav", "--voice", "espeak")
    assert np.array_equal(samples(tmp_path / "say.wav"), expected)


@pytest.mark.parametrize("text", ["🐉🐉🐉!", "从前有一条龙!"])
def test_what_flite_cannot_say_is_shown(text: str, tmp_path: Path) -> None:
    result = say(tmp_path / "say.wav", text=text)
    assert result.returncode == 0 and result.stdout.startswith(text), result.stderr
    assert result.stderr.count("the voice can't say") == 1 and f'"{text}' in result.stderr
    mixed = say(tmp_path / "mixed.wav", text="A 🐉 dragon met the 龙 moon.")
    assert mixed.returncode == 0 and "can't say" not in mixed.stderr
    assert len(samples(tmp_path / "mixed.wav")) > RATE


def test_signs_alone_are_passed_over(tmp_path: Path) -> None:
    result = say(tmp_path / "say.wav", text="... !!!")
    assert result.returncode == 0 and "can't say" not in result.stderr
