"""`tools/train` where PyTorch is missing, and what it prints without."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def train(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "tools" / "train", *arguments], capture_output=True, text=True,
                          env=os.environ | environment)  # fmt: skip


def test_without_pytorch_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text('raise ModuleNotFoundError("No module named torch", name="torch")\n')
    command = ["/usr/bin/python3", "-m", "models.trainer", "--work", str(tmp_path / "work")]
    paths = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=paths, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr == "tools/train: PyTorch is not installed for /usr/bin/python3: run tools/setup train\n"


def test_stories_are_printed() -> None:
    told = train("--print", "3").stdout
    assert told == train("--print", "3").stdout and told.count("\n\n") == 3
    held_out = train("--print-held-out", "3").stdout
    assert held_out.count("\n\n") == 3 and not set(held_out.split("\n\n")[:-1]) & set(told.split("\n\n")[:-1])


def test_usage() -> None:
    done = train("--print", "3", "--export")
    assert done.returncode == 2 and "not allowed with" in done.stderr
    done = train("--keep", "0.5")
    assert done.returncode == 2 and done.stderr.endswith("--keep: without --from there is nothing that a run began with\n")


@pytest.mark.parametrize(
    "arguments",
    [("--steps", "0"), ("--batch", "-8"), ("--threads", "two"), ("--peak", "nan"), ("--peak", "0"), ("--sweep", "x"), ("--sweep", "2e-3,"),
     ("--tokens", "inf"), ("--layers", "0"), ("--print", "-1"), ("--decay", "1.5"), ("--weight-decay", "-1"), ("--keep", "1.5"),
     ("--sharpness", "0")],
)  # fmt: skip
def test_a_number_that_is_none_is_refused_before_anything_begins(arguments: tuple[str, str], tmp_path: Path) -> None:
    done = train(*arguments, "--work", str(tmp_path / "work"))
    error = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (2, "") and "expected" in error and arguments[0] in error, done
    assert not (tmp_path / "work").exists()
