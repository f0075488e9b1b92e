"""What GCC and the assembler make of the RISC-V kernels: the rules of docs/riscv.md, each on emitted object code.

Models of several shapes, by their headers alone, are generated, compiled as a release build does, and disassembled; in
the tests of a build for the Duo it is the finished program, STORYBAKE_DUO_PROGRAM.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest
from shapes import ROOT, SHAPES

from codegen.emit import emit
from codegen.model import Model
from codegen.plan import make_plan
from codegen.targets import find_target
from riscv_tools import need, run

MARCH = {
    "duo": ["-march=rv64gc_xtheadvector", "-mtune=thead-c906"],
    "c906sim": ["-march=rv64imafdv_zicsr_zifencei", "-mtune=thead-c906", "-mstringop-strategy=scalar"],
}
PROGRAM = os.environ.get("STORYBAKE_DUO_PROGRAM", "")
VECTOR = re.compile(r"(th\.)?v[a-z0-9]+(\.[a-z]+)*$")

Instruction = tuple[str, str]  # mnemonic, operands


def compile_kernels(model: Model, target: str, folder: Path) -> Path:
    """kernels.o of a model for a target, with a release build's options."""
    need("gcc")
    plan = make_plan(model, find_target(target))
    emit(plan, folder)
    options = "-std=c++20 -O3 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -mabi=lp64d".split()
    folders = [f"-I{ROOT / 'runtime'}", f"-I{folder}"]
    built = run(ROOT / "tools/riscv64", "g++", *options, *MARCH[target], *plan.target.cpp_args, *folders,
                "-c", folder / "kernels.cpp", "-o", folder / "kernels.o")  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder / "kernels.o"


@functools.cache
def functions(kernels: Path) -> dict[str, list[Instruction]]:
    """The instructions of every function of an object file."""
    text = subprocess.run(
        [ROOT / "tools/riscv64", "objdump", "-d", "--no-show-raw-insn", kernels],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found: dict[str, list[Instruction]] = {}
    name = ""
    for line in text.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = header[1] if not header[1].startswith(".L") else name
            found.setdefault(name, [])
        elif instruction := re.match(r"\s+[0-9a-f]+:\s+(\S+)\s*(\S*)", line):
            found[name].append((instruction[1], instruction[2]))
    return found


@pytest.fixture(scope="module", params=[PROGRAM] if PROGRAM else sorted(SHAPES))
def duo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kernels.o of one of the shapes for the Duo, or the program that a build has made."""
    if PROGRAM:
        return Path(PROGRAM)
    return compile_kernels(SHAPES[request.param], "duo", tmp_path_factory.mktemp(request.param))


def test_there_are_vectors_and_their_lengths_are_vlmax(duo: Path) -> None:
    """A shorter vl writes out of bounds with GCC 14's "vsetvli zero, zero", and tails are zeroed on RVV 0.7.1."""
    settings = 0
    for name, code in functions(duo).items():
        for at, (mnemonic, operands) in enumerate(code):
            if "vset" not in mnemonic:
                continue
            settings += 1
            assert mnemonic == "th.vsetvli", (name, mnemonic)
            to, length, sew, lmul, *_ = operands.split(",")
            if length == "zero":
                assert to != "zero", f"{name}: vsetvli zero, zero keeps no vl here, it makes it VLMAX"
                continue
            # vl from a register: it has to hold VLMAX of as many elements
            writer = next(i for i in reversed(code[:at]) if i[1].split(",")[0] == length and i[0][0] not in "bs")
            assert writer[0] == "th.vsetvli" and writer[1].split(",")[1] == "zero", (name, writer, operands)
            _, _, its_sew, its_lmul, *_ = writer[1].split(",")
            assert int(lmul[1:]) * int(its_sew[1:]) == int(its_lmul[1:]) * int(sew[1:]), (name, writer, operands)
    assert settings > 10


def test_no_vector_is_spilled(duo: Path) -> None:
    """GCC's spill code reads vlenb, a register that traps on the C906."""
    for name, code in functions(duo).items():
        # Of a finished program, libgcc reads it to unwind exceptions, which there are none of.
        if "storybake" in name or not PROGRAM:
            assert not [operands for _, operands in code if "vlenb" in operands], name


def test_no_element_is_64_bits_wide(duo: Path) -> None:
    """The C906 traps; QEMU does not."""
    for name, code in functions(duo).items():
        assert not [i for i in code if "vset" in i[0] and "e64" in i[1]], name


def test_nothing_is_outside_the_march(duo: Path) -> None:
    attributes = subprocess.run(["readelf", "-A", duo], capture_output=True, text=True, check=True).stdout
    architecture = re.search(r'Tag_RISCV_arch: "([^"]*)"', attributes)
    assert architecture
    extensions = {re.sub(r"\d+p\d+$", "", e) for e in architecture[1].split("_")}
    known = {"rv64i", "m", "a", "f", "d", "c", "zicsr", "zifencei", "zmmul", "zaamo", "zalrsc", "zca", "zcd"}
    assert extensions <= known | {"xtheadvector"}, extensions
    for name, code in functions(duo).items():
        for mnemonic, operands in code:
            assert not mnemonic.startswith("."), f"{name}: the disassembler doesn't know {mnemonic} {operands}"
            assert mnemonic.startswith("th.v") or not mnemonic.startswith(("th.", "v")), (name, mnemonic)


@pytest.mark.parametrize("shape", ["stories15M_q8", "stories15M_q4", "stories15M_f16", "kv_f16", "stories260K"])
def test_the_simulators_twin_computes_with_the_same_instructions(shape: str, tmp_path: Path) -> None:
    """It would time something else if the compiler vectorised more for RVV 1.0, or spilled. (Loads and moves aside.)"""

    def arithmetic(target: str) -> dict[str, int]:
        (tmp_path / target).mkdir()
        counts: dict[str, int] = {}
        for code in functions(compile_kernels(SHAPES[shape], target, tmp_path / target)).values():
            for mnemonic, operands in code:
                name = mnemonic.removeprefix("th.")
                assert "vlenb" not in operands and not ("vset" in name and "e64" in operands), (mnemonic, operands)
                if VECTOR.fullmatch(mnemonic) and not name.startswith(("vset", "vmv", "vl", "vs1", "vs2", "vs4", "vse", "vsseg")):
                    name = name.replace("vnsra.wi", "vnsra.vi").replace("vsrl.vi", "vsrl.vx")
                    counts[name] = counts.get(name, 0) + 1
        return counts

    assert arithmetic("duo") == arithmetic("c906sim")
