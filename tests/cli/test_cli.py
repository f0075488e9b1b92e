"""The command line of a baked program: STORYBAKE_BIN, baked from STORYBAKE_CHECKPOINT (and STORYBAKE_TOKENIZER)."""

from __future__ import annotations

import functools
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import at_hand
import numpy as np
import pytest

from codegen.fingerprint import fingerprint
from codegen.formats import open_model
from codegen.targets import find_target
from program import RUNNER, logits_of, refused, run

Test = Callable[..., None]


# ---- what llama2.c users type


@functools.cache
def golden() -> dict[str, Any] | None:
    """What llama2.c gives for the model that was baked, in the weight type that it was baked in, where that is kept."""
    if "STORYBAKE_CHECKPOINT" not in os.environ or "STORYBAKE_BIN" not in os.environ:
        return None
    told = run(os.environ["STORYBAKE_BIN"], "--info").stdout.decode()
    weights = re.search(r"^weight type +(f32|q8)(, groups of \d+)?$", told, re.MULTILINE)
    if weights is None or not re.search(r"^cache type +f32$", told, re.MULTILINE):
        return None
    path = Path(os.environ["STORYBAKE_CHECKPOINT"])
    converted = "" if weights[1] == open_model(path).model.weight_type else f"_{weights[1]}"
    kept: dict[str, Any] | None = at_hand.GOLDEN.get(path.stem.removesuffix("_v1") + converted)
    return kept


def where_golden(test: Test) -> Test | None:
    """A test that there is where a golden is kept alone."""
    return test if golden() else None


@where_golden
def test_stories_are_llama2cs(binary: str) -> None:
    """One greedy story, and fifty that are sampled."""
    kept = golden()
    assert kept is not None
    greedy = run(binary, "-t", "0", "-n", "200").stdout
    assert at_hand.sha256(greedy) == kept["greedy"], greedy
    assert len(kept["sampled"]) == 50
    stories = [run(binary, "-t", "1.0", "-p", "0.9", "-n", "256", "-s", str(seed)).stdout for seed in range(1, 51)]
    different = [at + 1 for at, text in enumerate(stories) if not at_hand.sha256(text).startswith(kept["sampled"][at])]
    assert not different, f"seeds whose stories differ: {different}"


def test_the_same_seed_tells_the_same_story(binary: str) -> None:
    first = run(binary, "-s", "7", "-n", "60", "-i", "Once")
    again = run(binary, "--seed=7", "--steps=60", "--prompt", "Once", "--temperature=1", "--top-p=0.9")
    assert first.returncode == again.returncode == 0
    assert first.stdout == again.stdout
    assert logits_of(first) == logits_of(again)
    assert first.stdout.startswith(b"Once") and first.stdout.endswith(b"\n")


def test_stories_one_after_another(binary: str, tmp_path: Path) -> None:
    """Each is the story of its seed, whatever came before it; the seed 0, which nothing may draw from, is left out."""
    highest = 2**64 - 1
    alone = [run(binary, "-s", str(seed), "-n", "40", "-i", "One") for seed in (highest - 1, highest, 1)]
    logits = tmp_path / "logits.f32"
    together = run(binary, "-s", str(highest - 1), "-n", "40", "-i", "One", "--repeat", "3", "--logits", str(logits))
    assert together.returncode == 0
    assert together.stdout == b"---\n".join(story.stdout for story in alone)
    assert logits_of(together) == logits_of(alone[-1])
    assert f", 3 stories, seeds {highest - 1} and up".encode() in together.stderr
    assert run(binary, "-s", str(highest), "-n", "40", "-i", "One", "-r", "1").stderr.count(b"stories") == 0
    greedy = run(binary, "-t", "0", "-n", "40", "-r", "2")
    assert greedy.stdout == b"---\n".join(2 * [run(binary, "-t", "0", "-n", "40").stdout])


def test_the_checkpoint_may_be_named_as_llama2c_wants_it(
    binary: str, checkpoint: Path, tokenizer: Path, tmp_path: Path
) -> None:
    arguments = ["-t", "0", "-n", "20"]
    plain = run(binary, *arguments)
    named = run(binary, str(checkpoint), *arguments, "-z", str(tokenizer), "-m", "generate")
    assert named.returncode == 0, named.stderr
    assert named.stdout == plain.stdout
    refused(run(binary, str(tmp_path / "none.bin"), *arguments), 66, "none.bin")
    data = bytearray(checkpoint.read_bytes())
    other = tmp_path / "other.bin"
    other.write_bytes(data[:-4])
    refused(run(binary, str(other), *arguments), 65, str(len(data) - 4), str(len(data)))
    data[len(data) // 2] ^= 1
    other.write_bytes(data)
    refused(run(binary, str(other), *arguments), 65, "fingerprint")


def test_the_speed_is_reported_as_llama2c_does(binary: str) -> None:
    result = run(binary, "-n", "50", "-t", "0")
    found = re.match(rb"achieved tok/s: ([0-9]+\.[0-9]{6})\n(\d+) tokens, .* GB/s of weights, .*\n$", result.stderr)
    assert found, result.stderr
    assert float(found.group(1)) > 0


def test_a_reader_has_the_first_token_at_once(binary: str) -> None:
    reader, writer = os.pipe2(os.O_DIRECT)  # a read takes what one write wrote
    with subprocess.Popen([*RUNNER, binary, "-t", "0", "-n", "30"], stdout=writer, stderr=subprocess.DEVNULL) as process:
        os.close(writer)
        first, *others = iter(lambda: os.read(reader, 4096), b"")
        os.close(reader)
    assert process.returncode == 0 and others
    first_token = run(binary, "-t", "0", "-n", "1").stdout.removesuffix(b"\n")
    assert first == first_token or not first_token  # half a character
    assert first + b"".join(others) == run(binary, "-t", "0", "-n", "30").stdout


# ---- the same numbers, however they are computed


def test_threads_and_batches_do_not_change_a_bit(binary: str, info: dict[str, str]) -> None:
    arguments = ["-s", "3", "-n", "64", "-i", "Once there was a small red boat. It lived on a blue lake"]
    expected = run(binary, *arguments, "--threads", "1", "--batch", "1")
    assert expected.returncode == 0, expected.stderr
    most = int(info["threads at most"])
    for threads in sorted({1, min(2, most), min(3, most)}):
        for batch in sorted({1, 2, int(info["positions a batch"])}):
            result = run(binary, *arguments, "--threads", str(threads), "--batch", str(batch))
            assert result.stdout == expected.stdout
            assert logits_of(result) == logits_of(expected)
    # More threads than cores, and than most matrices have tiles.
    few, many = (run(binary, "-t", "0", "-n", "8", "--threads", threads) for threads in ("1", info["threads at most"]))
    assert (many.returncode, many.stdout, logits_of(many)) == (0, few.stdout, logits_of(few))


def test_logits_hold_every_position(binary: str, info: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "logits.f32"
    vocab_size = int(info["vocab_size"])
    plain = run(binary, "-t", "0", "-n", "12", "-i", "Once")
    result = run(binary, "-t", "0", "-n", "12", "-i", "Once", "--logits", str(path))
    assert result.returncode == 0, result.stderr
    assert result.stdout == plain.stdout
    assert logits_of(result) == logits_of(plain)
    logits = np.fromfile(path, "<f4").reshape(-1, vocab_size)
    assert len(logits) <= 12 and np.isfinite(logits).all()
    assert f"0x{fingerprint(logits[-1].tobytes()):016x}" == logits_of(result)
    assert list(tmp_path.iterdir()) == [path]


@where_golden
def test_logits_are_llama2cs(binary: str, info: dict[str, str], tmp_path: Path) -> None:
    """Every bit, at every position of a prompt."""
    kept = golden()
    assert kept is not None
    expected, path = kept["logits"], tmp_path / "logits.f32"
    result = run(binary, "-t", "0", "-n", str(len(expected)), "-i", at_hand.PROMPT, "--logits", str(path))
    assert result.returncode == 0, result.stderr
    logits = np.fromfile(path, "<f4").reshape(-1, int(info["vocab_size"]))
    assert np.isfinite(logits).all()
    assert [f"{fingerprint(row.tobytes()):016x}" for row in logits] == expected


# ---- standard input and output


def test_the_prompt_from_standard_input(binary: str) -> None:
    expected = run(binary, "-t", "0", "-n", "20", "-i", "Once upon")
    for text in (b"Once upon", b"Once upon\n", b"Once upon\r\n"):
        assert run(binary, "-t", "0", "-n", "20", "-i", "-", stdin=text).stdout == expected.stdout
    empty = run(binary, "-t", "0", "-n", "20", "-i", "-")
    assert empty.stdout == run(binary, "-t", "0", "-n", "20").stdout
    strange = run(binary, "-t", "0", "-n", "40", "-i", "-", stdin=b"a\0\xff\xfe\xc0\x80\xed\xa0\x80\x1b[2J\xf0\x9f\xa6\x99")
    assert strange.returncode == 0, strange.stderr
    assert strange.stdout.decode().startswith("a")
    assert "\x1b" not in strange.stdout.decode() and "\U0001f999" in strange.stdout.decode()


def test_prompts_that_do_not_fit(binary: str, info: dict[str, str]) -> None:
    refused(run(binary, "-i", "a " * 3000), 2, "the prompt has", info["seq_len"])
    refused(run(binary, "-i", "-", stdin=b"Once upon a time " * 6000), 2, "the prompt has", info["seq_len"])
    refused(run(binary, "-i", "-", stdin=bytes(2**20 + 1)), 2, "more than 1048576 bytes")
    short = run(binary, "-n", "2", "-i", "Once upon a time there was")
    assert short.returncode == 0 and b"nothing was generated" in short.stderr


def test_more_steps_than_the_context(binary: str, info: dict[str, str]) -> None:
    result = run(binary, "-t", "0", "-n", "100000")
    assert result.returncode == 0
    assert result.stderr.count(b"warning") == 1 and info["seq_len"].encode() in result.stderr
    assert result.stdout == run(binary, "-t", "0", "-n", "0").stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_in_order(binary: str, tmp_path: Path, number: signal.Signals, code: int) -> None:
    path = tmp_path / "logits.f32"
    arguments = ["-m", "chat", "-y", "", "--logits", str(path)]
    with subprocess.Popen(
        [binary, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(6) == b"User: "
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.stdout.read() == b"\n"
        assert process.stderr.read().startswith(b"0 tokens")
        assert process.wait(30) == code
    assert list(tmp_path.iterdir()) == [], "no partial file"


def test_chat_ends_with_its_input(binary: str) -> None:
    result = run(binary, "-m", "chat", "-t", "0", "-n", "60", stdin=b"\nhello\n")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"Enter system prompt (optional): User: Assistant: ")
    given = run(binary, "-m", "chat", "-t", "0", "-n", "60", "-y", "", "-i", "hello")
    assert given.returncode == 0, given.stderr
    assert given.stdout.startswith(b"Assistant: ")
    refused_system = run(binary, "-m", "chat", "-y", "x" * 5000, "-i", "hello")
    assert refused_system.returncode == 2 and b"positions are left" in refused_system.stderr


# ---- asking, and asking wrongly


def test_questions_are_answered_on_standard_output(binary: str) -> None:
    for question in ("--help", "-h", "--version", "--info"):
        result = run(binary, question)
        assert (result.returncode, result.stderr) == (0, b"")
        assert result.stdout.endswith(b"\n")


def test_info_adds_up(info: dict[str, str]) -> None:
    parts = [int(info[name].split()[0]) for name in ("weights", "key/value cache", "activations")]
    assert int(info["memory"].split()[0]) == sum(parts)


def test_wrong_files(binary: str, info: dict[str, str], tokenizer: Path, tmp_path: Path) -> None:
    refused(run(binary, "-z", str(tmp_path / "none")), 66, "tokenizer", "none")
    cut = tmp_path / "cut.bin"
    cut.write_bytes(tokenizer.read_bytes()[:-3])
    refused(run(binary, "-z", str(cut)), 65, "cut.bin", "cut short")
    refused(run(binary, "-z", "/dev/zero"), 65, "/dev/zero")
    refused(run(binary, "--weights", str(tmp_path / "none")), 66, "weights", "none")
    refused(run(binary, "--weights", str(cut)), 65, info["model"])
    refused(run(binary, "--logits", str(tmp_path / "no" / "folder")), 74, "folder")
    odd = tmp_path / "two\nlines"
    refused(run(binary, "-z", str(odd)), 66, "two?lines")


def test_nonsense_in_the_environment_is_a_warning(binary: str, info: dict[str, str]) -> None:
    if info["threads at most"] == "1":
        pytest.skip("built for one thread: OMP_NUM_THREADS says nothing")
    for nonsense in ("nonsense", "0", "-1", "100000", "1e9", "99999999999", ""):
        result = run(binary, "-t", "0", "-n", "5", OMP_NUM_THREADS=nonsense)
        assert result.returncode == 0
        assert f'OMP_NUM_THREADS is "{nonsense}"'.encode() in result.stderr
    result = run(binary, "-t", "0", "-n", "5", OMP_NUM_THREADS="2")
    assert b"2 threads" in result.stderr and b"warning" not in result.stderr


def test_profile(binary: str) -> None:
    plain = run(binary, "-t", "0", "-n", "30")
    result = run(binary, "-t", "0", "-n", "30", "--profile")
    assert result.stdout == plain.stdout
    *rows, clock, loading, reading = result.stderr.decode().splitlines()[2:]
    rows = [row for row in rows if not row.startswith("two positions at once: ")]  # tests/cli/test_draft.py's
    assert re.fullmatch(r"clock: (not told|[1-9][0-9]*\.[0-9] MHz, of rdcycle)", clock)
    assert re.fullmatch(r"loading the weights: [0-9.]+ MB (read|mapped) in [0-9.]+ ms, [0-9.]+ MB/s", loading)
    assert re.fullmatch(r"reading the weights, one thread: [0-9.]+ GB/s", reading)
    told = [] if clock.endswith("not told") else ["cycles/MAC"]
    assert rows[0].split() == ["operation", "calls", "ms", "share", "GB/s", "ns/MAC", *told]
    products = [row for row in rows if row.startswith("matmul_")]
    assert products and all(len(row.split()) == 6 + len(told) for row in products)
    shares = [float(found.group(1)) for row in rows[1:] if (found := re.search(r"([0-9.]+)%", row))]
    assert len(shares) == len(rows) - 1
    assert sum(shares) == pytest.approx(100, abs=0.1 * len(shares))


@pytest.mark.usefixtures("not_sanitized")
def test_too_little_memory_is_71(binary: str) -> None:
    """Somewhere between too little to load the program and enough, the prompt's memory is what is missing."""
    codes = []
    for megabytes in range(1, 200):
        limit = megabytes << 20
        result = subprocess.run(
            [binary, "-n", "1", "-i", "-", "--threads", "1"],
            input=b"a" * 2**20,
            capture_output=True,
            check=False,
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
        codes.append(result.returncode)
        if codes[-1] in (2, 71):  # 2: enough to count the prompt's tokens
            break
    assert codes[-1] == 71, codes
    assert result.stderr.count(b"\n") == 1 and (b"out of memory" in result.stderr or b"no memory" in result.stderr)


@pytest.mark.usefixtures("not_sanitized")
def test_threads_that_the_system_does_not_give(binary: str, info: dict[str, str]) -> None:
    """Room for the program and one stack or two of eight: the same story, with as many as there are."""
    if info["threads at most"] == "1":
        pytest.skip("built for one thread: there is none to start")
    if b"__kmp_" in Path(binary).read_bytes():
        pytest.skip("LLVM's OpenMP needs more memory before it is asked for a thread, and ends without it")
    words = [binary, "-n", "9", "-s", "1", "--threads", "2"]
    whole, codes, told = run(*words).stdout, set(), b""
    for megabytes in range(8, 400, 4):
        limit = megabytes << 20
        result = subprocess.run(
            words, capture_output=True, check=False,
            preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        codes.add(result.returncode)
        told += result.stderr
        if result.returncode == 0:
            assert result.stdout == whole
            if b"threads (ulimit" not in result.stderr:
                break
    assert 0 in codes and codes <= {0, 71, 127, -signal.SIGSEGV, -signal.SIGKILL}, codes  # killed, or 127 of its loader: no room
    assert b"the system lets this program start 1 of 2 threads" in told and b"libgomp" not in told, told


@pytest.mark.usefixtures("not_sanitized")
def test_a_cpu_without_the_targets_extensions_is_refused(binary: str, info: dict[str, str]) -> None:
    target = find_target(info["target"])
    if not target.cpu:
        pytest.skip(f"target {target.name} needs no extension")
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("no qemu-x86_64 to run it on another CPU: tools/setup cross installs it")
    result = run(emulator, "-cpu", "Nehalem", binary, "-n", "3")
    refused(result, 69, target.name, target.cpu[0], "-Dtarget=")
    assert run(emulator, "-cpu", "Nehalem", binary, "--info").returncode == 0
