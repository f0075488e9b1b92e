"""What a program reads its prompt from, and what it says where: files, standard error, closed descriptors, terminals."""

from __future__ import annotations

import itertools
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from program import RUNNER, logits_of, refused, run

STORY = ["-s", "7", "-n", "30"]


# ---- the prompt


def test_the_prompt_from_a_file(binary: str, tmp_path: Path) -> None:
    expected = run(binary, "-t", "0", "-n", "20", "-i", "Once upon").stdout
    prompt = tmp_path / "a prompt"
    for text in (b"Once upon", b"Once upon\n", b"Once upon\r\n"):
        prompt.write_bytes(text)
        assert run(binary, "-t", "0", "-n", "20", "-f", str(prompt)).stdout == expected
        assert run(binary, "-t", "0", "-n", "20", "--prompt-file=-", stdin=text).stdout == expected
    prompt.write_bytes(b"")
    assert run(binary, "-t", "0", "-n", "20", "-f", str(prompt)).stdout == run(binary, "-t", "0", "-n", "20").stdout
    for strange in (b"a\0b", b"a\xff\xfe\xc0\x80 b", b"\xed\xa0\x80", b"a\n\nb\n\n"):
        prompt.write_bytes(strange)
        from_file, typed = (run(binary, "-t", "0", "-n", "40", *where, stdin=strange) for where in (["-f", str(prompt)], ["-i", "-"]))
        assert (from_file.returncode, from_file.stdout) == (0, typed.stdout), from_file.stderr


def test_prompt_files_that_are_none(binary: str, tmp_path: Path) -> None:
    refused(run(binary, "-f", str(tmp_path / "none")), 66, "prompt", "none", "No such file")
    refused(run(binary, "-f", str(tmp_path)), 66, "prompt", "not a file")
    refused(run(binary, "-f", "/dev/zero"), 2, "/dev/zero", "more than 1048576 bytes")
    long = tmp_path / "long"
    long.write_bytes(b"a" * (2**20 + 1))
    refused(run(binary, "-f", str(long)), 2, "long", "more than 1048576 bytes")


def test_a_beginning_without_its_option_is_told_of_it(binary: str) -> None:
    refused(run(binary, "Once upon a time"), 66, "Once upon a time", '-i "TEXT"')
    refused(run(binary, "Once", "upon"), 2, '"upon"', '-i "TEXT"')


# ---- the report


def test_quiet_says_nothing_but_the_story(binary: str) -> None:
    plain = run(binary, *STORY)
    for quiet in ("-q", "--quiet"):
        result = run(binary, *STORY, quiet, "-p", "7", OMP_NUM_THREADS="100000")
        assert (result.returncode, result.stdout, result.stderr) == (0, plain.stdout, b"")
    refused(run(binary, "-q", "-t", "x"), 2, '-t "x"')


def test_the_report_as_json(binary: str, info: dict[str, str]) -> None:
    plain = run(binary, *STORY)
    result = run(binary, *STORY, "--json")
    assert (result.returncode, result.stdout) == (0, plain.stdout)
    assert result.stderr.count(b"\n") == 1 and result.stderr.endswith(b"}\n")
    report = json.loads(result.stderr)
    assert (report["model"], report["target"]) == (info["model"], info["target"])
    assert (report["seed"], report["stories"], report["warnings"], report["profile"]) == (7, 1, [], None)
    assert report["logits"] == logits_of(plain)
    assert 0 < report["tokens"] < 30 and report["seconds"] > 0 and report["loading"]["bytes"] == int(info["weights"].split()[0])
    assert report["tokens_per_second"] == pytest.approx(report["tokens"] / report["seconds"], rel=1e-3)
    greedy = json.loads(run(binary, "-t", "0", "-n", "5", "--json", "--profile", "-q").stderr)
    assert greedy["seed"] is None
    names = [row["name"] for row in greedy["profile"]["operations"]]
    assert len(names) == len(set(names)) > 5 and any(name.startswith("matmul_") for name in names)


def test_warnings_are_in_the_json(binary: str) -> None:
    result = run(binary, *STORY, "--json", "-p", "7", "-n", "999999")
    report = json.loads(result.stderr)
    assert len(report["warnings"]) == 2 and "-p 7 is not in 0 to 1" in report["warnings"][0]
    refused(run(binary, "--json", "-t", "x"), 2, '-t "x"')


def test_a_line_of_ones_own_between_stories(binary: str) -> None:
    alone = [run(binary, "-s", str(seed), "-n", "30").stdout for seed in (7, 8, 9)]
    named = [(["--separator", "* * *"], b"* * *\n"), (["--separator="], b"\n"), (["--separator", "\x1b[2J"], b"[2J\n")]
    for words, line in [*named, ([], b"---\n")]:
        assert run(binary, *STORY, "-r", "3", *words).stdout == line.join(alone)


# ---- closed descriptors and terminals

CLOSED = [closed for count in (1, 2, 3) for closed in itertools.combinations((0, 1, 2), count)]
FILES = {"nothing": [], "--logits": ["--logits"], "--logits and a prompt": ["-i", "Once", "--logits"]}


@pytest.mark.parametrize("closed", CLOSED, ids=lambda closed: "".join(map(str, closed)))
@pytest.mark.parametrize("name", FILES)
def test_closed_descriptors(name: str, closed: tuple[int, ...], binary: str, tmp_path: Path) -> None:
    """A file that the program opens doesn't get the place of one that was closed, and the story in it."""
    whole, path = tmp_path / "whole", tmp_path / "file"
    words = FILES[name]
    assert run(binary, *STORY, *words, *([str(whole)] if words else [])).returncode == 0
    command = [*RUNNER, binary, *STORY, *words, *([str(path)] if words else [])]
    closing = " ".join(f"{fd}>&-" for fd in closed)
    script = ["sh", "-c", f'exec "$@" {closing}', "sh", *command]
    result = subprocess.run(script, capture_output=True, check=False, timeout=120)
    if 1 in closed:
        assert result.returncode == 74
        assert 2 in closed or b"standard output: writing failed" in result.stderr
        assert not path.exists(), "whole, or not there"
    else:
        assert result.returncode == 0, result.stderr
        assert result.stdout == run(binary, *STORY, *[word for word in words if word != "--logits"]).stdout
        assert not words or path.read_bytes() == whole.read_bytes()
    assert set(tmp_path.iterdir()) <= {whole, path}


def test_a_warning_that_nobody_gets_is_in_no_file(binary: str, tmp_path: Path) -> None:
    """That of too many positions comes when the file is open."""
    words = ["-s", "7", "-n", "999999", "--logits"]
    assert b"warning: -n 999999" in run(binary, *words, str(tmp_path / "whole")).stderr
    script = ["sh", "-c", 'exec "$@" 2>&-', "sh", *RUNNER, binary, *words, str(tmp_path / "file")]
    assert subprocess.run(script, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert (tmp_path / "file").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("question", ["--help", "--version", "--info", "--sbom", "--selftest"])
def test_answers_without_a_standard_output(question: str, binary: str) -> None:
    result = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *RUNNER, binary, question], capture_output=True, check=False)
    assert result.returncode == 74 and b"standard output: writing failed" in result.stderr


def test_a_prompt_from_a_closed_standard_input(binary: str) -> None:
    for words in (["-i", "-"], ["-f", "-"], ["-m", "chat", "-y", ""]):
        result = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *RUNNER, binary, *words], capture_output=True, check=False)
        assert result.returncode == 74 and b"standard input: reading failed" in result.stderr, (words, result.stderr)


def test_json_that_nobody_gets_is_an_error(binary: str) -> None:
    result = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *RUNNER, binary, *STORY, "--json"], capture_output=True, check=False)
    assert result.returncode == 74


def test_a_standard_error_that_takes_nothing(binary: str, tmp_path: Path) -> None:
    """Full, or without a reader: the story and the file are whole, a refusal keeps its code; with standard output full too it is 74."""
    plain, path = run(binary, *STORY, "--logits", str(tmp_path / "whole")), tmp_path / "file"
    whole = (tmp_path / "whole").read_bytes()
    gone, into = os.pipe()
    os.close(gone)

    def ran(closing: str, *words: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE) -> tuple[int, bytes, bytes]:
        script = ["sh", "-c", f'exec "$@" {closing}', "sh", *RUNNER, binary, *words]
        done = subprocess.run(script, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, check=False, timeout=120)
        return done.returncode, done.stdout or b"", done.stderr or b""

    for closing, stderr in (("2>/dev/full", subprocess.PIPE), ("", into)):
        path.unlink(missing_ok=True)
        assert ran(closing, *STORY, "-p", "7", "--logits", str(path), stderr=stderr) == (0, plain.stdout, b"")
        assert path.read_bytes() == whole
        for words, code in ((["-t", "x"], 2), (["-f", str(tmp_path / "none")], 66), (["-z", str(path)], 65)):
            assert ran(closing, *words, stderr=stderr) == (code, b"", b""), words
        assert ran(closing, *STORY, "--json", stderr=stderr)[0] == 74, "a report that nobody gets"
        assert ran(closing, "--info", stderr=stderr) == (0, run(binary, "--info").stdout, b"")
    path.unlink()
    for words in (STORY, [*STORY, "--logits", str(path)], ["--help"], ["--info"], ["--selftest"], ["-m", "chat", "-y", ""]):
        assert ran(">/dev/full 2>&1", *words) == (74, b"", b"") or words[0] == "-m", words
    assert not path.exists(), "whole, or not there"
    assert ran("", *STORY, stdout=into, stderr=into) == (0, b"", b""), "both readers have left"
    os.close(into)


def on_a_terminal(*command: str) -> bytes:
    """What a terminal is sent by a command. Its own line discipline makes \\r\\n of \\n."""
    reader, writer = pty.openpty()
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        os.close(writer)
        text = b""
        while True:
            try:
                block = os.read(reader, 4096)
            except OSError:  # EIO: the other end is closed
                break
            if not block:
                break
            text += block
    os.close(reader)
    assert process.returncode == 0
    return text.replace(b"\r\n", b"\n")


def test_a_terminal_gets_text_line_feeds_and_tabs(binary: str) -> None:
    """Whatever is sampled, and whatever is in the prompt; a pipe gets what llama2.c writes."""
    prompt = "a\tb\v\f\rc\x1b[31m\u202e\u2066\x9b\u061cd"
    piped = run(binary, "-t", "0", "-n", "100", "-i", prompt).stdout
    shown = on_a_terminal(*RUNNER, binary, "-t", "0", "-n", "100", "-i", prompt)
    assert shown.startswith(b"a\tbc[31md") and piped.startswith("a\tb\v\f\rc[31m\u202e\u2066\u061cd".encode())
    for seed in range(1, 6):
        text = on_a_terminal(*RUNNER, binary, "-t", "1e38", "-p", "0", "-s", str(seed)).decode()
        directions = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        assert not [c for c in text if c < " " and c not in "\n\t" or "\x7f" <= c < "\xa0" or c in directions]
