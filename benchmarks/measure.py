"""Runs programs and reads what they say about themselves.

A program is anything that prints llama2.c's "achieved tok/s: X", or is llama.cpp's llama-bench with one test and
`-o json`. Those baked by storybake are asked for more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import signal
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ACHIEVED = re.compile(r'(?:achieved tok/s|"avg_ts"): ([0-9.]+)')
PROMPT = re.compile(r"prompt \d+ tokens at ([0-9.]+) tok/s")
OPERATION = re.compile(r"^(\S.*?) +(\d*) +([0-9.]+) +([0-9.]+)%", re.M)

STORY = (
    "Once upon a time, there was a little girl named Lily who loved to play outside in the big green park with her dog "
    "and her friends. One day they found a small red boat near the lake"
)


class BenchError(Exception):
    """Carries one line for the user, and the exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def prompt_within(seq_len: int, tokens: int) -> str:
    """Makes a prompt for prefill that takes half of the context and of a run's tokens at most, at a token a character."""
    return STORY[: max(min(seq_len, tokens) // 2 - 2, 1)]


@dataclass(frozen=True)
class Spread:
    """Holds the median of several runs, and how far they lie apart."""

    median: float
    smallest: float
    largest: float
    runs: int

    @staticmethod
    def of(values: list[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values), len(values))

    def times(self, factor: float) -> Spread:
        """Converts it to another unit."""
        return Spread(factor * self.median, factor * self.smallest, factor * self.largest, self.runs)


@dataclass(frozen=True)
class Run:
    """Holds one run of a program: decoding and, where it says, prefill in tokens a second; seconds from its start to the
    first byte of text; milliseconds by operation."""

    tok_s: float
    prompt_tok_s: float | None
    first_s: float
    operations: dict[str, float]


def run_once(command: list[str], timeout: float = 600) -> Run:
    """Runs a command and reads its report. Raises BenchError when it can't be started, fails, takes longer than
    `timeout` seconds or prints no tok/s."""
    name = shlex.join(command)[:80]
    begin = time.monotonic()
    with tempfile.TemporaryFile() as errors, ExitStack() as at_exit:
        try:
            # Leave it unbuffered: communicate() would miss what a buffer has read ahead. Give it a session of its own, for its
            # children to end with it.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, bufsize=0,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise BenchError(f"{name}: can't be started: {error.strerror}") from error
        at_exit.callback(end, process)
        assert process.stdout is not None
        select.select([process.stdout], [], [], timeout)
        first_s = time.monotonic() - begin
        try:
            out, _ = process.communicate(timeout=max(timeout - first_s, 0))
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"{name}: expected an end within {timeout:g} s, found none") from error
        errors.seek(0)
        err = errors.read()
    if process.returncode < 0:
        raise BenchError(f"{name}: expected exit code 0, was ended by {signal.Signals(-process.returncode).name}")
    if process.returncode != 0:
        last = (err or out).decode(errors="replace").strip().split("\n")[-1][:120]
        raise BenchError(f"{name}: expected exit code 0, found {process.returncode}: {last}")
    report = (out + b"\n" + err).decode(errors="replace")
    achieved = ACHIEVED.search(report)
    if achieved is None or float(achieved[1]) <= 0:
        raise BenchError(f"{name}: expected a line \"achieved tok/s: X\", found none")
    prompt = PROMPT.search(report)
    operations = {match[1]: float(match[3]) for match in OPERATION.finditer(report)}
    return Run(float(achieved[1]), float(prompt[1]) if prompt else None, first_s, operations)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that has a session of its own, with its children, when it has not ended itself."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def peak_resident(command: list[str]) -> int:
    """Measures the peak of resident memory of a command in bytes. It is asked for while the command runs: what the kernel
    accounts for when it has ended includes the memory of the Python that started it. 0 for one that always ends before
    it can be asked."""
    peak = 0
    for _ in range(10):
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            with contextlib.suppress(OSError):
                found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text("ascii"), re.M)
                peak = max(peak, int(found[1]) * 1024 if found else 0)
            time.sleep(0.0002)
        if peak:
            break
    return peak


def program_of(build: Path) -> Path:
    """Finds the baked program of a build folder; a program is its own. BenchError when there is none."""
    if build.is_file():
        return build
    targets = build / "meson-info" / "intro-targets.json"
    if not targets.is_file():
        raise BenchError(f"{build}: expected a build folder or a baked program, found neither", 66)
    for target in json.loads(targets.read_text(encoding="utf-8")):
        path = Path(target["filename"][0])
        if target["type"] == "custom" and path == build.resolve() / target["name"] and path.is_file():
            return path
    raise BenchError(f"{build}: no program in it: run meson compile -C {build}", 66)


@dataclass(frozen=True)
class Kernel:
    """Holds a kernel of a build; "read", plainly reading as many bytes as the model's weights; or choosing a token: ns a call,
    the bytes that one reads, and its multiply-accumulates."""

    ns: Spread
    bytes: float
    macs: float

    @property
    def bandwidth(self) -> float:
        """Returns the bytes a second."""
        return 1e9 * self.bytes / self.ns.median


def kernels(build: Path) -> dict[str, Kernel]:
    """Measures them, by name: <kernel>/<positions>, read/<threads>, argmax and two of sample. Empty for a program without its build
    folder, or a build without -Dtests=enabled."""
    program = build / "benchmarks" / "kernels_benchmark"
    if not build.is_dir():
        return {}
    made = subprocess.run(
        ["ninja", "-C", str(build), "benchmarks/kernels_benchmark"], capture_output=True, check=False, text=True
    )
    if made.returncode != 0:
        return {}
    arguments = ["--benchmark_format=json", "--benchmark_min_time=0.1", "--benchmark_repetitions=5"]
    result = subprocess.run([str(program), *arguments], capture_output=True, check=False, text=True)
    if result.returncode != 0:
        raise BenchError(f"{program}: expected exit code 0, found {result.returncode}")
    runs: dict[str, list[dict[str, float]]] = {}
    for row in json.loads(result.stdout)["benchmarks"]:
        if row["run_type"] == "iteration":
            runs.setdefault(row["run_name"].removesuffix("/real_time"), []).append(row)

    def total(rows: list[dict[str, float]], rate: str) -> float:
        return statistics.median(row.get(rate, 0.0) * row["real_time"] / 1e9 for row in rows)

    return {
        name: Kernel(Spread.of([row["real_time"] for row in rows]), total(rows, "bytes_per_second"), total(rows, "macs"))
        for name, rows in runs.items()
    }
