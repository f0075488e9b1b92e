"""What goes wrong at run time, a row each: arguments and input, the exit code, and the words that say what is wrong.

Also run on the board's program in the emulator: STORYBAKE_RUN is what runs it.
"""

from __future__ import annotations

import fcntl
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from program import ROOT, RUNNER, logits_of, refused, run

sys.path.insert(0, str(ROOT / "tests"))

from locales import locale  # noqa: E402

NAN = "expected a finite number"


@dataclass(frozen=True)
class Fault:
    arguments: tuple[str, ...]
    words: str
    code: int = 2
    stdin: bytes = b""


USAGE = {
    "-t nan": Fault(("-t", "nan"), f'-t "nan": {NAN}'),
    "-t inf": Fault(("-t", "inf"), f'-t "inf": {NAN}'),
    "-t 1e-40": Fault(("-t", "1e-40"), '-t "1e-40": expected 0'),
    "-t 1e39": Fault(("-t", "1e39"), '-t "1e39": expected 0'),
    "-t 1e999": Fault(("-t", "1e999"), f'-t "1e999": {NAN}'),
    "-t abc": Fault(("-t", "abc"), f'-t "abc": {NAN}'),
    "-t 0,5": Fault(("-t", "0,5"), f'-t "0,5": {NAN}'),
    "-t empty": Fault(("-t", ""), f'-t "": {NAN}'),
    "-p nan": Fault(("-p", "nan"), f'-p "nan": {NAN}'),
    "-p 0.9x": Fault(("-p", "0.9x"), f'-p "0.9x": {NAN}'),
    "-n junk": Fault(("-n", "junk"), '-n "junk": expected a whole number'),
    "-n 99999999999": Fault(("-n", "99999999999"), '-n "99999999999": expected a whole number of at most ten digits'),
    "-n 1.5": Fault(("-n", "1.5"), '-n "1.5": expected a whole number'),
    "-s -1": Fault(("-s", "-1"), '-s "-1": expected a whole number from 0'),
    "-s 2^64": Fault(("-s", str(1 << 64)), "expected a whole number from 0"),
    "-t without value": Fault(("-t",), "-t needs a value"),
    "--seed without value": Fault(("--seed",), "--seed needs a value"),
    "-x": Fault(("-x",), "unknown option or value -x"),
    "--nonsense": Fault(("--nonsense",), "unknown option or value --nonsense"),
    "a value that none is for": Fault(("--quiet=yes",), "--quiet: expected no value"),
    "a value in letters": Fault(("-q=1",), "unknown option or value -= in -q=1"),
    "an unknown letter among others": Fault(("-qxn", "4"), "unknown option or value -x in -qxn"),
    "a letter that is none": Fault(("-\u00ed", "4"), "unknown option or value -\u00ed:"),
    "a letter that is none, at the end": Fault(("-q\u00ed",), "unknown option or value -q\u00ed:"),
    "no checkpoint": Fault(("",), 'checkpoint "": expected the name of a file'),
    "two checkpoints": Fault(("a.bin", "b.bin"), 'unexpected argument "b.bin"'),
    "-m talk": Fault(("-m", "talk"), "expected generate, chat or ask"),
    "-i - with -m chat": Fault(("-i", "-", "-m", "chat"), "-m chat"),
    "--threads 0": Fault(("--threads", "0"), "--threads 0: expected 1 to"),
    "--threads 100000": Fault(("--threads", "100000"), "--threads 100000: expected 1 to"),
    "--batch 0": Fault(("--batch", "0"), "--batch 0: expected 1 to"),
    "--batch 100000": Fault(("--batch", "100000"), "--batch 100000: expected 1 to"),
    "--load mmap": Fault(("--load", "mmap"), '--load "mmap": expected read or map'),
    "-r 0": Fault(("-r", "0"), '-r "0": expected'),
    "-r with -m chat": Fault(("-r", "2", "-m", "chat"), "-m chat"),
    "a prompt of 12 KB": Fault(("-i", "-"), "the prompt has", stdin=b"Once upon a time " * 720),
    "a prompt of 10 MB": Fault(("-i", "-"), "more than 1048576 bytes", stdin=b"x" * (10 << 20)),
    "a system prompt of 5 KB": Fault(("-m", "chat", "-y", "x" * 5000, "-i", "a"), "positions are left: shorten it"),
    "a turn of 5 KB": Fault(("-m", "chat", "-y", ""), "positions are left: shorten it", stdin=b"x" * 5000 + b"\n"),
    "a line of 10 MB": Fault(("-m", "chat", "-y", ""), "more than 1048576 bytes", stdin=b"x" * (10 << 20) + b"\n"),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage(name: str, binary: str) -> None:
    fault = USAGE[name]
    result = run(binary, *fault.arguments, stdin=fault.stdin)
    if "chat" in fault.arguments and fault.code == result.returncode:  # which has begun to talk
        assert result.stdout.strip() in (b"", b"User:")
        result.stdout = b""
    refused(result, fault.code, fault.words)


# ---- prompts


def prompt_of(tokens: int) -> bytes:
    """A prompt of this many tokens, BOS and the space in front included: zero bytes, which nothing merges with."""
    return bytes(tokens - 2)


@pytest.mark.parametrize(
    ("left", "code"), [(1, 0), (0, 0), (-1, 2)], ids=["one position left", "exactly the context", "one too many"]
)
def test_prompts_around_the_context(left: int, code: int, binary: str, info: dict[str, str]) -> None:
    result = run(binary, "-t", "0", "-n", "0", "-i", "-", stdin=prompt_of(int(info["seq_len"]) - left))
    if code:
        refused(result, code, f"the prompt has {int(info['seq_len']) + 1} tokens", f"context {info['seq_len']}")
    else:
        assert result.returncode == 0, result.stderr
        assert result.stdout.endswith(b"\n")


@pytest.mark.parametrize("text", ["", "a", "O"])
def test_short_prompts(text: str, binary: str) -> None:
    result = run(binary, "-t", "0", "-n", "12", "-i", text)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(text.encode())


def test_steps_that_end_in_the_prompt_are_a_warning_with_both_counts(binary: str) -> None:
    result = run(binary, "-n", "5", "-i", "-", stdin=prompt_of(9))
    assert result.returncode == 0
    assert b"the prompt has 9 tokens, -n stops after 5: nothing was generated" in result.stderr


BAD = "\N{REPLACEMENT CHARACTER}"
ECHOES = {
    "lone continuation bytes": (b"a\x80\xbfb", f"a{BAD}{BAD}b"),
    "cut short": (b"a\xe2\x80b\xf0\x9f\xa6", f"a{BAD}b{BAD}"),
    "overlong": (b"a\xc0\xafb\xe0\x80\x80", f"a{BAD}{BAD}b{BAD}{BAD}{BAD}"),
    "surrogates": (b"a\xed\xa0\x80b", f"a{BAD}{BAD}{BAD}b"),
    "beyond Unicode": (b"a\xf4\x90\x80\x80b\xff\xfe", f"a{BAD}{BAD}{BAD}{BAD}b{BAD}{BAD}"),
    "zero bytes": (b"a\0b\0", "ab"),
    "a byte order mark": (b"\xef\xbb\xbfab", "\ufeffab"),
    "CRLF": (b"a\r\nb\r\n", "a\r\nb"),
    "escape, bell, C1": (b"a\x1b[31m\x07\xc2\x9bb\x7f", "a[31mb"),
    "emoji and CJK": ("\N{LLAMA} 从前 é".encode(), "\N{LLAMA} 从前 é"),
    "what looks like a byte token": (b"<0x41><0x-1>", "<0x41><0x-1>"),
    "what looks like a format": (b"%s%n{{7*7}}${x}", "%s%n{{7*7}}${x}"),
    "quotes and a comment's end": (b'"\'\\*/??/ a', '"\'\\*/??/ a'),
}


@pytest.mark.parametrize("name", ECHOES)
def test_what_a_prompt_may_hold(name: str, binary: str) -> None:
    prompt, echo = ECHOES[name]
    count = 2 + len(prompt)  # tokens at most
    result = run(binary, "-t", "0", "-n", str(count + 1), "-i", "-", stdin=prompt)
    assert result.returncode == 0, result.stderr
    # The last character of the prompt may be put together with what follows; a model may well say nothing.
    assert result.stdout.decode().startswith(echo.removesuffix(BAD)), result.stdout


def test_valid_text_comes_back_whole(binary: str, info: dict[str, str]) -> None:
    """Every kind of character through byte tokens or pieces, exactly."""
    text = "".join(map(chr, (*range(32, 127), 0xA1, 0x17F, 0x7FF, 0x800, 0x4E2D, 0xFFFD, 0x10000, 0x1F999, 0x10FFFF)))
    for begin in range(0, len(text), 5):
        part = text[begin : begin + 5]
        result = run(binary, "-t", "0", "-n", str(2 + len(part.encode())), "-i", "-", stdin=part.encode())
        assert result.stdout.decode(errors="replace").startswith(part), result.stdout


# ---- weights of a file


@pytest.fixture
def weights(binary: str, info: dict[str, str]) -> Path:
    """The packed weights, which the build leaves beside the program even where they are inside it."""
    files = [Path(binary).with_name(name) for name in (f"{info['model']}.weights", "weights.bin")]
    return next(file for file in files if file.exists())


@pytest.mark.parametrize("how", ["read", "map"])
def test_weights_are_the_same_however_they_are_loaded(how: str, binary: str, weights: Path) -> None:
    story = ["-t", "0", "-n", "12"]
    plain = run(binary, *story)
    for place in ([], ["--weights", str(weights)]):
        result = run(binary, *story, *place, "--load", how)
        assert (result.returncode, result.stdout) == (0, plain.stdout), result.stderr
        assert logits_of(result) == logits_of(plain)
        done = {"read": "read", "map": "mapped"}[how]
        assert f", weights {done} in ".encode() in result.stderr, result.stderr
        assert re.search(f"^weights will be +{done}$", run(binary, "--info", *place, "--load", how).stdout.decode(), re.M)


@pytest.mark.parametrize("how", ["read", "map"])
def test_damaged_weights_are_refused_however_they_are_loaded(how: str, binary: str, weights: Path, tmp_path: Path) -> None:
    whole = weights.read_bytes()
    bad = tmp_path / "bad.weights"
    for at in (0, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(run(binary, "--weights", str(bad), "--load", how), 65, "bad.weights: fingerprint 0x", "give the file that was baked")
    for data in (b"", whole[:-1], whole[: len(whole) // 2], whole + b"\0"):
        bad.write_bytes(data)
        refused(run(binary, "--weights", str(bad), "--load", how), 65, f"bad.weights: {len(data)} bytes, those of")
    refused(run(binary, "--weights", str(tmp_path), "--load", how), 66, "not a file")
    refused(run(binary, "--weights", "/dev/zero", "--load", how), 65, "/dev/zero: 0 bytes")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words in (("--weights", str(pipe), "--load", how), (str(pipe),)):
        refused(run(binary, *words), 65, "pipe: 0 bytes, those of")


# ---- outputs, signals, surroundings


@pytest.mark.parametrize("arguments", [["-n", "5"], ["-m", "chat", "-y", "", "-i", "a"], ["--help"], ["--info"], ["--version"]])
def test_a_full_device(arguments: list[str], binary: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        result = subprocess.run([*RUNNER, binary, *arguments], stdout=full, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 74, result.stderr
    assert result.stderr.count(b"\n") == 1 and b"standard output: writing failed" in result.stderr


@pytest.mark.parametrize("arguments", [["-n", "5"], ["--help"], ["--info"]])
def test_a_closed_pipe(arguments: list[str], binary: str) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        result = subprocess.run([*RUNNER, binary, *arguments], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_standard_input_that_cannot_be_read(binary: str, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        result = subprocess.run([*RUNNER, binary, "-i", "-"], stdin=folder, capture_output=True, check=False)
    finally:
        os.close(folder)
    refused(result, 74, "standard input: reading failed", "directory")


def test_logits_on_a_full_device(binary: str) -> None:
    result = run(binary, "-n", "5", "--logits", "/dev/full")
    assert result.returncode == 74
    assert b"/dev/full: writing failed" in result.stderr and result.stderr.count(b"\n") == 1


def test_a_file_that_may_not_grow_leaves_nothing(binary: str, tmp_path: Path) -> None:
    """As on a full disk: the logits are written whole or not at all."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # clang's OpenMP makes a file of 1024 bytes

    command = [*RUNNER, binary, "-s", "1", "--ignore-eos", "-n", "5", "--logits", str(tmp_path / "logits")]
    result = subprocess.run(command, capture_output=True, check=False, preexec_fn=limit)
    assert result.returncode == 74, result.stderr
    assert b"writing failed" in result.stderr and b"nothing is left of it" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_story_is_told(
    number: signal.Signals, binary: str, info: dict[str, str], tmp_path: Path
) -> None:
    """The logits go to a pipe that nobody empties, so the signal finds the program in the middle of its positions."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    positions, row = int(info["seq_len"]), 4 * int(info["vocab_size"])
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as logits:
        fcntl.fcntl(logits, fcntl.F_SETPIPE_SZ, 4096)
        command = [*RUNNER, binary, "-n", "0", "-i", "-", "--logits", str(pipe)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            process.stdin.write(prompt_of(positions))
            process.stdin.close()
            select.select([logits], [], [], 60)
            process.send_signal(number)
            os.set_blocking(logits.fileno(), True)
            written = len(b"".join(iter(lambda: logits.read(1 << 16), b"")))
            assert process.stdout.read() == b"\n"
            assert b" tokens, " in process.stderr.read()
            assert process.wait(60) == 128 + number
    assert written % row == 0 and 0 < written // row < positions


def test_a_signal_while_the_prompt_is_read(binary: str, tmp_path: Path) -> None:
    command = [*RUNNER, binary, "-i", "-", "--logits", str(tmp_path / "logits")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"Once")
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b""
        assert process.wait(60) in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert not list(tmp_path.iterdir())


def test_two_at_once(binary: str, tmp_path: Path) -> None:
    """Nothing is shared: both tell the story, and both write their logits, even under one name."""
    command = [*RUNNER, binary, "-t", "0", "-n", "12", "--logits", str(tmp_path / "logits")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    stories = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert stories[0] == stories[1] and stories[0] != b""
    alone = tmp_path / "alone"
    assert run(binary, "-t", "0", "-n", "12", "--logits", str(alone)).returncode == 0
    assert (tmp_path / "logits").read_bytes() == alone.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "logits"]


SURROUNDINGS = {
    "no variables": {},
    "Turkish": "tr_TR",
    "German": "de_DE",
    "no such locale": {"LC_ALL": "xx_YY.nonsense", "TZ": "Nowhere/Else", "HOME": "/no/such/folder", "TMPDIR": "/no/such"},
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_nothing(name: str, binary: str, tmp_path: Path) -> None:
    surroundings = SURROUNDINGS[name]
    if isinstance(surroundings, str):
        surroundings = locale(surroundings, tmp_path)
        point = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'])"
        assert subprocess.run([sys.executable, "-c", point], env=surroundings, capture_output=True, check=True).stdout == b",\n"
    arguments = ["-t", "0.5", "-p", "0.75", "-s", "5", "-n", "12", "-i", "Ii"]
    expected = run(binary, *arguments)
    assert expected.returncode == 0
    environment = surroundings | {name: os.environ[name] for name in ("PATH", "STORYBAKE_VLEN") if name in os.environ}
    result = subprocess.run([*RUNNER, binary, *arguments], env=environment, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (0, expected.stdout), result.stderr
    assert b"achieved tok/s: " in result.stderr and b"," not in result.stderr.splitlines()[0]


def test_nothing_is_written_to_a_read_only_system(binary: str) -> None:
    """Every file system of a namespace of its own is made read-only."""
    if RUNNER:
        pytest.skip("the emulator writes files of its own")
    if shutil.which("unshare") is None:
        pytest.skip("no unshare to make a namespace with")
    story = [binary, "-t", "0", "-n", "12"]
    script = "mount --make-rprivate / && mount -o remount,bind,ro / && ! touch /storybake-test 2>/dev/null && exec \"$@\""
    result = subprocess.run(["unshare", "-r", "-m", "sh", "-c", script, "sh", *story], capture_output=True, check=False)
    if b"unshare" in result.stderr or b"mount" in result.stderr:
        pytest.skip(f"no namespaces here: {result.stderr.decode().strip()}")
    assert (result.returncode, result.stdout) == (0, run(*story).stdout), result.stderr


def test_refusals_are_quick(binary: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Reported, not asserted: a busy machine is no defect."""
    bad = tmp_path / "bad.bin"
    bad.write_bytes(b"nonsense")
    for arguments in (["-t", "nan"], ["-z", str(bad)], [str(bad)]):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            assert run(binary, *arguments).returncode in (2, 65)
            times.append(time.perf_counter() - start)
        record_property(" ".join(arguments), f"{1000 * min(times):.1f} ms")
