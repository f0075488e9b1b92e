"""The storyteller without hardware: wishes said by Flite's voices in place of a microphone, stories as WAV files, faults."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hearing
import numpy as np
import programs
import pytest
from programs import FRIEND, HERO, RATE, record, said


@pytest.fixture
def tell() -> Callable[..., subprocess.CompletedProcess[str]]:
    return partial(programs.tell, programs.on_this_machine(), stdin=subprocess.DEVNULL)


def test_the_tests_wish_for_what_the_model_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    liked = ("an owl", "the sea", "sharing", "a big cake")
    assert {programs.HERO, programs.FRIEND} <= set(programs.TOPICS) and programs.HERO != programs.FRIEND
    for topics, expected in (
        (["the sea", "a cat", "a big cake", "sharing", "an owl"], list(liked)),
        (["a red hat", "a cat", "the hill", "helping", "a dog"], ["a cat", "the hill", "helping", "a red hat"]),
        (["a cat", "a dog", "a fox", "a pig"], ["a cat", "a dog", "a fox", "a pig"]),
    ):
        monkeypatch.setattr(programs, "TOPICS", topics)
        assert programs.known(*liked) == expected


@pytest.mark.parametrize(("condition", "least"), [("quiet", 7), ("noise 20 dB", 6), ("noise 10 dB", 5), ("6 semitones up and 20 dB", 5)])
def test_most_wishes_are_understood(condition: str, least: int, tmp_path: Path) -> None:
    """A sample of one voice; tests/storyteller/hearing.py counts all of them."""
    results = list(hearing.right_wishes("slt", hearing.CONDITIONS[condition], tmp_path, every=4))
    assert len(results) == 8 and sum(understood for _, understood, _ in results) >= least, results


def test_noise_is_what_the_acoustic_model_is_adapted_to(tmp_path: Path) -> None:
    """Without the transform it is 4 of these 11 that are understood."""
    results = list(hearing.right_wishes("rms", hearing.CONDITIONS["noise 10 dB"], tmp_path, every=3))
    assert len(results) == 11 and sum(understood for _, understood, _ in results) >= 7, results


@pytest.mark.parametrize("voice", ["rms", "awb", "kal"])
def test_stop_is_understood_over_noise_with_words_around_it(voice: str, tmp_path: Path) -> None:
    """Its soft beginning passes for the room where nothing was said before: "please" alone was heard, and a worm made of it."""
    heard = hearing.hear(["stop it please"], voice, hearing.CONDITIONS["noise 10 dB"], tmp_path)
    assert heard and "good night" in heard[0].lines, heard


def test_a_childs_voice_is_what_it_is_adapted_to_when_lowered(tmp_path: Path) -> None:
    """Without the transform none of these is understood."""
    phrases = [(text, meant) for text, meant in hearing.PHRASES if text in ("louder", "what happens next", "help")]
    heard = hearing.hear([text for text, _ in phrases], "awb", hearing.CONDITIONS["8 semitones up"], tmp_path)
    results = hearing.paired(phrases, heard)
    assert len(results) == 3 and sum(understood for _, understood, _ in results) >= 2, results


@pytest.mark.parametrize(
    ("heard", "right", "words"),
    [
        ("abcd", "yyyy", "abcd"), ("abd", "yyny", "ab-d"), ("bcd", "nyyy", "-bcd"), ("axcd", "ynyy", "axcd"), ("-abcd", "yyyy", "abcd"),
        ("", "nnnn", "----"), ("abcde", "yyyy", "abcd"), ("a-cd", "ynyy", "a-cd"),
    ],
)  # fmt: skip
def test_one_phrase_that_is_not_heard_spoils_no_other(heard: str, right: str, words: str) -> None:
    phrases = [(text, f"heard: {text}\n") for text in "abcd"]
    parts = [hearing.Heard(text.strip("-"), f"heard: {text}\n") for text in heard]
    assert [("y" if ok else "n", text or "-") for _, ok, text in hearing.paired(phrases, parts)] == list(zip(right, words, strict=True))


def test_what_is_no_wish_is_seldom_taken_for_one(tmp_path: Path) -> None:
    assert len(list(hearing.taken_for_wishes("slt", tmp_path, hearing.SENTENCES[::17]))) <= 1


def test_a_wish_within_other_words_is_none(tmp_path: Path) -> None:
    """A part of these is said like a wish, "that man" like "that one again"; the rest is no silence."""
    assert not list(hearing.taken_for_wishes("awb", tmp_path, hearing.SENTENCES[63:80:4]))


@pytest.mark.parametrize("voice", hearing.VOICES)
def test_stop_is_understood(voice: str, tmp_path: Path) -> None:
    for text in ("stop", "stop it please"):
        heard = hearing.hear([text], voice, hearing.CONDITIONS["quiet"], tmp_path)
        assert "stop" in heard[0].words and heard[0].lines.endswith("good night\n"), (text, heard)


def test_a_said_wish_becomes_a_spoken_story(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    recording = record(tmp_path / "wish.wav", 0.5, said(f"tell me a story about {HERO}", "slt", tmp_path), 1.5)
    result = tell("--mic-wav", recording, "--wav", tmp_path / "story.wav", "-s", "3")
    assert result.returncode == 0, result.stderr
    assert f"heard: tell me a story about {HERO}" in result.stderr
    assert HERO.split()[-1] in result.stdout
    story = programs.samples(tmp_path / "story.wav")
    words = len(result.stdout.split())
    assert 0.2 < len(story) / RATE / words < 0.7  # seconds a word
    assert np.sqrt(np.mean(story**2)) > 0.01


def test_what_was_spoken_is_heard_again(tell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """The storyteller's own voice says a wish, which the storyteller hears."""
    spoken = tell("-i", f"A story about {FRIEND}.", "--max-sentences", "1", "--wav", tmp_path / "said.wav", "-s", "1")
    assert spoken.returncode == 0 and spoken.stdout.strip() == f"A story about {FRIEND}."
    sound = (programs.samples(tmp_path / "said.wav") * 32768).astype(np.int16)
    heard = tell("--mic-wav", record(tmp_path / "mic.wav", 0.5, sound, 1.0), "--mute", "--max-sentences", "1")
    assert f"heard: a story about {FRIEND}" in heard.stderr


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


def test_info_says_whether_both_fit(tell: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = tell("--info")
    assert result.returncode == 0
    assert re.search(r"^both at once +\d+\.\d MB of \d+\.\d available: (both fit|one after the other)$", result.stdout, re.MULTILINE)
