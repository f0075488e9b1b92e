"""The storyteller of a model that chats, which is asked for its stories by the model's own chat template."""

from __future__ import annotations

import subprocess
from pathlib import Path

import programs
import pytest

SENTENCES = "16"  # are told at most
SEEDS = range(1, 9)


@pytest.fixture
def storyteller() -> Path:
    return programs.program("STORYBAKE_STORYTELLER_CHAT", "-Dmodel=FOLDER_OF_A_CHAT_MODEL build-chat")


def told(path: Path, seed: int, *words: str) -> str:
    """The story of a seed on one line, without what is said where it breaks off."""
    done = subprocess.run([path, "--mute", "-s", str(seed), *words], capture_output=True, text=True, timeout=60, check=True)
    return " ".join(done.stdout.replace("... The end.", "").split())


def asked(path: Path, seed: int, question: str) -> str:
    """What the program of the same model answers."""
    program = path.parent / "seeded_chat"
    command = [program, "-q", "-m", "ask", "-t", "0.8", "-s", str(seed), "-i", question]
    return " ".join(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split())


def test_a_story_is_the_answer_to_a_question(storyteller: Path) -> None:
    """Its limit apart, it is what the program says when it is asked, to where the model ends its turn or the context is full."""
    most = "--max-sentences", "1000"
    for wish, question in ((("--wish", "a dragon"), "Tell me a short story about a dragon."), ((), "Tell me a short story.")):
        answers = [asked(storyteller, seed, question) for seed in SEEDS]
        stories = [told(storyteller, seed, *most, *wish) for seed in SEEDS]
        assert len(set(stories)) > 4 and all(answer.startswith(story) for answer, story in zip(answers, stories, strict=True))
        assert min(answers, key=len) in stories, "an answer that ends is told to its end"


def test_a_story_ends_after_so_many_sentences(storyteller: Path) -> None:
    whole = [told(storyteller, seed, "--max-sentences", "1000") for seed in SEEDS]
    limited = [told(storyteller, seed) for seed in SEEDS]
    assert limited == [told(storyteller, seed, "--max-sentences", SENTENCES) for seed in SEEDS]
    assert all(one.startswith(story) for one, story in zip(whole, limited, strict=True))
    cut = [story for one, story in zip(whole, limited, strict=True) if story != one]
    assert 0 < len(cut) < len(whole), "some stories end before, where the model ends its turn"
    assert all(story.endswith(".") for story in cut)


def test_what_happens_next_is_a_question_too(storyteller: Path) -> None:
    """Of an untrained model many a sentence is a full stop: what says more is compared."""
    compared = 0
    for seed in range(1, 41):
        command = [storyteller, "--mute", "--loop", "--wish", "-", "-s", str(seed), "--max-sentences", "1"]
        lines = "a dragon\nwhat happens next\n"
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=True)
        spoken = done.stdout.splitlines()
        if len(spoken) == 2 and min(map(len, spoken)) > 1:
            answer = asked(storyteller, seed + 1, f"A story ends: {spoken[0]} Tell me what happens next.")
            assert answer.startswith(spoken[1]), seed
            compared += 1
    assert compared > 2
