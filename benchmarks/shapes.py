"""Builds programs of the field's shapes, of seeded weights, and notes what that took: the scale of a bake."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
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


def build(name: str, folder: Path) -> tuple[Path, Building]:
    """Writes the checkpoint of a recipe and builds it from nothing; the build folder. BenchError when that fails."""
    model = seeded.write(folder / "models", name)
    made = folder / name
    shutil.rmtree(made, ignore_errors=True)

    def run(*command: str) -> float:
        begin = time.monotonic()
        result = subprocess.run(
            command, cwd=ROOT, env=os.environ | {"CCACHE_DISABLE": "1"}, capture_output=True, check=False, text=True
        )
        if result.returncode != 0:
            why, exit_code = reason(result.stdout + result.stderr)
            raise BenchError(f"{' '.join(command)[:80]}: expected exit code 0, found {result.returncode}: {why}", exit_code)
        return time.monotonic() - begin

    run("meson", "setup", str(made), f"-Dmodel={model}", "-Dtests=enabled")
    generate_s = run("ninja", "-C", str(made), "generated/kernels.cpp", "weights.bin")
    compile_s = run("ninja", "-C", str(made), name)
    return made, Building(generate_s, compile_s, program_of(made).stat().st_size)
