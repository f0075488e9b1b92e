"""Two ways on, offered in the middle of a story: said, typed, or pressed."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import pytest
from programs import HERO, Running, command, on_this_machine, record, said, tell

OFFERED = "what happens next?"
CHOICE = re.compile(r"^what happens next\? 1: (.*) 2: (.*) \(say ", re.MULTILINE)


@functools.cache
def seed() -> str:
    """Of a story that has two ways on."""
    for n in range(1, 40):
        if OFFERED in tell(on_this_machine(), "--wish", HERO, "--choices", "--mute", "-s", str(n), stdin=subprocess.DEVNULL).stderr:
            return str(n)
    raise AssertionError("no story has two ways on")


def telling(folder: Path, *words: str | Path) -> Running:
    running = Running(folder, "--choices", "--mute", "-s", seed(), *words)
    running.wait_for(OFFERED)
    return running


def whole(running: Running) -> tuple[str, str, str]:
    """The story once it has been told to its end, and the two ways that it might have taken."""
    assert running.end() == 0, running.text()
    ways = CHOICE.search(running.text())
    assert ways and ways[1].split()[:2] != ways[2].split()[:2]
    return running.text("stdout"), ways[1], ways[2]


@pytest.mark.parametrize(
    ("lines", "way"),
    [(["1"], 1), (["2"], 2), (["the second one, please!"], 2), (["number one"], 1), ([""], 1), (["", ""], 2), (["a cat", "2"], 2), ([], 1)],
)  # fmt: skip
def test_the_story_goes_on_as_was_wished(lines: list[str], way: int, tmp_path: Path) -> None:
    """One empty line is a press, two are two; what is no answer is not understood; who says nothing hears the first."""
    running = telling(tmp_path, "--wish", HERO)
    before = running.text("stdout")
    for line in lines:
        running.type(line)
    story, *ways = whole(running)
    assert story.startswith(before) and before.count(".") > 1
    assert story[len(before) :].startswith(ways[way - 1]) and len(story) > len(before) + len(ways[way - 1]) + 20
    assert f"it goes on with {way}" in running.text() and ("not understood" in running.text()) == (lines[:1] == ["a cat"])


def test_it_may_end_there_too(tmp_path: Path) -> None:
    running = telling(tmp_path, "--wish", HERO)
    before = running.text("stdout")
    running.type("stop")
    assert whole(running)[0] == before and "it goes on" not in running.text()


def test_the_same_again_in_the_other_way(tmp_path: Path) -> None:
    """In a loop the story may be told again, and it is asked again; what happens next is what was heard."""
    running = Running(tmp_path, "--loop", "--wish", "-", "--choices", "--mute", "-s", seed())
    parts = []
    for n, line in enumerate((HERO, "again"), 1):
        running.wait_for("type a wish", times=n)
        at = len(running.text("stdout"))
        running.type(line)
        running.wait_for(OFFERED, times=n)
        running.type(str(n))
        running.wait_for("type a wish", times=n + 1)
        parts.append(running.text("stdout")[at:])
    running.type("the first one")
    running.wait_for("not understood")
    assert running.end() == 0
    ways = CHOICE.findall(running.text())
    assert ways[0] == ways[1] and parts[0] != parts[1]
    assert parts[0].split(ways[0][0])[0] == parts[1].split(ways[0][1])[0]


def test_a_said_answer(tmp_path: Path) -> None:
    """The second time it is understood."""
    parts: list[object] = [0.8]
    for text in (f"tell me a story about {HERO}", "the weather is nice today", "the second one"):
        parts += [said(text, "slt", tmp_path), 1.2]
    words = ("--choices", "--mute", "-s", seed(), "--mic-wav", record(tmp_path / "said.wav", *parts, 1.0))  # type: ignore[arg-type]
    result = tell(on_this_machine(), *words, stdin=subprocess.DEVNULL)
    assert result.returncode == 0 and "heard: the second one\n" in result.stderr and "it goes on with 2" in result.stderr, result.stderr
    ways = CHOICE.search(result.stderr)
    assert ways and f"\n{ways[2]}" in result.stdout


@pytest.mark.parametrize("presses", [1, 2])
def test_presses_while_it_listens(presses: int, tmp_path: Path) -> None:
    silence = command(tmp_path / "mic", "while :; do head -c 3200 /dev/zero; sleep 0.1; done")
    running = Running(tmp_path, "--loop", "--push", "--mic-command", silence, "--choices", "--mute", "-s", seed())
    running.wait_for("press Enter")
    running.type(HERO)
    running.wait_for(OFFERED)
    for _ in range(presses):
        running.type("")
    running.wait_for(f"it goes on with {presses}")
    running.wait_for("press Enter", times=2)
    running.type("good night")
    running.wait_for("good night")
    running.end()


def test_a_family_may_want_it_always(tmp_path: Path) -> None:
    """By a rule; where nothing is left to chance there are no two ways."""
    for rules, offered in (("choices = on\n", 1), ("choices = off\n", 0), ("", 0), ("choices = yes\n", 0)):
        (tmp_path / "rules.txt").write_text(rules)
        words = ("--wish", HERO, "--mute", "-s", seed(), "--rules", tmp_path / "rules.txt")
        result = tell(on_this_machine(), *words, stdin=subprocess.DEVNULL)
        assert result.returncode == 0 and result.stderr.count(OFFERED) == offered, (rules, result.stderr)
    assert OFFERED not in tell(on_this_machine(), "--wish", HERO, "--choices", "--mute", "-t", "0", stdin=subprocess.DEVNULL).stderr


@pytest.mark.parametrize("limit", [("--max-sentences", "1"), ("--max-sentences", "4"), ("-n", "20")], ids=" ".join)
def test_no_more_is_told_than_was_asked_for(limit: tuple[str, str], tmp_path: Path) -> None:
    words = ("--wish", HERO, "--mute", "-s", seed(), *limit)
    plain = tell(on_this_machine(), *words, stdin=subprocess.DEVNULL).stdout
    chosen = tell(on_this_machine(), *words, "--choices", stdin=subprocess.DEVNULL).stdout
    assert plain and len(re.findall(r"[.!?]", chosen)) <= len(re.findall(r"[.!?]", plain)) + 6, (plain, chosen)
