"""tools/setup, toolchain and c906sim: quick when there is nothing to do, one line when they can't do it."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from riscv_tools import PATH, PROJECT, ROOT, environment, need, one_line, run


def checkout(folder: Path) -> Path:
    """A checkout with nothing but tools/ in it; returns tools/."""
    shutil.copytree(ROOT / "tools", folder / "checkout/tools")
    return folder / "checkout/tools"


def test_setup_is_quick_when_all_is_there() -> None:
    subsets = {"build": ["g++", "meson"], "check": ["mypy", "valgrind", "patchelf"]}
    for subset, probes in subsets.items():
        if not all(shutil.which(probe) for probe in probes):
            pytest.skip(f"not everything is installed; run: tools/setup {subset}")
        start = time.monotonic()
        result = run(ROOT / "tools/setup", subset)
        assert (result.returncode, result.stdout) == (0, "")
        assert "installing" not in result.stderr
        assert time.monotonic() - start < 2  # 0.05 s on an idle machine


def test_setup_refuses_bad_arguments() -> None:
    assert "expected build, cross, speech, check or train" in one_line(run(ROOT / "tools/setup", "everything"), 2)
    assert "expected one subset, got 2" in one_line(run(ROOT / "tools/setup", "build", "check"), 2)


def test_setup_without_apt_names_the_packages(tmp_path: Path) -> None:
    result = run("/bin/bash", ROOT / "tools/setup", "check", env={"PATH": str(tmp_path)})
    message = one_line(result, 1)
    assert "no apt" in message and "libgtest-dev" in message and "valgrind" in message


def test_setup_without_root_and_sudo_names_the_command(tmp_path: Path) -> None:
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("needs to be run by a user other than root, or setpriv (package util-linux)")
    script = tmp_path / "setup"
    shutil.copy(ROOT / "tools/setup", script)
    for name in ("dpkg-query", "apt-get"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    nobody = [shutil.which("setpriv"), "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = run(*nobody, "/bin/bash", script, env={"PATH": str(tmp_path)})
    assert "as root run: apt-get install g++ meson" in one_line(result, 1)


def test_toolchain_is_quick_when_all_is_there() -> None:
    for part in ("gcc", "gcc10", "qemu5", "qemu", "speech"):
        need(part)
    start = time.monotonic()
    result = run(ROOT / "tools/toolchain")
    assert (result.returncode, result.stdout) == (0, "")
    assert "downloading" not in result.stderr
    assert time.monotonic() - start < 2  # 0.1 s on an idle machine


def test_toolchain_refuses_an_unknown_part_before_it_downloads_any(tmp_path: Path) -> None:
    tools = checkout(tmp_path)
    assert "expected gcc, gcc10, qemu5, qemu or speech" in one_line(run(tools / "toolchain", "qemu5", "gcc9"), 2)


def test_toolchain_names_what_to_install(tmp_path: Path) -> None:
    tools = checkout(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "readlink", "mkdir", "flock", "apt-get", "dpkg"):
        (programs / name).symlink_to(shutil.which(name) or name)
    result = run("/bin/bash", tools / "toolchain", "qemu5", env={"PATH": str(programs)})
    assert one_line(result, 1) == "tools/toolchain: patchelf is not here; run: tools/setup cross\n"


def test_toolchain_says_so_when_no_mirror_answers(tmp_path: Path) -> None:
    """A stand-in for apt-get always fails. Nothing half-made is left in the place of a part."""
    need("gcc")  # its needs are this test's: patchelf and the keyring
    tools = checkout(tmp_path)
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    variables = environment(PATH=f"{tmp_path}:{PATH}")
    result = run(tools / "toolchain", "qemu5", env=variables)
    assert result.returncode == 1
    assert "tools/toolchain: reached no Debian mirror with bullseye" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "checkout/.toolchain/qemu5").exists()


def test_compiler_of_a_moved_checkout_is_not_started(tmp_path: Path) -> None:
    tools = checkout(tmp_path)
    private = tmp_path / "checkout/.toolchain/gcc10"
    compiler = private / "usr/bin/riscv64-linux-gnu-g++-10"
    compiler.parent.mkdir(parents=True)
    compiler.write_text("#!/bin/sh\necho started\n")
    compiler.chmod(0o755)
    (private / "stamp").write_text(f"g++ of Debian's bullseye, in {private}\n")
    assert run(tools / "riscv64", "g++-10").stdout == "started\n"
    (tmp_path / "checkout").rename(tmp_path / "moved")
    assert "run: tools/toolchain gcc10" in one_line(run(tmp_path / "moved/tools/riscv64", "g++-10"), 127)


def test_c906sim_refuses_bad_arguments(tmp_path: Path) -> None:
    tool = ROOT / "tools/c906sim"
    absent = environment(C906SIM=str(tmp_path))
    assert "C906SIM=FOLDER" in one_line(run(tool, 1, 2, "/bin/sh", env=absent), 66)
    (tmp_path / "c906sim.c").write_text("")
    (tmp_path / "c906tok").write_text("#!/bin/sh\n")
    (tmp_path / "c906tok").chmod(0o755)
    assert "N1 < N2" in one_line(run(tool, "bw=1.3", 2, 1, "/bin/sh", env=absent), 2)
    assert "no such program" in one_line(run(tool, 1, 2, tmp_path / "none", env=absent), 66)


def test_c906sim_estimates(tmp_path: Path) -> None:
    need("gcc")
    need("qemu")
    folder = Path(os.environ.get("C906SIM", ROOT / "../shared/tools/c906sim"))
    if not (folder / "c906sim.c").exists():
        pytest.skip("the simulator is not here; name its folder with C906SIM=FOLDER")
    program = tmp_path / "echo"
    flags = ["-std=c++20", "-O2", "-static", "-march=rv64imafdv_zicsr_zifencei", "-mabi=lp64d"]
    assert run(ROOT / "tools/riscv64", "g++", *flags, PROJECT / "echo.cpp", "-o", program).returncode == 0
    # echo.cpp has no tokens: "-n N" is two words to print, longer ones for the second N.
    result = run(ROOT / "tools/c906sim", "bw=1.3", 1, 1000, program, 0, input="")
    assert result.returncode == 0 and result.stdout.startswith("tok/s "), result
    # One run; and of it, the part between two functions.
    whole = run(ROOT / "tools/c906sim", "bw=1.3", "run", program, input="")
    part = run(ROOT / "tools/c906sim", "begin=main", "end=exit", "run", program, input="")
    seconds = [float(re.findall(r"^seconds ([0-9.]+)$", result.stdout, re.MULTILINE)[0]) for result in (whole, part)]
    assert seconds[0] > seconds[1] > 0 and "regions 1\n" in part.stdout
    absent = run(ROOT / "tools/c906sim", "begin=none", "end=exit", "run", program)
    assert f"{program} has no function none" in one_line(absent, 65)
