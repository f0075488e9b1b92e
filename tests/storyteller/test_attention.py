"""When the robot listens: after its wake word, or a press; and that it goes on to after good night."""

from __future__ import annotations

import subprocess
from pathlib import Path

import hearing
import numpy as np
import pytest
from programs import FRIEND, HERO, command, on_this_machine, record, said, samples, tell

WAKE = ("--loop", "--attention", "wake", "--mute", "-n", "1", "-s", "5")


def listened(recording: Path, *words: str | Path) -> tuple[int, str]:
    """How often it was woken by a recording, and what it said."""
    result = tell(on_this_machine(), *WAKE, *words, "--mic-wav", recording, stdin=subprocess.DEVNULL)
    assert result.returncode == 0, result.stderr
    return result.stderr.count("listening"), result.stderr


def test_it_listens_after_its_wake_word_alone(tmp_path: Path) -> None:
    """Also in one breath with the wish; a wish without it is none; after it was stopped it can be woken again."""
    parts: list[np.ndarray | float] = [0.5]
    for text in (
        f"tell me a story about {FRIEND}", "hello teddy", "stop", "please give me the salt", f"hello teddy tell me a story about {HERO}",
    ):  # fmt: skip
        parts += [said(text, "slt", tmp_path), 1.2]
    count, text = listened(record(tmp_path / "day.wav", *parts))
    assert count == 2 and text.count('asleep: say "hello teddy"') == 3, text
    assert text.count("heard: ") == 2 and "heard: stop" in text and f"a story about {HERO}" in text and FRIEND not in text


def test_a_child_wakes_it_too(tmp_path: Path) -> None:
    assert listened(record(tmp_path / "child.wav", 0.5, hearing.raised(said("hello teddy", "slt", tmp_path), 6, tmp_path), 1.0))[0] == 1


def test_other_sentences_do_not(tmp_path: Path) -> None:
    parts = [part for text in ("hello", "oh hello", *hearing.SENTENCES[::29]) for part in (said(text, "rms", tmp_path), 0.8)]
    assert listened(record(tmp_path / "others.wav", 0.5, *parts))[0] == 0


def test_another_robot_does_not(tmp_path: Path) -> None:
    """Its story is one of those that this one tells, in the same voice: they do not wake each other, again and again."""
    words = ("--wish", HERO, "--max-sentences", "5", "--voice", "kal16", "--wav", tmp_path / "other.wav", "-s", "2")
    assert tell(on_this_machine(), *words, stdin=subprocess.DEVNULL).returncode == 0
    story = (samples(tmp_path / "other.wav") * 32768).astype(np.int16)
    count, text = listened(record(tmp_path / "room.wav", 0.5, story, 1.0))
    assert count == 0 and "heard" not in text


def test_another_wake_word(tmp_path: Path) -> None:
    """With a word that no dictionary has, said as Flite would."""
    for words, woken in (("good morning zorblax", True), ("hello teddy", False)):
        recording = record(tmp_path / "wake.wav", 0.5, said(words, "slt", tmp_path), 1.0)
        assert bool(listened(recording, "--wake-word", "good morning zorblax")[0]) == woken


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("teddy", "two words or more"), ("hi you", "longer ones"), ("a dragon and a cat story", "two to four words"),
        ("Hello Teddy", "small English"), ("hello  teddy", "two to four words"), ("the dragon story", "a word that no wish has"),
        ("$(rm -rf) teddy", "two to four words"), ("hello " + "x" * 50, "two to four words"),
        ("in the morning", "words that the robot does not say itself"), ("please tell me again then", "two to four words"),
        ("did not understand", "words that the robot does not say itself"),
    ],
)  # fmt: skip
def test_wake_words_that_are_none(words: str, message: str) -> None:
    result = tell(on_this_machine(), "--wake-word", words)
    assert result.returncode == 2 and message in result.stderr, result.stderr


def test_wake_words_that_stories_say(tmp_path: Path) -> None:
    """Are warned of in one line; by what the model expects, so that a model of other stories warns of others."""
    silence = record(tmp_path / "silence.wav", 0.5)
    told = ("once upon a time", "one sunny day", "a long time ago")
    for words in (*told, *hearing.WAKE_WORDS):
        warned = [line for line in listened(silence, "--wake-word", words)[1].splitlines() if "stories say it too" in line]
        assert len(warned) == (words in told) and all(f'"{words}"' in line for line in warned), (words, warned)


@pytest.mark.parametrize(("condition", "most"), [("quiet", 0), ("noise 20 dB", 0), ("noise 10 dB", 0), ("8 semitones up", 0)])
def test_every_voice_wakes_it(condition: str, most: int, tmp_path: Path) -> None:
    missed = list(hearing.missed_wakes(hearing.VOICES, hearing.WAKE_WORDS[:2], condition, tmp_path))
    assert len(missed) <= most, missed


def test_the_lamp_tells_listening_from_waiting(tmp_path: Path) -> None:
    """It is lit when it listens, not while it waits to be woken."""
    hook = command(tmp_path / "hook", f'echo "$STORYTELLER_EVENT" >>{tmp_path}/log')
    wish = said(f"a story about {FRIEND}", "slt", tmp_path)
    for parts, events in ((([0.5, wish, 1.0]), []), (([0.5, said("hello teddy", "slt", tmp_path), 1.0, wish, 1.0]), ["listen"])):
        listened(record(tmp_path / "lamp.wav", *parts), "--on-listen", hook)
        assert ((tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []) == events
