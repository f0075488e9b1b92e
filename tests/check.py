"""Runs every check of the project and counts what passed: formatting, types, every kind of build with its tests, pytest.

What is built and how is tests/matrix.toml; what a check does, tests/checks/. Models are made by the tests; builds of the
public ones are skipped where STORYBAKE_MODELS names no folder that has them (tools/models fetches them). The last line says
"N passed, N failed, N skipped".
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from checks.bakes import Bake, check_bake, read_matrix
from checks.conditions import BAKE as CONDITIONS
from checks.conditions import check_conditions
from checks.coverage import BAKE as COVERAGE
from checks.coverage import check_coverage
from checks.fuzzing import check_fuzz
from checks.results import BUILD, ROOT, Counts, pytest
from checks.style import check_style, check_tidy

# What was measured: the whole took 55.3 minutes of processor time, 28.4 on two cores, with objects of earlier runs in the compiler's
# cache (20.9 in Debian 13), and 40.6 with few of them and other work beside; --quick took 5.9 of processor time with none.
USUALLY = "20 to 40 minutes on two cores of 3 GHz"
USUALLY_QUICK = "three minutes on two cores of 3 GHz"

# The programs of tests/storyteller, tests/aarch64 and tests/docs, which the builds of these names have made by then.
PROGRAMS = {
    "STORYBAKE_TINYTALES": str(BUILD / "default" / "tinytales_q8"),
    "STORYBAKE_STORYTELLER": str(BUILD / "default" / "storyteller"),
    "STORYBAKE_STORYTELLER_DUO": str(BUILD / "duo" / "storyteller"),
    "STORYBAKE_STORYTELLER_CHAT": str(BUILD / "chat" / "storyteller"),
    "STORYBAKE_ARM": str(BUILD / "arm" / "tinytales_q8"),
    "STORYBAKE_STORYTELLER_ARM": str(BUILD / "arm" / "storyteller"),
    "STORYBAKE_STORYTELLER_SANITIZE": str(BUILD / "sanitize" / "storyteller"),
}

# What takes the longest beside the builds, or after them, and begins before the rest: at the end, no core waits for another.
LONGEST = ("codegen", "storyteller", "tidy", "build", "riscv", "toolchain", "evaluation")

# What takes most of the time of tests/codegen: programs are compiled for it, or many files are made.
SLOW = ("test_byte_level.py", "test_changes.py", "test_chat.py", "test_fuzz.py")


def cpu_seconds() -> float:
    """The processor time of this program and of all that it has run to their end."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True)
class Step:
    """A check by its name, the folder that it builds in, and whether it comes after the builds, whose programs it runs."""

    name: str
    check: Callable[[Counts], None]
    folder: Path | None = None
    after: bool = False
    quick: bool = False

    def run(self) -> Counts:
        """Runs it; says at once what it came to, why it was skipped, and how long it took."""
        counts, start, cpu = Counts(), time.monotonic(), cpu_seconds()
        self.check(counts)
        took = f"{time.monotonic() - start:.0f} s"
        if threading.active_count() == 2:  # of steps at the same time it would be the sum
            took += f", {cpu_seconds() - cpu:.0f} s of processor time"
        what = str(counts) if counts.passed or counts.failed else "skipped"
        print("\n   ".join([f"== {self.name}: {what} ({took})", *counts.notes]), flush=True)
        return counts


def bake_step(bake: Bake, quick: bool) -> Step:
    """A build and its tests; a quick one, in a folder of its own, of what its tests need alone, without the storyteller, and
    as tools/story compiles: all files of a library or test at once, so that headers are read once."""
    name = bake.name
    if quick:
        options = (*bake.options, "-Dstoryteller=disabled", "-Dunity=on", "-Dunity_size=100")
        bake = dataclasses.replace(bake, name=f"quick-{name}", options=options, whole=False, cli=False)
    return Step(name, lambda counts: check_bake(bake, counts), bake.folder, quick=bake.quick)


def pytest_step(folder: Path, quick: bool) -> Step:
    """A folder of tests/ that pytest runs; a quick one without what is SLOW."""
    tests = [str(folder), *(f"--ignore={folder / name}" for name in SLOW if quick)]
    generator = folder.name == "codegen"  # needs no program
    return Step(
        folder.name, lambda counts: pytest(counts, folder.name, tests, **PROGRAMS),
        BUILD / folder.name, after=not generator, quick=generator,
    )  # fmt: skip


def all_steps(quick: bool = False) -> list[Step]:
    """Every check in the order in which they start; what only an option asks for is at the end. Quick ones do less."""
    bakes = read_matrix()
    first = bakes[0]
    fuzzed = next(bake for bake in bakes if "fuzz" in bake.suites)
    steps = [Step("style", check_style, quick=True)]
    steps += [bake_step(bake, quick) for bake in bakes]
    steps += [Step("tidy", lambda counts: check_tidy(first, counts), after=True)]
    # Those of tests/cli, tests/faults and tests/model are run on the programs of the builds.
    folders = sorted({path.parent for path in (ROOT / "tests").glob("*/test_*.py")})
    steps += [pytest_step(folder, quick) for folder in folders if folder.name not in ("cli", "faults", "model")]
    steps.sort(key=lambda step: (step.after, LONGEST.index(step.name) if step.name in LONGEST else len(LONGEST)))
    steps += [Step("fuzz", lambda counts: check_fuzz(fuzzed, counts), after=True)]
    steps += [Step("coverage", check_coverage, COVERAGE.folder, after=True)]
    steps += [Step("conditions", check_conditions, CONDITIONS.folder, after=True)]
    return steps


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text[:9]) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text[:9])


def names(text: str) -> list[str]:
    """The names of a list, one at least: without any, everything would be run, and deleted before."""
    if found := [name for name in text.split(",") if name]:
        return found
    raise argparse.ArgumentTypeError(f"expected names of steps with commas between them, found {text!r}")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tools/check", description="Installs what is missing, builds every kind of target and runs every test.",
        epilog=f"example: tools/check --quick before a commit. The whole takes {USUALLY}; --quick {USUALLY_QUICK}.",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="style, the default build, one of each backend, runtime, generator")
    parser.add_argument("--only", type=names, default=[], metavar="NAMES", help="only these steps, separated by commas")
    parser.add_argument("--no-skips", action="store_true", help="a skipped test that is not expected is a failure")
    parser.add_argument("--keep", action="store_true", help="use the build folders that are there")
    parser.add_argument("--fuzz", action="store_true", help="let every fuzz target search too, a minute each")
    parser.add_argument("--coverage", action="store_true", help="say which lines, branches and conditions the tests reach too")
    parser.add_argument("--install", action="store_true", help=argparse.SUPPRESS)  # tools/check's: what is missing, first
    parser.add_argument("--jobs", type=positive, default=os.cpu_count(), metavar="N", help="steps at once; one a core without it")
    return parser.parse_args(argv)


def chosen(options: argparse.Namespace, steps: list[Step]) -> list[Step]:
    """The steps that the command line asks for; ValueError, naming all, for a name that none has."""
    for name in options.only:
        if name not in [step.name for step in steps]:
            raise ValueError(f"--only {name}: expected steps among {' '.join(step.name for step in steps)}")
    asked = {"fuzz": options.fuzz, "coverage": options.coverage, "conditions": options.coverage}
    if options.only:
        return [step for step in steps if step.name in options.only or asked.get(step.name)]
    return [step for step in steps if asked.get(step.name, step.quick or not options.quick)]


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made itself if it is not there."""
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def install() -> int:
    """Installs what is missing; the exit code of the first that can't be. llama.cpp may: not every mirror has Debian's unstable."""
    for tool in ["tools/setup", "check"], ["tools/toolchain"], ["tools/toolchain", "speech-arm64"]:
        if code := subprocess.run(tool, cwd=ROOT).returncode:
            return code
    if subprocess.run(["tools/toolchain", "llama"], cwd=ROOT).returncode:
        print("tools/check: no llama.cpp (see above): the tests that ask it are skipped", file=sys.stderr)
    return 0


def main(argv: list[str]) -> int:
    """Runs the steps; exit codes: 0 all passed, 1 some failed (or were skipped under --no-skips), 2 usage, 74 no room."""
    options = parse(argv)
    try:
        steps = chosen(options, all_steps(options.quick))
    except ValueError as error:
        print(f"tools/check: {error}", file=sys.stderr)
        return 2
    if not writable(BUILD):
        print(f"tools/check: can't write to {BUILD}: is the checkout read-only? Clone it to a folder of your own", file=sys.stderr)
        return 74
    if options.install and (code := install()):
        return code
    whole = not options.only and not options.quick
    if not options.keep:
        for folder in [BUILD] if whole else [step.folder for step in steps if step.folder]:
            shutil.rmtree(folder, ignore_errors=True)
    if not options.only:
        print(f"tools/check: {len(steps)} steps, usually {USUALLY if whole else USUALLY_QUICK}", flush=True)
    counts, start = Counts(), time.monotonic()
    for after in (False, True):
        with ThreadPoolExecutor(options.jobs) as pool:
            for one in pool.map(Step.run, [step for step in steps if step.after == after]):
                counts.add_all(one)
    print(*counts.notes, sep="\n")
    print(f"{(time.monotonic() - start) / 60:.1f} minutes, {cpu_seconds() / 60:.1f} of processor time")
    print(counts)
    return 1 if counts.failed or (options.no_skips and counts.unexpected) else 0


def seen(argv: list[str]) -> int:
    """Runs `main`; 1 when the reader of its text left before the end, who can't have seen that all passed."""
    try:
        return main(argv)
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from codegen.command import run_command

    run_command("tools/check", seen)
