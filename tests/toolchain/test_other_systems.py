"""Systems that are not Linux, as far as they can be tried here: the code asks for features, not for systems."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from riscv_tools import ROOT, environment, run

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import seeded  # noqa: E402

# What macOS's headers lack, or have in place of it.
HEADERS = {
    "sched.h": "#include_next <sched.h>\n#undef CPU_SETSIZE\n#undef CPU_ZERO\n#undef CPU_COUNT\n",
    "sys/mman.h": "#include_next <sys/mman.h>\n#undef MADV_HUGEPAGE\n#undef MADV_POPULATE_READ\n#undef MADV_POPULATE_WRITE\n",
    "sys/auxv.h": "",
    "sys/sysctl.h": "#include <cstddef>\nint sysctlbyname(const char*, void*, std::size_t*, void*, std::size_t);\n",
    "mach-o/dyld.h": "#include <cstdint>\nint _NSGetExecutablePath(char*, std::uint32_t*);\n",
}
CHECK = ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-fopenmp"]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of headers that come before the system's, and hide what only Linux has."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name, text in HEADERS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"#pragma once\n{text}")
    (folder / "arm.cpp").write_text('#include "arm.hpp"\nbool known() { return storybake::arm_has_asimddp(); }\n')
    return folder


@pytest.mark.parametrize("source", ["engine.cpp", "weights.cpp", "files.cpp", "arm.cpp"])
def test_the_runtime_compiles_without_linuxs_features(elsewhere: Path, source: str) -> None:
    path = ROOT / "runtime" / source if (ROOT / "runtime" / source).exists() else elsewhere / source
    result = run(*CHECK, "-I", elsewhere, "-I", ROOT / "runtime", path)
    assert result.returncode == 0, result.stderr
    # A header that hides nothing would prove nothing.
    hidden = run(*CHECK, "-I", elsewhere, "-include", "sched.h", "-x", "c++", "-", input="cpu_set_t a; int n = CPU_COUNT(&a);\n")
    assert "CPU_COUNT" in hidden.stderr


def packed_data(folder: Path) -> str:
    """The C++ file that carries a small model, made in a folder with the files that it carries."""
    model = seeded.write(folder, "one")
    codegen = ["/usr/bin/python3", "-m", "codegen"]
    variables = environment(PYTHONPATH=str(ROOT))
    facts = run(*codegen, "facts", model, "--target", "portable", "--save", folder / "bake.json", env=variables)
    assert facts.returncode == 0, facts.stderr
    assert run(*codegen, "data", "--bake", folder / "bake.json", "--output", folder, env=variables).returncode == 0
    return (folder / "packed_data.cpp").read_text()


@pytest.mark.parametrize(
    ("system", "magic", "macro"), [("arm64-apple-macos11", "cffaedfe", "__MACH__"), ("aarch64-linux-gnu", "7f454c46", "__ELF__")]
)
def test_weights_are_carried_in_mach_o_as_in_elf(tmp_path: Path, system: str, magic: str, macro: str) -> None:
    """There are no headers of macOS's here: what stands before the first namespace needs none but for std::byte."""
    if not shutil.which("clang++"):
        pytest.skip("clang++ is not here; run: tools/setup check")
    text = packed_data(tmp_path)
    head = text[: text.index("namespace storybake {")].replace('#include "model.hpp"', "")
    assert re.findall(r"^extern const std::byte (\w+)\[", head, re.MULTILINE) == ["storybake_weights", "storybake_tokenizer"]
    (tmp_path / "head.cpp").write_text(
        f"#ifndef {macro}\n#error another system\n#endif\nnamespace std {{ enum class byte : unsigned char {{}}; }}\n{head}"
        "int main() { return (int)storybake_weights[0] + (int)storybake_tokenizer[0]; }\n"
    )
    flags = [f"--target={system}", "-std=c++20", "-nostdinc++", "-Wall", "-Wextra", "-Werror"]
    compiled = run("clang++", *flags, "-c", "head.cpp", cwd=tmp_path)
    assert compiled.returncode == 0, compiled.stderr
    made = (tmp_path / "head.o").read_bytes()
    assert made[:4].hex() == magic
    assert (tmp_path / "weights.bin").read_bytes() in made and (tmp_path / "tokenizer.baked").read_bytes() in made
    assert b"\0storybake_weights\0" in made, "the assembler's name and C's are not the same"
    assert b"_storybake_weights" not in made
