"""Which conditions of what reads strangers' bytes the tests show to decide (MC/DC), as GCC 14 counts them.

Each condition of a decision counts twice: once for an evaluation in which it made the decision true, once false, whatever the
others were. What was not shown is printed with its line.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from checks.bakes import Bake, check_bake
from checks.coverage import check_figure
from checks.results import BUILD, ROOT, Counts, pytest

READERS = (
    *(f"runtime/{name}.cpp" for name in ("byte_level_bpe", "chat_format", "files", "llama_bpe", "nfc", "option_table", "options")),
    *(f"runtime/{name}" for name in ("merge_pairs.hpp", "tokenizer.cpp", "utf8.hpp", "weights.cpp", "words.cpp")),
    *(f"storyteller/{name}.cpp" for name in ("rules", "wav")),
)
# Without optimisation, wherever a target asks for some: a condition that the compiler has folded away is not counted.
BAKE = Bake(
    "conditions", model="seeded260K", suites=("runtime", "faults"), options=("-Db_coverage=true", "-Dcpp_args=-fcondition-coverage -O0")
)

# The tests of the guard that read its list, and need no storyteller.
LISTS = tuple(f"tests/storyteller/test_guard.py::{name}" for name in (
    "test_what_is_no_list_is_refused", "test_a_list_beside_the_model_is_baked_in_place_of_the_default",
))  # fmt: skip

# What a line of a file lacks: (file, line, function, how many conditions each decision has) to what each lacks: pairs of a
# condition and the value that it was not shown to decide.
Missing = dict[tuple[str, int, str, tuple[int, ...]], list[set[tuple[int, bool]]]]


def plain(function: str) -> str:
    """A function's name without what its template was made with, and without the types of what it takes: its copies are one."""
    while (shorter := re.sub(r"<[^<>()]*>|\([^<>()]*\)", "", function)) != function:
        function = shorter
    return function


def add_report(missing: Missing, report: dict[str, Any], root: Path = ROOT) -> None:
    """Adds what gcov says of one object, in JSON. A condition that any copy of a function shows is shown."""
    folder = Path(report["current_working_directory"])
    for file in report["files"]:
        path = (folder / file["file"]).resolve()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        if name not in READERS:
            continue
        functions = {function["name"]: plain(function["demangled_name"]) for function in file["functions"]}
        for line in file["lines"]:
            if not (decisions := line.get("conditions")):
                continue
            key = (name, line["line_number"], functions.get(line.get("function_name"), ""), tuple(one["count"] // 2 for one in decisions))
            lacks = [
                {(i, True) for i in one["not_covered_true"]} | {(i, False) for i in one["not_covered_false"]} for one in decisions
            ]
            known = missing.setdefault(key, lacks)
            missing[key] = [before & now for before, now in zip(known, lacks)]


def reports(folder: Path) -> Iterable[dict[str, Any]]:
    """What gcov says of each object in a build folder that was run: the tests' too, which have copies of what headers define."""
    for data in sorted(folder.rglob("*.gcda")):
        command = ["gcov", "--json-format", "--conditions", "--stdout", str(data)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        yield from map(json.loads, done.stdout.splitlines())


def told(missing: Missing) -> tuple[list[str], float]:
    """A line for each file, one for each condition that was not shown to decide, and the share of those that were, in %."""
    lines = []
    shown = total = 0
    for file in READERS:
        rows = sorted((key, lacks) for key, lacks in missing.items() if key[0] == file)
        count = sum(2 * sum(key[3]) for key, _ in rows)
        lacking = sum(len(lack) for _, lacks in rows for lack in lacks)
        lines.append(f"{file}: {count - lacking} of {count}")
        for (_, line, _, _), lacks in rows:
            for i, value in sorted(pair for lack in lacks for pair in lack):
                lines.append(f"   line {line}: condition {i + 1} was not shown to make it {str(value).lower()}")
        shown, total = shown + count - lacking, total + count
    return lines, 100 * shown / total if total else 0.0


def check_python(counts: Counts) -> None:
    """The same of the generator's readers, by a plugin of pytest: at least as many as README.md says."""
    found = BUILD / "python-conditions.txt"
    found.unlink(missing_ok=True)
    tests = ["-p", "checks.python_conditions", "tests/codegen", "tests/storyteller/test_wishes.py", *LISTS]
    pytest(counts, "conditions codegen", tests, PYTHONPATH="tests", STORYBAKE_CONDITIONS=str(found))
    text = found.read_text(encoding="utf-8") if found.exists() else "0 of 1"
    print(text, flush=True)
    shown, _, total = text.splitlines()[-1].partition(" of ")
    stated = re.search(r"(\d+) % in Python", (ROOT / "README.md").read_text(encoding="utf-8"))
    measured = 100 * int(shown) / int(total)
    counts.add(stated is not None and measured >= int(stated[1]) - 1, f"conditions in Python: {measured:.1f} %, fewer than README.md says")


def check_conditions(counts: Counts) -> None:
    """Prints which conditions of the readers decide in a test, and compares with the figures of README.md."""
    check_python(counts)
    version = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.partition(".")[0]) < 14:
        counts.add_skip(f"conditions: g++ {version} does not count them: expected 14 or newer (Debian 13)")
        return
    for stale in BAKE.folder.rglob("*.gcda"):
        stale.unlink()
    check_bake(BAKE, counts)
    missing: Missing = {}
    for report in reports(BAKE.folder):
        add_report(missing, report)
    lines, share = told(missing)
    print(*lines, sep="\n", flush=True)
    check_figure(counts, "readers' conditions", share)
