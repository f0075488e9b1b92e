"""`tools/train` where PyTorch is missing, and what it prints without."""

import os
import subprocess
from pathlib import Path

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
