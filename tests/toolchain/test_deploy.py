"""tools/deploy with a board that is a folder: its ssh and scp are scripts in PATH."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SSH = '#!/bin/sh\ncd "$BOARD" && shift && exec sh -c "$*"\n'
SCP = '#!/bin/sh\nshift 2\nfor last; do :; done\n[ "$last" = me@board: ] || exit 1\nwhile [ $# -gt 1 ]; do cp "$1" "$BOARD"; shift; done\n'


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder whose program prints its arguments, a line each, and exits with 3."""
    folder = tmp_path / "build duo"
    (folder / "meson-info").mkdir(parents=True)
    program = folder / "tale"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\ncat tale.weights 2>/dev/null\nexit 3\n')
    program.chmod(0o755)
    targets = [{"name": n, "type": "executable", "filename": [str(folder / n)]} for n in ("tests/model_test", "tale")]
    (folder / "meson-info" / "intro-targets.json").write_text(json.dumps(targets))
    return folder


def deploy(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    board, tools = tmp_path / "board", tmp_path / "bin"
    for folder in (board, tools):
        folder.mkdir(exist_ok=True)
    for name, text in (("ssh", SSH), ("scp", SCP)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "BOARD": str(board)}
    return subprocess.run([ROOT / "tools/deploy", *arguments], env=environment, text=True, capture_output=True)


def test_the_program_runs_on_the_board_with_its_arguments(tmp_path: Path, build: Path) -> None:
    words = ["-i", "It's \"1\" $HOME", "-t", "0"]
    ran = deploy(tmp_path, "me@board", build, *words)
    assert (ran.returncode, ran.stdout.splitlines(), ran.stderr) == (3, words, "")
    assert (tmp_path / "board" / "tale").is_file()


def test_a_weights_file_goes_with_it(tmp_path: Path, build: Path) -> None:
    (build / "tale.weights").write_text("weights")
    assert deploy(tmp_path, "me@board", build).stdout.endswith("weights")


def test_a_board_that_is_not_there(tmp_path: Path, build: Path) -> None:
    ran = deploy(tmp_path, "me@elsewhere", build)
    assert ran.returncode == 69 and "could not copy tale to me@elsewhere" in ran.stderr


def test_usage_and_missing_builds(tmp_path: Path, build: Path) -> None:
    assert deploy(tmp_path, "me@board").returncode == 2
    assert deploy(tmp_path, "me@board", tmp_path).returncode == 66
    (build / "tale").unlink()
    assert deploy(tmp_path, "me@board", build).returncode == 66
