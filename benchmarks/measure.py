"""Runs programs and reads what they say about themselves.

A program is anything that prints llama2.c's "achieved tok/s: X". Those baked by storybake are asked for more.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ACHIEVED = re.compile(r"achieved tok/s: ([0-9.]+)")
PROMPT = re.compile(r"prompt \d+ tokens at ([0-9.]+) tok/s")
OPERATION = re.compile(r"^(\S.*?) +(\d*) +([0-9.]+) +([0-9.]+)%", re.M)


class BenchError(Exception):
    """One line for the user."""


@dataclass(frozen=True)
class Spread:
    """The median of several runs, and how far they lie apart."""

    median: float
    smallest: float
    largest: float
    runs: int

    @staticmethod
    def of(values: list[float]) -> Spread:
        return Spread(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Run:
    """One run of a program: decoding and, where it says, prefill in tokens a second; seconds from its start to the
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
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )  # unbuffered: communicate() would miss what a buffer has read ahead
    except OSError as error:
        raise BenchError(f"{name}: can't be started: {error.strerror}") from error
    assert process.stdout is not None
    first = process.stdout.read(1)
    first_s = time.monotonic() - begin
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise BenchError(f"{name}: expected an end within {timeout:.0f} s, found none") from error
    report = (first + out + b"\n" + err).decode(errors="replace")
    if process.returncode != 0:
        last = (err or out).decode(errors="replace").strip().split("\n")[-1][:120]
        raise BenchError(f"{name}: expected exit code 0, found {process.returncode}: {last}")
    achieved = ACHIEVED.search(report)
    if achieved is None or float(achieved[1]) <= 0:
        raise BenchError(f"{name}: expected a line \"achieved tok/s: X\", found none")
    prompt = PROMPT.search(report)
    operations = {match[1]: float(match[3]) for match in OPERATION.finditer(report)}
    return Run(float(achieved[1]), float(prompt[1]) if prompt else None, first_s, operations)


def peak_resident(command: list[str]) -> int:
    """The peak of resident memory of a command in bytes. It is asked for while the command runs: what the kernel
    accounts for when it has ended includes the memory of the Python that started it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text("ascii"), re.M)
            peak = int(found[1]) * 1024 if found else peak
        time.sleep(0.002)
    return peak


def program_of(build: Path) -> Path:
    """The baked program of a build folder; a program is its own. BenchError when there is none."""
    if build.is_file():
        return build
    targets = build / "meson-info" / "intro-targets.json"
    if not targets.is_file():
        raise BenchError(f"{build}: expected a build folder or a baked program, found neither")
    for target in json.loads(targets.read_text(encoding="utf-8")):
        path = Path(target["filename"][0])
        if target["type"] == "executable" and path.parent == build.resolve() and path.is_file():
            return path
    raise BenchError(f"{build}: no program in it: run meson compile -C {build}")


def kernels(build: Path) -> dict[str, dict[str, float]]:
    """Per kernel and for "read": ns a call, bytes a second and multiply-accumulates a second. Empty for a program
    without its build folder."""
    program = build / "benchmarks" / "kernels_benchmark"
    if not build.is_dir():
        return {}
    made = subprocess.run(
        ["ninja", "-C", str(build), "benchmarks/kernels_benchmark"], capture_output=True, check=False, text=True
    )
    if made.returncode != 0:
        return {}  # without -Dtests=enabled
    arguments = ["--benchmark_format=json", "--benchmark_min_time=0.1", "--benchmark_repetitions=5"]
    result = subprocess.run([str(program), *arguments], capture_output=True, check=False, text=True)
    if result.returncode != 0:
        raise BenchError(f"{program}: expected exit code 0, found {result.returncode}")
    rows = [row for row in json.loads(result.stdout)["benchmarks"] if row.get("aggregate_name") == "median"]
    figures = ("real_time", "bytes_per_second", "macs")
    return {row["run_name"]: {key: row[key] for key in figures if key in row} for row in rows}
