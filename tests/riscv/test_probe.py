"""A program notices that a CPU lacks the vectors that it was made for, or has another version's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shapes import ROOT, SHAPES

from codegen.emit import emit
from codegen.plan import make_plan
from codegen.targets import find_target
from riscv_tools import need, run

MARCH = {"duo": "rv64gc_xtheadvector", "rvv1": "rv64gcv", "rvv1-vlen256": "rv64gcv"}
QEMU5 = str(ROOT / ".toolchain/qemu5/usr/bin/qemu-riscv64-static")
QEMU = next((str(q) for q in [ROOT / ".toolchain/qemu/usr/bin/qemu-riscv64"] if q.exists()), shutil.which("qemu-riscv64"))
CPUS = {
    "0.7.1": (QEMU5, "rv64,x-v=true,vext_spec=v0.7.1,vlen=128"),
    "1.0": (QEMU, "rv64,v=true,vext_spec=v1.0,vlen=128"),
    "1.0 of 256 bits": (QEMU, "rv64,v=true,vext_spec=v1.0,vlen=256"),
    "none": (QEMU, "rv64,v=false"),
}
FITTING = {"duo": "0.7.1", "rvv1": "1.0", "rvv1-vlen256": "1.0 of 256 bits"}


@pytest.mark.parametrize("target", sorted(MARCH))
def test_only_the_targets_own_vectors_will_do(target: str, tmp_path: Path) -> None:
    for part in ("gcc", "qemu5", "qemu"):
        need(part)
    emit(make_plan(SHAPES["stories260K"], find_target(target)), tmp_path)
    main = tmp_path / "main.cpp"
    main.write_text('#include "kernels.hpp"\nint main() { return storybake::baked::has_vectors() ? 0 : 69; }\n')
    built = run(ROOT / "tools/riscv64", "g++", "-std=c++20", "-O1", "-static", f"-march={MARCH[target]}", "-mabi=lp64d",
                f"-I{ROOT / 'runtime'}", main, tmp_path / "kernels.cpp", "-o", tmp_path / "probe")  # fmt: skip
    assert built.returncode == 0, built.stderr
    found = {name: run(emulator, "-cpu", cpu, tmp_path / "probe").returncode for name, (emulator, cpu) in CPUS.items()}
    assert found == {name: 0 if name == FITTING[target] else 69 for name in CPUS}
