"""Runs every check of the project and counts what passed: formatting, types, every kind of build with its tests, pytest.

    tools/check [--no-skips] [--only NAMES] [--keep] [--fuzz] [--coverage]

--no-skips makes a skipped test a failure, but for EXPECTED_SKIPS; --only runs the steps of those names; --keep uses the build folders
that are there instead of starting afresh; --fuzz lets every fuzz target search as well, a minute each;
--coverage prints which lines and branches of the runtime and the generator the tests reach. Models come from ../shared/models or STORYBAKE_MODELS.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import seeded

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-check"
MODELS = Path(os.environ.get("STORYBAKE_MODELS", ROOT.parent / "shared" / "models")).resolve()


@dataclass(frozen=True)
class Bake:
    """A build of one model, tested with `meson test`: the suites named, and tests/cli on the program where `cli` (for
    another machine: CROSS_CLI, in the emulator).

    `model` is a file of MODELS, a recipe of tests/seeded.py, or empty for the project's own model.
    """

    name: str
    model: str
    options: tuple[str, ...] = ()
    suites: tuple[str, ...] = ("model",)
    compiler: str = "g++"
    cli: bool = False
    cross: tuple[str, ...] = ()  # files of cross/, by name


# Wrong accesses and undefined behaviour end the program; what is read before it is written has a pattern for a value.
SANITIZE = (
    "-Db_sanitize=address,undefined",
    "-Db_lundef=false",
    "-Dcpp_args=-fno-sanitize-recover=all -ftrivial-auto-var-init=pattern",
)
PORTABLE_TYPES = ("-Dtarget=portable", "-Dweights=q4", "-Dclassifier=f16", "-Dkv=f16")
THREADS = ("-Db_sanitize=thread", "-Db_lundef=false", "-Dopenmp=disabled", "-Dstoryteller=disabled")

BAKES = (
    Bake("default", ""),
    Bake("f32", "stories260K.bin", suites=("model", "runtime"), cli=True),
    Bake("q8", "stories260K_q8_g4.bin", cli=True),
    Bake("untied", "seeded_gqa_untied_v1.bin", ("-Dembed=false",), cli=True),
    Bake("sanitize", "stories260K_q8_g4.bin", SANITIZE, suites=("model", "runtime"), compiler="clang++"),
    Bake("sanitize-f32-q4", "stories260K.bin", (*SANITIZE, "-Dclassifier=q4", "-Dstoryteller=disabled"), compiler="clang++"),
    Bake("sanitize-portable", "stories260K.bin", (*SANITIZE, *PORTABLE_TYPES, "-Dstoryteller=disabled"), compiler="clang++"),
    # ThreadSanitizer does not see through OpenMP's library; the test's own threads meet at the program's barrier.
    Bake("threads", "stories260K_q8_g4.bin", THREADS, suites=("threads",), compiler="clang++"),
    Bake("clang", "seeded_gqa_untied_q8.bin", suites=("model", "fuzz"), compiler="clang++"),
    Bake("portable", "stories260K_q8_g4.bin", ("-Dtarget=portable",), ("model", "faults")),
    Bake("portable-f32", "stories260K.bin", ("-Dtarget=portable",)),
    Bake("avx2", "seeded_gqa_untied_q8.bin", ("-Dtarget=x86-64-v3",)),
    Bake("avx2-f32", "stories260K.bin", ("-Dtarget=x86-64-v3",), ("model", "faults")),
    Bake("duo", "", cross=("duo",)),
    Bake("duo-untied", "seeded_gqa_untied_q8.bin", cross=("duo",)),
    Bake("duo-f32", "stories260K.bin", cross=("duo",)),
    Bake("duo-q8", "stories260K_q8_g4.bin", cross=("duo",)),
    Bake("duo-odd", "odd", cross=("duo",)),
    Bake("duo-odd-q8", "odd_q8", cross=("duo",), cli=True),
    Bake("rvv1", "seeded_gqa_untied_q8.bin", cross=("rvv1",)),
    Bake("rvv1-256", "stories260K.bin", cross=("rvv1", "vlen256")),
    Bake("rvv1-256-q8", "seeded_gqa_untied_q8.bin", cross=("rvv1", "vlen256")),
    Bake("quantised", "stories260K.bin", ("-Dweights=q8", "-Dopenmp=disabled")),
    Bake("q4-f16", "stories260K.bin", ("-Dweights=q4", "-Dclassifier=f16", "-Dkv=f16")),
    Bake("q4-q8", "seeded_gqa_untied_v1.bin", ("-Dweights=q4", "-Dclassifier=q8", "-Dembed=false")),
    Bake("f32-q8", "stories260K.bin", ("-Dclassifier=q8",)),
    Bake("portable-q4-f16", "stories260K.bin", PORTABLE_TYPES),
    Bake("avx2-q4-f16", "seeded_gqa_untied_v1.bin", ("-Dweights=q4", "-Dclassifier=f16", "-Dtarget=x86-64-v3", "-Dkv=f16")),
    Bake("duo-q4", "", ("-Dweights=q4",), cross=("duo",)),
    Bake("duo-odd-f16", "odd", ("-Dweights=f16", "-Dkv=f16", "-Dstoryteller=disabled"), cross=("duo",)),
    Bake("duo-odd-q4", "odd_pairs", ("-Dweights=q4", "-Dclassifier=f16", "-Dkv=f16", "-Dstoryteller=disabled"), cross=("duo",)),
    Bake("rvv1-q4-f16", "seeded_gqa_untied_v1.bin", ("-Dweights=q4", "-Dclassifier=f16", "-Dkv=f16"), cross=("rvv1",)),
    Bake("rvv1-256-q4-f16", "stories260K.bin", ("-Dweights=q4", "-Dclassifier=f16", "-Dkv=f16"), cross=("rvv1", "vlen256")),
    Bake("odd-f16", "odd", ("-Dweights=f16",)),
    Bake("odd", "odd"),
    Bake("odd-q8", "odd_q8"),
    Bake("one-q8", "one_q8"),
)


# What of tests/cli makes sense in an emulator.
CROSS_CLI = ("test_faults.py", "test_selftest.py", "test_promises.py::test_no_network_and_no_shell")

# The programs of tests/storyteller, which the builds of these names have made by then.
STORYTELLERS = {
    "STORYBAKE_STORYTELLER": str(BUILD / "default" / "storyteller"),
    "STORYBAKE_STORYTELLER_DUO": str(BUILD / "duo" / "storyteller"),
    "STORYBAKE_STORYTELLER_SANITIZE": str(BUILD / "sanitize" / "storyteller"),
}

# Skips that --no-skips lets pass: what says so in their message, and why it can't be otherwise here.
EXPECTED_SKIPS = {
    "STORYBAKE_NPM": "npm's GGUF parser is fetched only when asked for",
    "python3-torch": "PyTorch is an optional oracle of 500 MB",
    "AddressSanitizer needs terabytes": "a limit of the address space and another CPU's emulator are beyond it",
    "the emulator writes files": "a read-only system is tested on this machine's program",
    "root reads every file": "a file that root can't read can't be made",
    "needs no extension": "the machine is older than every target but the portable one",
}


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    unexpected: int = 0  # among the skipped
    notes: list[str] = field(default_factory=list)

    def add_junit(self, path: Path, step: str) -> None:
        """Adds the test cases of a JUnit file, which Meson and pytest write alike; skips and failures by name."""
        for case in ET.parse(path).getroot().iter("testcase"):
            name = f"{step}: {case.get('classname', '')}.{case.get('name', '')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
                self.notes.append(f"FAILED  {name}")
            elif skip is not None:
                self.add_skip(f"{name}: {skip.get('message') or (skip.text or '').strip()}")
            else:
                self.passed += 1

    def add_skip(self, text: str) -> None:
        self.skipped += 1
        self.unexpected += not any(words in text for words in EXPECTED_SKIPS)
        self.notes.append(f"skipped {text}")

    def add(self, ok: bool, name: str) -> None:
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            self.notes.append(f"FAILED  {name}")


def run(command: list[str | Path], quiet: bool = True, **environment: str) -> bool:
    """Runs a command from the root; its output is shown when it fails, or always unless `quiet`."""
    result = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, text=True, errors="replace",
        stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
    )  # fmt: skip
    if quiet and result.returncode:
        print("$", *command, result.stdout, sep="\n" if len(command) > 12 else " ")
    return result.returncode == 0


def sources(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True)
    return [ROOT / f for f in listed.stdout.split("\n") if f.endswith(suffixes) and not f.startswith("generated/")]


def check_style(counts: Counts) -> None:
    """The formatter in check mode, the type checker, and the golden sources."""
    counts.add(run(["clang-format", "--dry-run", "-Werror", *sources(".c", ".h", ".cpp", ".hpp")]), "clang-format")
    counts.add(run(["/usr/bin/mypy"]), "mypy")
    counts.add(run(["tools/regen", "--check"]), "golden sources")


def check_tidy(counts: Counts) -> None:
    """clang-tidy on the runtime, a file a core at a time, with the compile commands of the first build."""
    runtime = [file for file in sources(".cpp") if {ROOT / "runtime", ROOT / "storyteller"} & {*file.parents}]
    tidy: list[str | Path] = ["clang-tidy", "--quiet", "-p", BUILD / BAKES[0].name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda file: run([*tidy, file]), runtime))
    counts.add(bool(results) and all(results), "clang-tidy")


def configure(bake: Bake, counts: Counts) -> Path | None:
    """Sets a build up; the model's path. None when it is not at hand or can't be set up, which is counted."""
    folder = BUILD / bake.name
    model = MODELS / bake.model
    if bake.model in seeded.RECIPES:
        model = seeded.write(BUILD / "models", bake.model)
    elif bake.model and not model.is_file():
        counts.add_skip(f"{bake.name}: no {bake.model} in {MODELS}; set STORYBAKE_MODELS")
        return None
    setup = ["meson", "setup", str(folder), "-Dtests=enabled", *bake.options]
    setup += [f"-Dmodel={model}"] if bake.model else []
    setup += [word for name in bake.cross for word in ("--cross-file", f"cross/{name}.ini")]
    if not (folder / "build.ninja").exists() and not run(setup, CXX=f"ccache {bake.compiler}"):
        counts.add(False, f"{bake.name}: meson setup")
        return None
    return model


def check_bake(bake: Bake, counts: Counts) -> None:
    """Configures, builds and tests one build."""
    folder = BUILD / bake.name
    model = configure(bake, counts)
    if model is None:
        return
    if not run(["meson", "compile", "-C", str(folder)]):
        counts.add(False, f"{bake.name}: meson compile")
        return
    junit = folder / "meson-logs" / "testlog.junit.xml"
    junit.unlink(missing_ok=True)
    suites = [word for suite in bake.suites for word in ("--suite", suite)]
    ok = run(["meson", "test", "-C", str(folder), "--no-rebuild", "--print-errorlogs", *suites])
    before = counts.failed
    if junit.exists():
        counts.add_junit(junit, bake.name)
    if not ok and counts.failed == before:
        counts.add(False, f"{bake.name}: meson test")
    if bake.cli:
        own = model.with_name(f"{model.stem}.tokenizer.bin")
        tokenizer = own if own.is_file() else MODELS / "tok512.bin"
        cli = {"STORYBAKE_BIN": folder / model.stem, "STORYBAKE_CHECKPOINT": model, "STORYBAKE_TOKENIZER": tokenizer}
        runner = {"STORYBAKE_RUN": f"{ROOT}/tools/run-riscv"} if bake.cross else {}
        tests = [f"tests/cli/{name}" for name in CROSS_CLI] if bake.cross else ["tests/cli"]
        pytest(counts, f"{bake.name} cli", tests, **{name: str(path) for name, path in cli.items()}, **runner)


def check_fuzz(counts: Counts) -> None:
    """Lets every fuzz target search from its corpus for a minute, and the generator's readers for many examples."""
    bake = next(bake for bake in BAKES if "fuzz" in bake.suites)
    folder = BUILD / bake.name
    if configure(bake, counts) is None:
        return
    for corpus in sorted((ROOT / "tests" / "fuzz" / "corpus").iterdir()):
        target = f"fuzz_{corpus.name}"
        found = folder / "found" / corpus.name  # what is new; an input that crashes lies beside it
        found.mkdir(parents=True, exist_ok=True)
        search = [folder / "tests" / "fuzz" / target, "-max_total_time=60", "-verbosity=0", f"-artifact_prefix={found}-"]
        ok = run(["meson", "compile", "-C", str(folder), target]) and run([*search, found, corpus])
        counts.add(ok, target)
    pytest(counts, "fuzz codegen", ["tests/codegen/test_fuzz.py"], STORYBAKE_FUZZ="5000")


def check_coverage(counts: Counts) -> None:
    """Prints how much of the runtime its tests and those of the command line reach, and of the generator its own."""
    bake = Bake("coverage", "", ("-Db_coverage=true", "-Doptimization=1"), suites=("runtime", "faults"))
    check_bake(bake, counts)
    # But for the limit of what a file may grow to, which libgcov's own files keep as well, and what is for other builds.
    speech = ["tests/storyteller", "--ignore=tests/storyteller/test_duo.py", "-k", "not may_not_grow and not leak_nothing"]
    pytest(counts, "coverage speech", speech, STORYBAKE_STORYTELLER=str(BUILD / bake.name / "storyteller"))
    # speech_stubs.cpp has what libraries want and never call.
    report = ["gcovr", "--root", str(ROOT), "--filter", "runtime/", "--filter", "storyteller/", "--exclude", ".*/speech_stubs.cpp", "--exclude-throw-branches"]
    report += ["--exclude-unreachable-branches", str(BUILD / bake.name)]
    counts.add(run(report, quiet=False) and run([*report, "--branches"], quiet=False), "coverage of the runtime")
    summary = BUILD / bake.name / "summary.json"
    run([*report, "--json-summary", str(summary)])
    check_figure(counts, "runtime's lines", json.loads(summary.read_text())["line_percent"])
    data = {"COVERAGE_FILE": str(BUILD / "coverage" / "generator"), "STORYBAKE_MODELS": str(MODELS)}
    coverage = ["/usr/bin/python3", "-m", "coverage"]
    tests = ["-m", "pytest", "-q", "tests/codegen"]
    # In the generator's own processes too, which Python starts with a look at sitecustomize.
    hook = BUILD / "coverage" / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    (hook / "settings").write_text(f"[run]\nbranch = true\nparallel = true\nsource = {ROOT}/codegen\n")
    own = {"COVERAGE_PROCESS_START": str(hook / "settings"), "PYTHONPATH": str(hook)}
    counts.add(run(["/usr/bin/python3", *tests], **data, **own), "tests for coverage of the generator")
    counts.add(run([*coverage, "combine", "--quiet", str(hook.parent)], **data), "coverage of the generator, combined")
    counts.add(run([*coverage, "report", "--show-missing"], quiet=False, **data), "coverage of the generator")
    summary = hook.parent / "summary.json"
    run([*coverage, "json", "-o", str(summary)], **data)
    check_figure(counts, "generator's", json.loads(summary.read_text())["totals"]["percent_covered"])


def check_figure(counts: Counts, of_what: str, measured: float) -> None:
    """What is measured is at least 95 %, and within 1 % of what README.md says."""
    stated = re.search(rf"(\d+) % of the {of_what}", (ROOT / "README.md").read_text())
    counts.add(
        measured >= 95 and stated is not None and abs(measured - int(stated[1])) <= 1,
        f"coverage of the {of_what}: {measured:.1f} %, README.md says {stated and stated[1]} %",
    )


def pytest(counts: Counts, name: str, arguments: list[str], **environment: str) -> None:
    """Runs pytest and counts its cases."""
    report = BUILD / "pytest.xml"
    report.unlink(missing_ok=True)
    BUILD.mkdir(exist_ok=True)
    ok = run(
        ["/usr/bin/python3", "-m", "pytest", "-q", f"--junitxml={report}", *arguments],
        STORYBAKE_MODELS=str(MODELS), PYTHONDONTWRITEBYTECODE="1", **environment,
    )  # fmt: skip
    before = counts.failed
    if report.exists():
        counts.add_junit(report, name)
    if not ok and counts.failed == before:
        counts.add(False, name)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/check", description="Runs every check of the project.")
    parser.add_argument("--no-skips", action="store_true", help="a skipped test that is not expected is a failure")
    parser.add_argument("--only", default="", metavar="NAMES", help="only these steps, separated by commas")
    parser.add_argument("--keep", action="store_true", help="use the build folders that are there")
    parser.add_argument("--fuzz", action="store_true", help="let every fuzz target search too, a minute each")
    parser.add_argument("--coverage", action="store_true", help="say which lines the tests reach too")
    options = parser.parse_args(argv)
    if not options.keep:
        shutil.rmtree(BUILD, ignore_errors=True)
    counts = Counts()
    steps = [("style", lambda: check_style(counts))]
    steps += [(bake.name, lambda bake=bake: check_bake(bake, counts)) for bake in BAKES]  # type: ignore[misc]
    steps += [("tidy", lambda: check_tidy(counts))]
    for folder in sorted({path.parent for path in (ROOT / "tests").glob("*/test_*.py")}):
        if folder.name not in ("cli", "faults"):  # which run on the programs above
            steps += [(folder.name, lambda folder=folder: pytest(counts, folder.name, [str(folder)], **STORYTELLERS))]  # type: ignore[misc]
    steps += [("fuzz", lambda: check_fuzz(counts))] if options.fuzz else []
    steps += [("coverage", lambda: check_coverage(counts))] if options.coverage else []
    for name, step in steps:
        if not options.only or name in options.only.split(","):
            start = time.monotonic()
            print(f"== {name} ", end="", flush=True)
            step()
            print(f"({time.monotonic() - start:.0f} s)", flush=True)
    print(*counts.notes, sep="\n")
    print(f"{counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return 1 if counts.failed or (options.no_skips and counts.unexpected) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
