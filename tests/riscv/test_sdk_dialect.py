"""The kernels for the compiler of Milk-V's SDK, which can't be had here: its intrinsics are declared in sdk/, and GCC 10
for riscv64 says whether the C++ is within that compiler's reach.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from shapes import ROOT, SHAPES

from codegen.emit import emit
from codegen.plan import make_plan
from codegen.targets import find_target
from riscv_tools import need, run


def check(shape: str, target: str, source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Has GCC 10 read a generated source file for a target, with the SDK's intrinsics declared."""
    need("gcc10")
    emit(make_plan(SHAPES[shape], find_target(target)), folder)
    folders = [f"-I{ROOT / 'tests/riscv/sdk'}", f"-I{ROOT / 'runtime'}", f"-I{folder}"]
    return run(ROOT / "tools/riscv64", "g++-10", "-std=c++20", "-O3", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
               *folders, folder / source)  # fmt: skip


@pytest.mark.parametrize("source", ["kernels.cpp", "forward.cpp"])
@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_names_arguments_and_types_are_the_sdks(shape: str, source: str, tmp_path: Path) -> None:
    read = check(shape, "duo-sdk", source, tmp_path)
    assert (read.returncode, read.stderr) == (0, ""), read.stderr


def test_the_check_refuses_another_dialect(tmp_path: Path) -> None:
    read = check("stories260K", "duo", "kernels.cpp", tmp_path)
    assert read.returncode != 0 and "__riscv_vle32_v_f32m4" in read.stderr


def test_only_the_spelling_differs_from_the_duos(tmp_path: Path) -> None:
    texts = {}
    for target in ("duo", "duo-sdk"):
        emit(make_plan(SHAPES["stories15M_q8"], find_target(target)), tmp_path / target)
        text = (tmp_path / target / "kernels.cpp").read_text()
        texts[target] = text[text.index("#include") :].replace("__riscv_", "").replace(" th.", " ").replace('"th.', '"')
    assert texts["duo"] == texts["duo-sdk"]


@pytest.mark.parametrize("source", sorted(path.name for path in (ROOT / "runtime").glob("*.cpp")))
def test_the_runtime_is_within_reach_of_gcc_10(source: str) -> None:
    need("gcc10")
    read = run(ROOT / "tools/riscv64", "g++-10", "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
               "-fno-exceptions", '-DSTORYBAKE_VERSION="0"', ROOT / "runtime" / source)  # fmt: skip
    assert (read.returncode, read.stderr) == (0, ""), read.stderr
