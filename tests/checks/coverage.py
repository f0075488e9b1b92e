"""Which lines and branches of the runtime and of the generator the tests reach."""

from __future__ import annotations

import json
import re

from checks.bakes import Bake, check_bake
from checks.results import ROOT, Counts, pytest, run

BAKE = Bake("coverage", options=("-Db_coverage=true", "-Doptimization=1"), suites=("runtime", "faults"), whole=True)


def check_coverage(counts: Counts) -> None:
    """Prints how much of the runtime its tests and those of the command line reach, and of the generator its own."""
    check_bake(BAKE, counts)
    # But for the limit of what a file may grow to, which libgcov's own files keep as well, and what is for other builds.
    speech = ["tests/storyteller", "--ignore=tests/storyteller/test_duo.py", "-k", "not may_not_grow and not leak_nothing"]
    pytest(counts, "coverage speech", speech, STORYBAKE_STORYTELLER=str(BAKE.folder / "storyteller"))
    # speech_stubs.cpp has what libraries want and never call.
    report = ["gcovr", "--root", str(ROOT), "--filter", "runtime/", "--filter", "storyteller/"]
    report += ["--exclude", ".*/speech_stubs.cpp", "--exclude-throw-branches", "--exclude-unreachable-branches", str(BAKE.folder)]
    counts.add(run(report, quiet=False) and run([*report, "--branches"], quiet=False), "coverage of the runtime")
    summary = BAKE.folder / "summary.json"
    run([*report, "--json-summary", str(summary)])
    check_figure(counts, "runtime's lines", json.loads(summary.read_text())["line_percent"])
    data = {"COVERAGE_FILE": str(BAKE.folder / "generator")}
    coverage = ["/usr/bin/python3", "-m", "coverage"]
    tests = ["-m", "pytest", "-q", "tests/codegen"]
    # In the generator's own processes too, which Python starts with a look at sitecustomize.
    hook = BAKE.folder / "hook"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
    (hook / "settings").write_text(f"[run]\nbranch = true\nparallel = true\nsource = {ROOT}/codegen\n")
    own = {"COVERAGE_PROCESS_START": str(hook / "settings"), "PYTHONPATH": str(hook)}
    counts.add(run(["/usr/bin/python3", *tests], **data, **own), "tests for coverage of the generator")
    counts.add(run([*coverage, "combine", "--quiet", str(hook.parent)], **data), "coverage of the generator, combined")
    counts.add(run([*coverage, "report", "--show-missing"], quiet=False, **data), "coverage of the generator")
    summary = hook.parent / "generator.json"
    run([*coverage, "json", "-o", str(summary)], **data)
    check_figure(counts, "generator's", json.loads(summary.read_text())["totals"]["percent_covered"])


def check_figure(counts: Counts, of_what: str, measured: float) -> None:
    """What is measured is at least 95 %, and within 1 % of what README.md says."""
    stated = re.search(rf"(\d+) % of the {re.escape(of_what)}", (ROOT / "README.md").read_text())
    counts.add(
        measured >= 95 and stated is not None and abs(measured - int(stated[1])) <= 1,
        f"coverage of the {of_what}: {measured:.1f} %, README.md says {stated and stated[1]} %",
    )
