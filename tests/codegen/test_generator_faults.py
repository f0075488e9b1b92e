"""The generator when its surroundings fail: disks that are full, processes that are killed, locales that lie."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import seeded  # noqa: E402
from locales import locale  # noqa: E402

SURROUNDINGS = {
    "plain C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "Turkish": {"TZ": "Europe/Istanbul"},
    "nowhere": {"HOME": "/no/such/folder", "TMPDIR": "/no/such/folder", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "0"},
}
# Ends the process, as SIGKILL does, where a finished file would take its name for the Nth time.
KILLED = """
import os, signal, sys
left = [int(sys.argv.pop(1))]
def replace(source, target, replace=os.replace):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(source, target)
os.replace = replace
from codegen.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded.write(tmp_path_factory.mktemp("model"), "odd_q8")


@pytest.fixture(scope="module")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A locale in which the small letter of I has no dot, and numbers have commas."""
    return locale("tr_TR", tmp_path_factory.mktemp("locales"))


def generate(
    command: str, model: Path, folder: Path, code: tuple[str, ...] = ("-m", "codegen"), file_size: int = 0, **env: str
) -> subprocess.CompletedProcess[str]:
    def limit() -> None:
        if file_size:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    arguments = [sys.executable, *code, command, str(model), "--output", str(folder)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | env
    if file_size:
        environment.pop("COVERAGE_PROCESS_START", None)  # which has a file of its own to write
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, preexec_fn=limit, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What each command writes, undisturbed."""
    written = {}
    for command in ("code", "data"):
        folder = tmp_path_factory.mktemp(command)
        assert generate(command, model, folder).returncode == 0
        written[command] = contents(folder)
    return written


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.parametrize("command", ["code", "data"])
def test_surroundings_change_no_byte(
    command: str, name: str, model: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path, turkish: dict[str, str]
) -> None:
    result = generate(command, model, tmp_path, **SURROUNDINGS[name], **(turkish if name == "Turkish" else {}))
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(tmp_path) == expected[command]


@pytest.mark.parametrize("command", ["code", "data"])
def test_a_full_disk_is_74_and_leaves_whole_files_only(
    command: str, model: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    result = generate(command, model, tmp_path, file_size=1000)
    assert result.returncode == 74
    assert result.stderr.count("\n") == 1 and "can't be written: File too large; check the folder and free space" in result.stderr
    assert contents(tmp_path).items() <= expected[command].items()
    assert generate(command, model, tmp_path).returncode == 0
    assert contents(tmp_path) == expected[command]


@pytest.mark.parametrize("command", ["code", "data"])
def test_a_folder_that_is_none_is_74(command: str, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    result = generate(command, model, tmp_path / "file")
    assert result.returncode == 74 and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize("file", [1, 2, 3])
@pytest.mark.parametrize("command", ["code", "data"])
def test_killed_half_way_the_next_run_repairs(
    command: str, file: int, model: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    result = generate(command, model, tmp_path, ("-c", KILLED, str(file)))
    assert result.returncode == -signal.SIGKILL
    left = contents(tmp_path)
    (part,) = (name for name in left if name.endswith(".part"))  # what it was about to rename
    del left[part]
    assert len(left) == file - 1 and left.items() <= expected[command].items()
    (tmp_path / part).unlink()
    assert generate(command, model, tmp_path).returncode == 0
    assert contents(tmp_path) == expected[command]
