"""Formatting, types, the golden sources, and clang-tidy."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checks.bakes import Bake
from checks.results import ROOT, Counts, run


def sources(*suffixes: str) -> list[Path]:
    """The checkout's files that end so, but for generated/."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True)
    return [ROOT / f for f in listed.stdout.split("\n") if f.endswith(suffixes) and not f.startswith("generated/")]


def check_style(counts: Counts) -> None:
    """The formatter in check mode, the type checker, and the golden sources."""
    counts.add(run(["clang-format", "--dry-run", "-Werror", *sources(".c", ".h", ".cpp", ".hpp")]), "clang-format")
    counts.add(run(["/usr/bin/mypy"]), "mypy")
    counts.add(run(["tools/regen", "--check"]), "golden sources")


def check_tidy(bake: Bake, counts: Counts) -> None:
    """clang-tidy on the runtime and the storyteller, a file a core at a time, with the compile commands of a build."""
    runtime = [file for file in sources(".cpp") if {ROOT / "runtime", ROOT / "storyteller"} & {*file.parents}]
    tidy: list[str | Path] = ["clang-tidy", "--quiet", "-p", bake.folder]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda file: run([*tidy, file]), runtime))
    counts.add(bool(results) and all(results), "clang-tidy")
