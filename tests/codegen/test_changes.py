"""tools/regen MODEL --diff: the difference that an edit makes in the code of one model is the edit alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import seeded  # noqa: E402


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the generator alone, with one commit; and a model beside it."""
    root = tmp_path_factory.mktemp("repository") / "a b"
    for folder in ("codegen", "templates"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tools").mkdir()
    for name in ("regen", "help.sh"):
        shutil.copy(ROOT / "tools" / name, root / "tools")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first")
    seeded.write(root.parent, "odd_q8")
    return root


@pytest.fixture
def repository(committed: Path) -> Path:
    """The same, as it was committed."""
    git(committed, "checkout", "-q", "-f", "HEAD", "--", ".")
    git(committed, "clean", "-fdq")
    return committed


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True)


def diff(root: Path, *arguments: str, model: str = "odd_q8.bin", **more: str) -> subprocess.CompletedProcess[str]:
    """Called from the model's folder, not from the repository."""
    command = [root / "tools/regen", model, "--target", "portable", "--diff", *arguments]
    return subprocess.run(command, cwd=root.parent, env={**os.environ, **more}, text=True, capture_output=True)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r} any more: choose another line to edit"
    path.write_text(text.replace(old, new, 1))


def changed(text: str) -> list[str]:
    return [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def test_nothing_changed(repository: Path) -> None:
    ran = diff(repository)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "tools/regen: the code is what HEAD generates\n")


def test_an_edit_of_a_template_is_all_that_is_shown(repository: Path) -> None:
    path = repository / "templates/kernels.inc.jinja"
    path.write_text(path.read_text() + "// the end of ${ m.name }\n")
    ran = diff(repository)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert changed(ran.stdout) == ["+// the end of odd_q8"]
    assert ran.stdout.startswith("--- HEAD/kernels.inc\n+++ now/kernels.inc\n")


def test_an_edit_of_the_plan_and_of_a_target_is_shown(repository: Path) -> None:
    edit(repository / "codegen/plan.py", "ALIGN = 64", "ALIGN = 128")
    offsets = changed(diff(repository).stdout)
    assert offsets and all(any(letter.isdigit() for letter in line) for line in offsets)
    git(repository, "checkout", "-q", "--", ".")
    edit(repository / "codegen/targets.py", "about=\"C++ for any processor", "about=\"C++ for no processor")
    lines = changed(diff(repository).stdout)
    assert lines and all("for any processor" in line or "for no processor" in line for line in lines)
    other = changed(diff(repository, "--weights", "f32", "--kv", "f16", "--context", "8").stdout)
    assert len(other) == len(lines), "the same edit, of another bake"


def test_a_commit_of_one_s_own_choice(repository: Path) -> None:
    edit(repository / "codegen/targets.py", "about=\"C++ for any processor", "about=\"C++ for no processor")
    git(repository, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qam", "second")
    try:
        assert changed(diff(repository).stdout) == []
        assert "--- HEAD~1/" in diff(repository, "HEAD~1").stdout
    finally:
        git(repository, "reset", "-q", "--hard", "HEAD~1")


def test_what_can_not_be_compared(repository: Path, tmp_path: Path) -> None:
    """No commit of that name, no model, a generator that fails, no repository, no git: one line and a code each."""
    (repository.parent / "broken.bin").write_bytes(b"broken")
    (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    for ran, code, words in (
        (diff(repository, "v9"), 2, "v9: no such commit here: expected one"),
        (diff(repository, model="none.bin"), 66, "tools/regen: none.bin: no such file"),
        (diff(repository, model="broken.bin"), 65, "tools/regen: broken.bin: "),
        (diff(repository, "--target", "sse9"), 2, "found 'sse9'"),
        (diff(repository, PATH=str(tmp_path), GIT_EXEC_PATH=str(tmp_path)), 69, "git can't be started"),
    ):
        assert (ran.returncode, ran.stdout) == (code, "") and words in ran.stderr and ran.stderr.count("\n") == 1, ran.stderr
    edit(repository / "codegen/plan.py", "ALIGN = 64", "ALIGN =")
    ran = diff(repository)
    assert ran.returncode and "SyntaxError" in ran.stderr.splitlines()[-1]
    git(repository, "checkout", "-q", "--", ".")
    shutil.move(repository / ".git", tmp_path / "git")
    try:
        ran = diff(repository, GIT_CEILING_DIRECTORIES=str(repository.parent))
        assert ran.returncode == 69 and "no git repository here" in ran.stderr
    finally:
        shutil.move(tmp_path / "git", repository / ".git")


def test_the_walk_through_of_the_documentation_is_what_one_sees(repository: Path) -> None:
    """docs/hacking.md shows an edit of a kernel: its two lines are the edit, and what it shows is printed."""
    page = (ROOT / "docs/hacking.md").read_text(encoding="utf-8")
    shown = page.partition("    --- HEAD/kernels.cpp\n")[2].partition("\n\n")[0]
    (old,), (new,) = ([line[5:] for line in shown.splitlines() if line.startswith(f"    {sign} ")] for sign in "-+")
    edit(repository / "templates/kernels_portable.cpp.jinja", old + "\n", new + "\n")
    ran = diff(repository, model=str(ROOT / "models/tinytales_q8.bin"))
    seen, told = ("\n".join(lines_of(text)) for text in (ran.stdout, dedent(shown)))
    assert told in seen and {*changed(ran.stdout)} == {f"-{old}", f"+{new}"}


def lines_of(diff: str) -> list[str]:
    """The lines of a diff, but for what depends on the model: the numbers of lines, and the rows of tiles."""
    return [re.sub(r"\brows\d+", "rows", line.rstrip()) for line in diff.splitlines() if "@@ -" not in line]
