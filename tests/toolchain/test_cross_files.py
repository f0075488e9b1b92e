"""cross/*.ini: each sets up, builds and runs a small Meson project, as meson.build uses them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from riscv_tools import PATH, PROJECT, ROOT, environment, need, one_line, run

MESON = "/usr/bin/meson"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a build inside the checkout, where git ignores it, as a user's is."""
    with tempfile.TemporaryDirectory(prefix="build-test-", dir=ROOT) as path:
        yield Path(path)


@pytest.mark.parametrize(
    "files, target, vlen, march, emulator",
    [
        (["duo"], "duo", 128, "xtheadvector1p0", "qemu5"),
        (["rvv1"], "rvv1", 128, "v1p0", "qemu"),
        (["rvv1", "vlen256"], "rvv1-vlen256", 256, "v1p0", "qemu"),
        (["c906sim"], "c906sim", 128, "v1p0", "qemu"),
    ],
)
def test_builds_and_runs(
    folder: Path, files: list[str], target: str, vlen: int, march: str, emulator: str
) -> None:
    need("gcc")
    need(emulator)
    layers = [f"--cross-file=cross/{name}.ini" for name in files]
    result = run(MESON, "setup", *layers, folder, PROJECT, cwd=ROOT, env=environment())
    assert result.returncode == 0, result.stdout
    assert f"Message: target {target}, vlen {vlen}, running a program gave 3\n" in result.stdout
    result = run(MESON, "test", "-C", folder, "-v", cwd=ROOT, env=environment())
    assert result.returncode == 0 and re.search(r"^Ok: +1 *$", result.stdout, re.MULTILINE), result.stdout
    assert f"\n{vlen} " in result.stdout
    assert march in re.split('[_"]', run("readelf", "-A", folder / "dot").stdout)
    assert "INTERP" not in run("readelf", "-lW", folder / "dot").stdout, "not static"
    object_code = run(ROOT / "tools/riscv64", "objdump", "-d", folder / "dot.p/dot.cpp.o").stdout
    compressed = re.findall(r"^ +[0-9a-f]+:\t[0-9a-f]{4} ", object_code, re.MULTILINE)
    assert (len(compressed) == 0) == (target == "c906sim")


def test_build_folder_elsewhere_needs_tools_in_path(tmp_path: Path) -> None:
    need("gcc")
    need("qemu5")
    variables = environment(PATH=f"{ROOT}/tools:{PATH}")
    setup = [MESON, "setup", f"--cross-file={ROOT}/cross/duo.ini", tmp_path / "build", PROJECT]
    assert run(*setup, cwd=tmp_path, env=variables).returncode == 0
    assert run(MESON, "test", "-C", tmp_path / "build", cwd=tmp_path, env=variables).returncode == 0


def test_sdk_compiler_gets_the_documented_flags(folder: Path) -> None:
    """Milk-V's compiler can't be had here: a stand-in notes its flags and hands the rest to GCC 10."""
    need("gcc10")
    compiler = folder / "bin/riscv64-unknown-linux-musl-g++"
    compiler.parent.mkdir()
    compiler.write_text(
        "#!/bin/bash\nkept=()\n"
        f'for word; do case $word in -mcpu=*|-march=*) echo "$word" >>{folder}/flags;;\n'
        '*) kept+=("$word");; esac; done\n'
        f'exec {ROOT}/tools/riscv64 g++-10 "${{kept[@]}}"\n'
    )
    compiler.chmod(0o755)
    for tool in ("ar", "strip"):
        (compiler.parent / f"riscv64-unknown-linux-musl-{tool}").symlink_to(shutil.which(tool) or tool)
    variables = environment(PATH=f"{compiler.parent}:{PATH}")
    setup = [MESON, "setup", "--cross-file=cross/duo-sdk.ini", folder / "build", PROJECT]
    result = run(*setup, cwd=ROOT, env=variables)
    assert result.returncode == 0 and "target duo-sdk, vlen 128" in result.stdout, result.stdout
    result = run(MESON, "compile", "-C", folder / "build", cwd=ROOT, env=variables)
    assert result.returncode == 0, result.stdout
    assert set((folder / "flags").read_text().split()) == {"-mcpu=c906fdv", "-march=rv64imafdcv0p7xthead"}


def test_missing_compiler_names_the_next_command(tmp_path: Path) -> None:
    """A checkout without .toolchain/, on a system whose RISC-V compiler is too old."""
    for name in ("cross", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    old = tmp_path / "bin/riscv64-linux-gnu-g++"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 12\n")
    old.chmod(0o755)
    # Only what is needed: a newer compiler of this system's must not be found.
    for name in ("sh", "dirname", "readlink"):
        (old.parent / name).symlink_to(shutil.which(name) or name)
    variables = environment(PATH=str(old.parent))
    message = one_line(run("/bin/sh", tmp_path / "tools/riscv64", "g++", env=variables), 127)
    assert message.endswith("run: tools/toolchain gcc\n")
    setup = [MESON, "setup", "--cross-file=cross/duo.ini", "build", PROJECT]
    result = run(*setup, cwd=tmp_path, env=variables)
    assert result.returncode == 1 and "not found? run: tools/toolchain" in result.stdout


TOO_OLD = """#!/bin/sh
for word in "$@"; do
    case $word in
        -mavx512vnni) echo "g++: error: unrecognized command-line option '-mavx512vnni'" >&2; exit 1 ;;
    esac
done
exec g++ "$@"
"""


@pytest.mark.parametrize(("target", "header"), [("duo", "riscv_vector.h"), ("avx512", "immintrin.h")])
def test_a_compiler_that_does_not_know_the_extension_is_refused(folder: Path, tmp_path: Path, target: str, header: str) -> None:
    """This machine's knows no RISC-V; one of 2016 knows no AVX-512 VNNI."""
    old = tmp_path / "g++"
    old.write_text(TOO_OLD)
    old.chmod(0o755)
    result = run(MESON, "setup", f"-Dtarget={target}", folder, cwd=ROOT, env=environment(CXX=str(old)))
    assert result.returncode != 0
    assert re.search(f"target {target}: gcc [0-9.]+ for .* has no {header} with .*: expected a compiler that knows", result.stdout)


@pytest.mark.parametrize("optimization", ["0", "g"])
def test_a_build_that_would_spill_vectors_is_refused(folder: Path, optimization: str) -> None:
    need("gcc")
    result = run(MESON, "setup", "--cross-file=cross/duo.ini", f"-Doptimization={optimization}", folder, cwd=ROOT, env=environment())
    assert result.returncode != 0
    assert f"-Doptimization={optimization} for the target duo: the compiler would spill" in result.stdout
