"""Guesses at the token behind the next one: they change no story, and are told."""

from __future__ import annotations

import re

import pytest
from program import logits_of, refused, run


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "0", "-r", "2", "-n", "60"),
        ("-t", "1", "-s", "5", "-r", "2", "-n", "60"),
        ("-t", "0.5", "-s", "6", "-p", "0.5", "--top-k", "9", "-r", "2", "-n", "60"),
        # to the last position of the context, and to the one before it
        ("-t", "1", "-s", "7", "-n", "0", "--ignore-eos"),
        ("-t", "0", "-n", "{last}", "--ignore-eos"),
    ],
)
def test_no_story_is_another_for_guesses(binary: str, info: dict[str, str], options: tuple[str, ...]) -> None:
    told = {}
    words = [option.format(last=int(info["seq_len"]) - 1) for option in options]
    for when in ("never", "always", "auto"):
        result = run(binary, *words, "--threads", "1", "--draft", when)
        assert result.returncode == 0, result.stderr
        told[when] = result.stdout, logits_of(result)
        counted = re.search(rb", (\d+) of (\d+) guesses right", result.stderr)
        if "table of guesses" not in info or when == "never":
            assert counted is None, "nothing to guess by"
        elif when == "always":
            assert counted and 0 < int(counted[1]) <= int(counted[2]), result.stderr
    assert told["never"] == told["always"] == told["auto"]


def test_the_profile_tells_what_two_positions_cost(binary: str, info: dict[str, str]) -> None:
    profile = run(binary, "-t", "0", "-n", "60", "--threads", "1", "--draft", "auto", "--profile").stderr
    assert (b"two positions at once: " in profile) == ("table of guesses" in info), profile


def test_draft_takes_three_words(binary: str) -> None:
    refused(run(binary, "--draft", "often"), 2, "--draft", "expected auto, always or never", "often")
