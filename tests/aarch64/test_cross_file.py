"""cross/aarch64.ini: what it says when something is missing, and processors that it is not for."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/toolchain")]

from riscv_tools import environment, run  # noqa: E402

CROSS = ROOT / "cross/aarch64.ini"
MESON = ["/usr/bin/meson", "setup"]
# Programs of a system that builds for itself alone.
NATIVE = ("sh", "g++", "gcc", "as", "ld", "ar", "python3", "ninja")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a build inside the checkout, where git ignores it, as a user's is."""
    with tempfile.TemporaryDirectory(prefix="build-test-", dir=ROOT) as path:
        yield Path(path)


def with_programs(folder: Path, *names: str) -> dict[str, str]:
    """An environment whose PATH has these programs alone."""
    bin = folder / "bin"
    bin.mkdir()
    for name in names:
        if found := shutil.which(name):
            (bin / name).symlink_to(found)
    return environment(PATH=str(bin))


def test_a_missing_compiler_names_the_next_command(folder: Path, tmp_path: Path) -> None:
    result = run(*MESON, "--cross-file", CROSS, folder / "build", cwd=ROOT, env=with_programs(tmp_path, *NATIVE))
    assert result.returncode == 1
    assert "not found? run: tools/setup arm" in result.stdout


def test_a_missing_emulator_names_the_next_command(tmp_path: Path) -> None:
    """When a program is to run: building needs none."""
    text = CROSS.read_text()
    assert "exe_wrapper = ['sh', '-c', emulate]" in text
    constants: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name in ("remedy", "emulator", "emulate"):
            constants[name] = eval(value, {}, constants)  # strings that are added up, as Meson has them
    result = run("sh", "-c", constants["emulate"], "program", env=with_programs(tmp_path, "sh"))
    assert (result.returncode, result.stdout) == (127, "")
    assert result.stderr == "qemu-aarch64 is not here; run: tools/setup arm\n"


def test_big_endian_arm_is_refused(folder: Path, tmp_path: Path) -> None:
    """Before anything is compiled: the compiler that stands in for one of aarch64_be is this machine's."""
    cross = tmp_path / "big.ini"
    cross.write_text(
        "[binaries]\ncpp = 'g++'\nar = 'ar'\nstrip = 'strip'\n"
        "[host_machine]\nsystem = 'linux'\ncpu_family = 'aarch64'\ncpu = 'armv8-a'\nendian = 'big'\n"
    )
    result = run(*MESON, "--cross-file", cross, folder / "build", cwd=ROOT, env=environment())
    assert result.returncode == 1
    assert "aarch64 is big-endian: expected a little-endian processor" in result.stdout
