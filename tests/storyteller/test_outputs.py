"""Where the storyteller's text and sound go: closed descriptors, a reader that leaves, a file that is there already."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest
from programs import on_this_machine, samples, tell

STORY = ("-s", "3", "--max-sentences", "2")
CLOSED = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    """What a story sounds like."""
    path = tmp_path / "whole.wav"
    assert tell(on_this_machine(), *STORY, "--wav", path).returncode == 0
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize("closed", CLOSED, ids=lambda closed: "".join(map(str, closed)))
def test_closed_descriptors(closed: tuple[int, ...], whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "story.wav"
    closing = " ".join(f"{fd}>&-" for fd in closed)
    command = ["sh", "-c", f'exec "$@" {closing}', "sh", on_this_machine(), *STORY, "--wav", path]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=60)
    if 1 in closed:
        assert result.returncode == 74 and (2 in closed or "standard output: writing failed" in result.stderr)
        assert not path.exists() or len(samples(path)) > 0
    else:
        assert result.returncode == 0, result.stderr
        assert path.read_bytes() == whole
    assert set(tmp_path.iterdir()) <= {path}


def test_a_standard_error_that_takes_nothing(whole: bytes, tmp_path: Path) -> None:
    """Full, or without a reader: the story is told and spoken as ever, a refusal keeps its code; with a full standard output it is 74."""
    path, gone, into = tmp_path / "story.wav", *os.pipe()
    os.close(gone)

    def ran(closing: str, *words: object, stderr: int = subprocess.PIPE) -> tuple[int, str, str]:
        script = ["sh", "-c", f'exec "$@" {closing}', "sh", str(on_this_machine()), *map(str, words)]
        done = subprocess.run(
            script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr or ""

    told = tell(on_this_machine(), *STORY, "--wav", path).stdout
    assert told
    for closing, stderr in (("2>/dev/full", subprocess.PIPE), ("", into)):
        path.unlink()
        assert ran(closing, *STORY, "--report", "--wav", path, stderr=stderr) == (0, told, "")
        assert path.read_bytes() == whole
        lost = ("--mute", "--wish", "a story", "-z", "/no/such")
        wrong = ((("--nonsense",), 2), (("--mute", "--wish", "!!!"), 2), (("--mic-command", "false"), 69), (lost, 66))
        for words, code in wrong:
            assert ran(closing, *words, stderr=stderr)[0] == code, words
    os.close(into)
    assert ran(">/dev/full 2>&1", *STORY, "--wav", path) == (74, "", "")
    assert len(samples(path)) > 0, "what was spoken until then, or the recording of before"


def test_a_reader_of_the_text_that_leaves_is_not_the_listener(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "story.wav"
    command = [on_this_machine(), *STORY, "--wav", path]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 0 and "writing failed" not in told, told
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (("--wish", "!!!"), "", 2),
        (("--wish", ""), "", 2),
        (("--wish", "-"), "", 2),
        (("--loop", "--wish", "-"), "", 0),
        (("--mic-command", "false"), "", 69),
        (("-z", "/no/such/tokenizer"), "", 66),
    ],
)
def test_a_run_that_says_nothing_leaves_what_was_there(words: tuple[str, ...], stdin: str, code: int, tmp_path: Path) -> None:
    path = tmp_path / "good.wav"
    path.write_bytes(b"a good recording")
    result = tell(on_this_machine(), *words, "--wav", path, input=stdin)
    spoken = path.read_bytes() != b"a good recording"
    assert result.returncode == code, result.stderr
    assert not spoken or len(samples(path)) > 0, "replaced only by something that was said"
    assert spoken == (words[0] == "--loop"), "which says good night"
    assert list(tmp_path.iterdir()) == [path]


def test_of_a_link_the_target_is_written(whole: bytes, tmp_path: Path) -> None:
    target, link = tmp_path / "target.wav", tmp_path / "link.wav"
    target.write_bytes(b"old")
    link.symlink_to("target.wav")
    assert tell(on_this_machine(), *STORY, "--wav", link).returncode == 0
    assert link.is_symlink() and target.read_bytes() == whole


def test_tokens_are_chosen_as_the_models_own_program_does() -> None:
    """Of one token, top-k and min-p leave the likeliest; a penalty makes the likeliest story another one."""

    def told(*words: str) -> str:
        result = tell(on_this_machine(), "-i", "Tell me a story about a dragon.", "-s", "7", "--mute", "-n", "60", *words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    likeliest = told("-t", "0")
    assert told("--top-k", "1") == told("--min-p", "1") == likeliest != told()
    assert told("-t", "0", "--repeat-penalty", "2") != likeliest == told("-t", "0", "--repeat-penalty", "1", "--repeat-last-n", "0")
