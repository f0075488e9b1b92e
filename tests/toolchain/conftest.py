"""Small RISC-V programs for the toolchain's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from riscv_tools import PROJECT, ROOT, need, run

# The flags of cross/*.ini, to build one file without Meson. test_cross_files.py tests the files themselves.
MARCH = {"duo": "rv64gc_xtheadvector", "rvv1": "rv64gcv", "c906sim": "rv64imafdv_zicsr_zifencei"}


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """build(source, target): a static program from a file of project/; built once a session."""
    folder = tmp_path_factory.mktemp("programs")

    def build_one(source: str, target: str) -> Path:
        need("gcc")
        program = folder / f"{target}-{Path(source).stem}"
        if not program.exists():
            flags = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-mabi=lp64d"]
            flags += [f"-march={MARCH[target]}", "-o", str(program)]
            result = run(ROOT / "tools/riscv64", "g++", *flags, PROJECT / source)
            assert result.returncode == 0, result.stderr
        return program

    return build_one
