"""Every file in tools/ tells what it does, with an example, where nothing is installed; and under whichever shell."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from riscv_tools import ROOT, one_line, run

TOOLS = sorted(path.name for path in (ROOT / "tools").iterdir() if path.is_file() and os.access(path, os.X_OK))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with tools/ and what of tests/ and codegen/ it needs for this, and a folder bin/ with shells and Python alone."""
    folder = tmp_path_factory.mktemp("bare")
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/checks", folder / "tests/checks", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/golden", folder / "tests/golden")
    for module in ("at_hand.py", "check.py"):
        shutil.copy(ROOT / "tests" / module, folder / "tests")
    shutil.copy(ROOT / "tests/matrix.toml", folder / "tests")
    (folder / "codegen").mkdir()
    for module in ("__init__.py", "build_folder.py", "command.py", "errors.py"):
        shutil.copy(ROOT / "codegen" / module, folder / "codegen")
    (folder / "bin").mkdir()
    for program in ("sh", "bash", "env", "python3"):
        (folder / "bin" / program).symlink_to(f"/usr/bin/{program}")
    (folder / "no-packages").mkdir()
    return folder


def in_bare(bare: Path, *words: str) -> str:
    """What a command prints on standard output in the bare checkout; without NumPy and its like, where they may be hidden by a mount."""
    hidden: list[str | Path] = []
    if os.geteuid() == 0 and run("unshare", "--mount", "true").returncode == 0:
        script = 'mount --bind "$0" /usr/lib/python3/dist-packages && PATH=$1 && shift && exec "$@"'
        hidden = ["unshare", "--mount", "bash", "-c", script, bare / "no-packages", bare / "bin"]

    def files() -> list[Path]:
        return sorted(path for path in bare.rglob("*") if "__pycache__" not in path.parts)

    before = files()
    result = run(*hidden, *words, cwd=bare, env={"PATH": os.environ["PATH"] if hidden else str(bare / "bin")})
    assert (result.returncode, result.stderr) == (0, ""), (words, result)
    assert files() == before
    return result.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_help_says_what_and_how_with_nothing_installed(tool: str, bare: Path) -> None:
    told = in_bare(bare, f"tools/{tool}", "--help")
    assert len(told.splitlines()) >= 5 and f"tools/{tool}" in told
    assert re.search(r"[Ff]or example|example:", told)
    assert in_bare(bare, f"tools/{tool}", "-h") == told


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if "/help.sh" in (ROOT / "tools" / tool).read_text(errors="replace")])
def test_help_that_nobody_can_get_is_an_error(tool: str) -> None:
    """Standard output closed, alone or with others, and full: one line, once."""
    for closing in (">&-", "<&- >&- 2>&-", ">/dev/full"):
        done = run("sh", "-c", f'exec "$0" --help {closing}', ROOT / "tools" / tool)
        told = "" if "2>&-" in closing else f"{ROOT / 'tools' / tool}: standard output: writing failed\n"
        assert (done.returncode, done.stdout, done.stderr) == (74, "", told)
    assert run("sh", "-c", 'exec "$0" --help 2>&- <&-', ROOT / "tools" / tool).stdout == run(ROOT / "tools" / tool, "--help").stdout


def test_help_is_found_from_other_folders(bare: Path) -> None:
    told = in_bare(bare, "tools/story", "--help")
    assert told == in_bare(bare, str(bare / "tools/story"), "--help") == in_bare(bare, "sh", "-c", "cd tools; bash story -h")


@pytest.mark.parametrize("tool", TOOLS)
def test_every_option_is_told(tool: str) -> None:
    """What a tool's Python part knows as options stands in the comment that --help prints."""
    module = re.search(r"^[^#\n]*python3 -m (codegen explain|[\w.]+)", (ROOT / "tools" / tool).read_text(), re.MULTILINE)
    if module is None:
        return  # not a shell script before a Python program
    asked = run("/usr/bin/python3", "-m", *module[1].split(), "--help", cwd=ROOT)
    assert asked.returncode == 0, asked
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", asked.stdout)) - {"--help"}
    told = run(ROOT / "tools" / tool, "--help").stdout
    assert options <= set(re.findall(r"--[a-z][a-z-]+", told))


@pytest.mark.parametrize("tool", TOOLS)
def test_the_wrong_shell_hands_over_to_the_right_one(tool: str, bare: Path) -> None:
    """Also to Python, whose import a shell would take for a program of ImageMagick's."""
    told = in_bare(bare, f"tools/{tool}", "--help")
    for shell in ("sh", "bash"):
        assert in_bare(bare, shell, f"tools/{tool}", "--help") == told


@pytest.mark.parametrize("tool", TOOLS)
def test_a_link_leads_to_the_tool(tool: str, tmp_path: Path) -> None:
    """From a folder of a person's own in PATH: a link, also to a link, with a space in its name."""
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / tool).symlink_to(ROOT / "tools" / tool)
    (tmp_path / "my own").symlink_to(f"a b/{tool}")
    told = run(ROOT / "tools" / tool, "--help")
    for words in ((tmp_path / "a b" / tool,), (tmp_path / "my own",), ("sh", tmp_path / "my own")):
        linked = run(*words, "--help", cwd=tmp_path)
        assert (linked.returncode, linked.stderr, linked.stdout) == (0, "", told.stdout), linked


def test_what_a_shell_says_of_a_wrong_word(bare: Path) -> None:
    assert "unknown subset" in one_line(run("sh", bare / "tools/setup", "everything"), 2)
