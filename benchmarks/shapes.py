"""Builds programs of the field's shapes, of seeded weights, and notes what that took: the scale of a bake."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchError, program_of
from codegen.errors import reason
from tests import seeded

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Building:
    """Holds the seconds to generate the code and to pack the weights, then to compile and link; bytes of the program."""

    generate_s: float
    compile_s: float
    program_bytes: int


def is_shape(name: str) -> bool:
    """Tells whether tests/seeded.py has a recipe of that name."""
    return name in seeded.RECIPES


def run(*command: str | Path, env: Mapping[str, str] | None = None) -> None:
    """Runs a step of building. BenchError, with the line that says why, when it fails."""
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False, text=True)
    if result.returncode != 0:
        why, exit_code = reason(result.stdout + result.stderr)
        raise BenchError(f"{' '.join(map(str, command))[:80]}: expected exit code 0, found {result.returncode}: {why}", exit_code)


def build(name: str, folder: Path) -> tuple[Path, Building]:
    """Writes the checkpoint of a recipe and builds it from nothing; the build folder. BenchError when that fails."""
    model = seeded.write(folder / "models", name)
    made = folder / name
    shutil.rmtree(made, ignore_errors=True)

    def seconds(*command: str) -> float:
        begin = time.monotonic()
        run(*command, env=os.environ | {"CCACHE_DISABLE": "1"})
        return time.monotonic() - begin

    seconds("meson", "setup", str(made), f"-Dmodel={model}", "-Dtests=enabled")
    generate_s = seconds("ninja", "-C", str(made), "generated/kernels.cpp", "weights.bin")
    compile_s = seconds("ninja", "-C", str(made), name)
    return made, Building(generate_s, compile_s, program_of(made).stat().st_size)
