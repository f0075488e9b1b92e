"""Shows what an edit of the generator changes in the code of one model: `tools/regen MODEL --target T --diff`.

The code is generated twice for the same model and target, by the generator as a commit has it and as it is now, so
that the difference is the edit's alone.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from codegen.errors import BAD_DATA, IO, UNAVAILABLE, USAGE, BakeError

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = ("codegen", "templates")  # hold all that code is generated with


def check_out(commit: str, folder: Path) -> None:
    """Puts the generator as a commit has it into a folder; BakeError when there is no such commit, or no git."""
    try:
        named = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"], capture_output=True, check=False
        )
        if named.returncode:
            # Says nothing of a commit that is not there, but much of a repository that another user owns.
            said = named.stderr.decode(errors="replace").strip().splitlines()
            here = said[0].removeprefix("fatal: ") if said else "no such commit here"
            here = here if (ROOT / ".git").exists() else "no git repository here"
            raise BakeError(
                f"{commit}: {here}: expected one to compare with, such as HEAD or HEAD~3; see: git log --oneline",
                UNAVAILABLE if said else USAGE,
            )
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", named.stdout.decode().strip(), *GENERATOR], capture_output=True, check=False
        )
    except OSError as error:
        raise BakeError(f"git can't be started: {error.strerror}; install it to compare with a commit", UNAVAILABLE) from error
    if archive.returncode:
        raise BakeError(f"{commit}: its generator can't be read: {archive.stderr.decode().strip()}", UNAVAILABLE)
    folder.mkdir(parents=True)
    unpacked = subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, capture_output=True, check=False)
    if unpacked.returncode:
        raise BakeError(f"{folder}: can't be written: {unpacked.stderr.decode().strip().splitlines()[0]}", IO)


def generate(generator: Path, arguments: Sequence[str], output: Path, whose: str = "") -> None:
    """Runs the generator of a folder as the build does; BakeError with its message, after `whose` it is, when it refuses."""
    environment = {**os.environ, "PYTHONPATH": str(generator), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "codegen", "code", *arguments, "--output", str(output)],
        env=environment, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if ran.returncode:
        last = ran.stderr.strip().rpartition("\n")[2].removeprefix("storybake: ")
        raise BakeError(f"{whose}{last or 'the generator failed'}", ran.returncode if ran.returncode > 1 else BAD_DATA)


def changes(arguments: Sequence[str], commit: str) -> Iterator[str]:
    """Yields a unified diff for each file whose text the working tree's generator changes against a commit's. `arguments` are
    those of `python3 -m codegen code`: the model and the options of its bake."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        check_out(commit, place / "generator")
        generate(ROOT, arguments, place / "now")
        generate(place / "generator", arguments, place / "then", f"the generator of {commit}: ")
        for name in sorted({path.name for side in ("then", "now") for path in (place / side).iterdir()}):
            then, now = (_lines(place / side / name) for side in ("then", "now"))
            if then != now:
                yield "".join(difflib.unified_diff(then, now, f"{commit}/{name}", f"now/{name}"))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(True) if path.is_file() else []
