"""Every allocation, open, read, write, ... of a run fails in turn, once and from then on, until a run gets by without:
STORYBAKE_FAULTY is the program with faults.cpp between it and the C library."""

from __future__ import annotations

import os
import pty
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CALLS = ("malloc", "open", "read", "write", "close", "stat", "mmap", "madvise", "rename", "poll")
STORYTELLER = "STORYBAKE_FAULTY_STORYTELLER"
# Not its allocations: Flite's are thousands, and end the process on the spot.
STORYTELLER_CALLS = ("open", "read", "write", "close", "stat", "rename", "poll", "pipe", "spawn")


def variable(name: str) -> str:
    if name not in os.environ:
        if name == STORYTELLER:
            pytest.skip("this build has no storyteller; run: tools/setup speech")
        pytest.fail(f"{name} is not set: run these tests through meson test")
    return os.environ[name]


@dataclass(frozen=True)
class Run:
    """What a run left: its exit code, its streams, the files in its folder, and the counts of faults.cpp."""

    code: int
    stdout: bytes
    stderr: bytes
    files: dict[str, bytes]
    counts: dict[str, int]


@dataclass(frozen=True)
class Scenario:
    arguments: tuple[str, ...]
    stdin: bytes
    codes: tuple[int, ...]  # what a fault may end it with
    program: str = "STORYBAKE_FAULTY"
    before: tuple[tuple[str, bytes], ...] = ()  # the files that are in its folder

    def run(self, folder: Path, fault: str = "") -> Run:
        work, report = folder / "work", folder / "report"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for name, content in self.before:
            (work / name).write_bytes(content)
        report.unlink(missing_ok=True)
        environment = {**os.environ, "STORYBAKE_FAULT_REPORT": str(report), "OMP_NUM_THREADS": "1"}
        environment |= {"STORYBAKE_FAULT": fault} if fault else {}
        command = [variable(self.program), *(a.format_map(os.environ) for a in self.arguments)]
        text = folder / "stdout"  # a file: how often a pipe is written to depends on the time that tokens take
        with text.open("wb") as stdout:
            result = subprocess.run(
                command, input=self.stdin, stdout=stdout, stderr=subprocess.PIPE, check=False, timeout=60, cwd=work,
                env=environment,
            )  # fmt: skip
        assert report.is_file(), f"{fault}: exit {result.returncode}, {result.stderr!r}"
        counts = {name: int(count) for name, count in map(str.split, report.read_text().splitlines())}
        files = {path.name: path.read_bytes() for path in work.iterdir()}
        return Run(result.returncode, text.read_bytes(), result.stderr, files, counts)


SCENARIOS = {
    "story": Scenario(
        ("-i", "-", "-z", "{STORYBAKE_TOKENIZER}", "--logits", "logits.f32", "-n", "12", "-s", "3", "--profile"),
        b"One day, a cat\n",
        (66, 71, 74),
    ),
    "weights": Scenario(("--weights", "{STORYBAKE_WEIGHTS}", "-n", "3", "-s", "3"), b"", (66, 71, 74)),
    "mapped": Scenario(("--weights", "{STORYBAKE_WEIGHTS}", "--load", "map", "-n", "3", "-s", "3"), b"", (66, 71, 74)),
    "chat": Scenario(("-m", "chat", "-n", "60", "-s", "3"), b"be kind\nhello there\n", (71, 74)),
    "selftest": Scenario(("--selftest", "--weights", "{STORYBAKE_WEIGHTS}"), b"", (66, 71, 74)),
}

# A seeded model has no end of a sentence: -n ends it.
TELL = ("--wish", "a dragon", "-n", "40", "--max-sentences", "1", "--voice", "kal16", "-s", "3")
TOLD = {
    "into a file": Scenario((*TELL, "--wav", "story.wav"), b"", (66, 74), STORYTELLER),
    "to a player": Scenario((*TELL, "--snd-command", "sh -c 'cat >heard'"), b"", (66, 69, 74), STORYTELLER),
}

OLD_MEMORY = b"storyteller 1\ntopic a cat\nseed 7\nlength 0\nday 0\nstories 1\nend\n"
REMEMBERING = Scenario(
    ("--wish", "a dragon", "--mute", "-n", "4", "--max-sentences", "1", "-s", "3", "--memory", "memory"), b"", (66, 74), STORYTELLER,
    (("memory", OLD_MEMORY),),
)  # fmt: skip


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return SCENARIOS[request.param]


def last_logits(stderr: bytes) -> bytes:
    """The fingerprint that a run ends with."""
    return stderr.rpartition(b", logits ")[2][:18]


def faults(scenario: Scenario, call: str, folder: Path) -> Iterator[tuple[str, Run]]:
    """Runs with the first, second, third, ... call failing, alone and with all that follow, until none is left."""
    for suffix in ("", "+"):
        for nth in range(1, 1000):
            fault = f"{call} {nth}{suffix}"
            run = scenario.run(folder, fault)
            if run.counts["injected"] == 0:
                break
            yield fault, run
        else:
            pytest.fail(f"{call}: no end of calls")


def test_a_run_without_faults_leaves_nothing_behind(scenario: Scenario, tmp_path: Path) -> None:
    run = scenario.run(tmp_path)
    assert run.code == 0, run.stderr
    assert run.counts["live"] == run.counts["descriptors"] == 0


@pytest.mark.parametrize("call", CALLS)
def test_every_call_fails_in_turn(scenario: Scenario, call: str, tmp_path: Path) -> None:
    good = scenario.run(tmp_path)
    assert good.code == 0, good.stderr
    tried = 0
    for fault, run in faults(scenario, call, tmp_path):
        tried += 1
        what = f"{fault}: exit {run.code}, {run.stderr!r}, {run.counts}"
        # No word is another one; a line that was begun is ended.
        assert good.stdout.startswith(run.stdout.removesuffix(b"\n")), what
        assert run.counts["descriptors"] == 0 or run.code == 71, what
        if run.code == 0:  # it did without
            assert (run.stdout, run.files) == (good.stdout, good.files), what
            assert last_logits(run.stderr) == last_logits(good.stderr), what
        else:
            assert run.code in scenario.codes, what
            assert run.stderr.count(b"\n") == 1 and run.stderr.endswith(b"\n"), what
            assert run.stdout == b"" or call not in ("open", "stat", "mmap"), what
            assert run.files == {}, what
        if run.code != 71:  # which ends the process on the spot
            assert run.counts["live"] == 0, what
    assert tried >= good.counts[call]


@pytest.mark.parametrize("call", STORYTELLER_CALLS)
@pytest.mark.parametrize("where", TOLD)
def test_every_call_of_the_storyteller_fails_in_turn(where: str, call: str, tmp_path: Path) -> None:
    """A story is told whole, or as far as it came, with the reason in the last line; a WAV has what was spoken until then,
    or is absent; no descriptor is left. (How often it polls depends on the player's pace.)"""
    good = TOLD[where].run(tmp_path)
    assert good.code == 0 and good.counts["descriptors"] == 0, good.stderr
    assert len(good.stdout) > 20 and len(good.files) == 1
    tried = 0
    for fault, run in faults(TOLD[where], call, tmp_path):
        tried += 1
        what = f"{fault}: exit {run.code}, {run.stdout!r}, {run.stderr!r}, {run.counts}, {set(run.files)}"
        assert good.stdout.startswith(run.stdout.removesuffix(b"\n")), what
        assert run.counts["descriptors"] == 0, what
        if run.code:
            assert run.code in TOLD[where].codes, what
            assert run.stderr.rpartition(b"storyteller: ")[2].count(b"\n") == 1, what
        assert set(run.files) <= set(good.files), what
        if sound := run.files.get("story.wav"):  # a player is started again, and hears the rest
            assert good.files["story.wav"].startswith(sound[44:], 44), what
            assert struct.unpack_from("<I", sound, 40) == (len(sound) - 44,), what
        if run.code == 0:
            assert (run.stdout, run.files.get("story.wav")) == (good.stdout, good.files.get("story.wav")), what
    assert tried > 0 or good.counts[call] == 0


@pytest.mark.parametrize("call", ("open", "read", "write", "close", "rename"))
def test_a_memory_is_the_old_or_the_new_one(call: str, tmp_path: Path) -> None:
    """Whatever fails while it is written; the story is told all the same, and nothing else is left."""
    good = REMEMBERING.run(tmp_path)
    assert good.code == 0 and good.files["memory"].endswith(b"end\n") and b"topic a dragon\n" in good.files["memory"], good.stderr
    for fault, run in faults(REMEMBERING, call, tmp_path):
        what = f"{fault}: exit {run.code}, {run.stderr!r}, {run.files}"
        assert run.files in ({"memory": OLD_MEMORY}, {"memory": good.files["memory"]}), what
        assert run.code in (0, *REMEMBERING.codes) and run.counts["descriptors"] == 0, what


def test_short_and_interrupted_reads_and_writes_change_nothing(scenario: Scenario, tmp_path: Path) -> None:
    good, slow = scenario.run(tmp_path), scenario.run(tmp_path, "trickle")
    assert slow.code == 0, slow.stderr
    assert (slow.stdout, slow.files) == (good.stdout, good.files)
    assert last_logits(slow.stderr) == last_logits(good.stderr)


@pytest.mark.parametrize("how", ["read", "map"])
def test_weights_that_end_too_early_are_refused(how: str, tmp_path: Path) -> None:
    """The file had its length when it was opened, and shrank."""
    scenario = Scenario(("--weights", "{STORYBAKE_WEIGHTS}", "--load", how, "-n", "3", "-t", "0"), b"", (65,))
    runs = list(faults(scenario, "end", tmp_path))
    early = [(fault, run) for fault, run in runs if run.code != 0]
    assert early and len(runs) - len(early) == (2 if how == "map" else 0), "reading to the end finds it last"
    for fault, run in early:
        assert run.code == 65 and b" bytes, those of " in run.stderr and run.stderr.count(b"\n") == 1, (fault, run)
        assert run.counts["live"] == run.counts["descriptors"] == 0, (fault, run)


def test_mapped_weights_whose_file_shrinks_later_end_the_program_in_order(tmp_path: Path) -> None:
    """The kernel says so with a signal, when a page is missing in the middle of a token."""
    weights = tmp_path / "weights"
    shutil.copy(variable("STORYBAKE_WEIGHTS"), weights)
    command = [variable("STORYBAKE_FAULTY"), "-m", "chat", "-y", "", "--weights", weights, "--load", "map"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        assert process.stdout.read(5) == b"User:"  # the weights are there
        os.truncate(weights, 0)
        process.stdin.write(b"hello\n")
        process.stdin.close()
        message = process.stderr.read()
        assert process.wait(60) == 74, message
    assert message.count(b"\n") == 1 and b"weights: a page is gone from their file" in message


@pytest.mark.parametrize("call", ["read", "end", "open"])
def test_reading_ahead_of_the_first_token_may_fail(call: str, tmp_path: Path) -> None:
    """Where the kernel takes no advice, the program reads its own file once; nothing depends on it."""
    scenario = Scenario(("-n", "12", "-s", "3"), b"", ())
    good, ahead = scenario.run(tmp_path), scenario.run(tmp_path, "madvise 1+")
    assert ahead.counts["read"] > good.counts["read"] + 2, "the executable has several blocks"
    for nth in range(1, ahead.counts[call] + 1):
        for suffix in ("", "+"):
            run = scenario.run(tmp_path, f"madvise 1+,{call} {nth}{suffix}")
            assert run.counts["injected"] >= 2
            assert (run.code, run.stdout) == (0, good.stdout), run.stderr
            assert last_logits(run.stderr) == last_logits(good.stderr)
            assert run.counts["descriptors"] == 0
    slow = scenario.run(tmp_path, "madvise 1+,trickle")
    assert (slow.code, slow.stdout) == (0, good.stdout), slow.stderr


def test_nothing_is_allocated_once_a_story_has_begun(tmp_path: Path) -> None:
    """On a terminal, where every token is a write: between the first and the last."""
    report = tmp_path / "report"
    main, terminal = pty.openpty()
    try:
        result = subprocess.run(
            [variable("STORYBAKE_FAULTY"), "-n", "100", "-s", "3", "-i", "Once", "--threads", "1"],
            stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE, check=False, timeout=60,
            env={**os.environ, "STORYBAKE_FAULT_REPORT": str(report)},
        )  # fmt: skip
    finally:
        os.close(terminal)
        os.close(main)
    counts = {name: int(count) for name, count in map(str.split, report.read_text().splitlines())}
    assert result.returncode == 0, result.stderr
    assert counts["write"] > 50
    assert counts["late"] == 0


def test_nothing_uninitialised_is_read(tmp_path: Path) -> None:
    """valgrind's memcheck on a short story, with kernels whose instructions it knows."""
    program = variable("STORYBAKE_FAULTY")
    info = subprocess.run([program, "--info"], capture_output=True, text=True, check=True).stdout
    target = next(line.split()[-1] for line in info.splitlines() if line.startswith("target"))
    if target not in ("portable", "x86-64-v3"):
        pytest.skip(f"valgrind doesn't know the instructions of {target}: build with -Dtarget=portable")
    command = ["valgrind", "-q", "--error-exitcode=99", program, "-n", "6", "-s", "3", "-i", "One", "--threads", "1"]
    result = subprocess.run(command, capture_output=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr.decode()
    assert b"==" not in result.stderr
