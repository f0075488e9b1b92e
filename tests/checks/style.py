"""Formatting, types, the golden sources, and clang-tidy."""

from __future__ import annotations

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checks.bakes import Bake, configure, model_of
from checks.results import ROOT, Counts, run

# The versions that are asked: another one's verdict says nothing about a change. Debian 12's, then Debian 13's.
NAMED = {"autopep8": ("2.0", "2.3"), "clang-format": ("14",), "clang-tidy": ("14",), "flake8": ("5", "7"), "mypy": ("1.0", "1.15")}


def sources(*suffixes: str) -> list[Path]:
    """The checkout's files that end so, but for generated/."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True, capture_output=True)
    return [ROOT / f for f in listed.stdout.split("\n") if f.endswith(suffixes) and not f.startswith("generated/")]


def check_style(counts: Counts) -> None:
    """The formatters in check mode, the linter, the type checker, and the golden sources."""
    python = [*sources(".py"), *(tool for tool in sorted((ROOT / "tools").iterdir()) if is_python(tool))]
    if named("clang-format", counts):
        counts.add(run(["clang-format", "--dry-run", "-Werror", *sources(".c", ".h", ".cpp", ".hpp")]), "clang-format")
    if named("autopep8", counts):
        counts.add(run(["/usr/bin/autopep8", "--diff", "--exit-code", *python]), "autopep8")
    if named("flake8", counts):
        counts.add(run(["/usr/bin/flake8", *python]), "flake8")
    if named("mypy", counts):
        counts.add(run(["/usr/bin/mypy"]), "mypy")
    counts.add(run(["tools/regen", "--check"]), "golden sources")


def is_python(tool: Path) -> bool:
    """Whether a file without a suffix is a Python program."""
    return tool.is_file() and tool.read_bytes().startswith(b"#!/usr/bin/python3")


def named(tool: str, counts: Counts) -> bool:
    """Whether a tool whose verdict differs from version to version is one of those it is asked of; if not, that is counted."""
    told = subprocess.run([tool, "--version"], text=True, capture_output=True).stdout
    found = re.search(r"(?<!\w)\d+(\.\d+)*", told)  # not the 8 of autopep8
    version = found[0] if found else "none"
    if any(f"{version}.".startswith(f"{one}.") for one in NAMED[tool]):
        return True
    counts.add_skip(f"style: {tool} {version} is not one that is asked: {', '.join(NAMED[tool])}")
    return False


def check_tidy(bake: Bake, counts: Counts) -> None:
    """clang-tidy on the runtime and the storyteller, a file a core at a time, with the compile commands of a build, which is set up
    where it is not."""
    if not named("clang-tidy", counts) or not configure(bake, model_of(bake), counts):
        return
    commands = json.loads((bake.folder / "compile_commands.json").read_text(encoding="utf-8"))
    compiled = {(bake.folder / command["file"]).resolve() for command in commands}
    runtime = [file for file in sources(".cpp") if {ROOT / "runtime", ROOT / "storyteller"} & {*file.parents}]
    if missing := sorted(set(runtime) - compiled):
        what = f"{missing[0].relative_to(ROOT)} and {len(missing) - 1} more are no part of {bake.folder.relative_to(ROOT)}"
        counts.add(False, f"clang-tidy: {what}: run tools/setup check, delete that folder, and try again")
        return
    tidy: list[str | Path] = ["clang-tidy", "--quiet", "-p", bake.folder]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda file: run([*tidy, file]), runtime))
    counts.add(bool(results) and all(results), "clang-tidy")
