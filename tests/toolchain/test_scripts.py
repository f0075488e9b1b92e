"""tools/setup, toolchain and c906sim: quick when there is nothing to do, one line when they can't do it."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from riscv_tools import PATH, ROOT, environment, need, one_line, run


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
    assert "expected story, build, cross, arm, speech, check or train" in one_line(run(ROOT / "tools/setup", "everything"), 2)
    assert "expected one subset, got 2" in one_line(run(ROOT / "tools/setup", "build", "check"), 2)


def test_setup_without_apt_names_the_packages(tmp_path: Path) -> None:
    result = run("/bin/bash", ROOT / "tools/setup", "check", env={"PATH": str(tmp_path)})
    message = one_line(result, 69)
    assert "no apt" in message and "libgtest-dev" in message and "valgrind" in message


def test_a_story_needs_neither_tests_nor_benchmarks(tmp_path: Path) -> None:
    packages = one_line(run("/bin/bash", ROOT / "tools/setup", "story", env={"PATH": str(tmp_path)}), 69)
    assert " g++ " in packages and "python3-jinja2" in packages
    assert not [word for word in ("gtest", "benchmark", "pkgconf", "flite") if word in packages]


def test_setup_without_root_and_sudo_names_the_command(tmp_path: Path) -> None:
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("needs to be run by a user other than root, or setpriv (package util-linux)")
    script = tmp_path / "setup"
    shutil.copy(ROOT / "tools/setup", script)
    shutil.copy(ROOT / "tools/help.sh", tmp_path)
    for name in ("dpkg-query", "apt-get"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    nobody = [shutil.which("setpriv"), "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = run(*nobody, "/bin/bash", script, env={"PATH": str(tmp_path)})
    assert "as root run: apt-get install g++ meson" in one_line(result, 69)


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
    parts = "expected gcc, gcc10, qemu5, qemu, speech, speech-arm64, llama or llama-arm64"
    assert parts in one_line(run(tools / "toolchain", "qemu5", "gcc9"), 2)


def test_toolchain_installs_what_it_needs_itself(tmp_path: Path) -> None:
    """By tools/setup cross, once, before it downloads anything; and ends when that can't."""
    tools = checkout(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dirname", "readlink", "mkdir", "flock", "apt-get", "dpkg"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (tools / "setup").write_text('#!/bin/sh\necho "tools/setup: called with $*" >&2\nexit 1\n')
    result = run("/bin/bash", tools / "toolchain", "qemu5", env={"PATH": str(programs)})
    assert one_line(result, 69) == "tools/setup: called with cross\n"


def stand_in(folder: Path, name: str, text: str) -> str:
    """A PATH with a script of that name first."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{PATH}"


URIS = """case "$*" in *--print-uris*)
    printf "'http://host/%s' %s %s SHA256:0\\n" a.deb a.deb 150000000 b.deb b.deb 50000000 ;; esac"""


def test_toolchain_says_beforehand_what_it_will_download(tmp_path: Path) -> None:
    """What an interrupted call has left is not counted again."""
    tools = checkout(tmp_path)
    path = stand_in(tmp_path / "bin", "apt-get", URIS)
    told = run(tools / "toolchain", "--dry-run", "qemu5", "gcc10", env=environment(PATH=path))
    assert (told.returncode, told.stdout) == (0, "")
    assert "gcc10: 200 MB to download\n" in told.stderr
    assert "400 MB in all, about 2 minutes at 10 MB/s and 8 at 1; unpacked at most 1600 MB in " in told.stderr
    assert [path.name for path in (tmp_path / "checkout/.toolchain").iterdir()] == ["lock"], "nothing else is left"
    left = tmp_path / "checkout/.toolchain/apt/qemu5"
    left.mkdir(parents=True)
    (left / "a.deb").write_text("")
    told = run(tools / "toolchain", "--dry-run", "qemu5", env=environment(PATH=path))
    assert "qemu5: 50 MB to download\n" in told.stderr


def test_toolchain_wants_room_before_it_downloads(tmp_path: Path) -> None:
    tools = checkout(tmp_path)
    stand_in(tmp_path / "bin", "df", "echo Filesystem; echo none 1 1 100000 1%")
    path = stand_in(tmp_path / "bin", "apt-get", URIS)
    need("gcc")  # whose needs are this test's: patchelf and the keyring
    result = run(tools / "toolchain", "qemu5", env=environment(PATH=path))
    assert result.returncode == 74
    assert "expected room for 800 MB, found 100; free some" in result.stderr.splitlines()[-1]


def test_toolchain_says_so_when_no_mirror_answers(tmp_path: Path) -> None:
    """A stand-in for apt-get always fails. Nothing half-made is left in the place of a part."""
    need("gcc")  # its needs are this test's: patchelf and the keyring
    tools = checkout(tmp_path)
    for complaint, code, told in (
        ("Failed to fetch http://m/InRelease  Could not resolve 'm'", 69, "reached no Debian mirror with bullseye: Failed to fetch "),
        ("Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)", 69, "NOSPLIT"),
        ("Failed to fetch http://m/Packages  Error writing to file - write (28: No space left on device) [IP: 1]", 74, "make room"),
    ):
        path = stand_in(tmp_path / "bin", "apt-get", f'echo W: old; echo "E: {complaint}" >&2; echo E: more >&2; exit 100')
        result = run(tools / "toolchain", "qemu5", env=environment(PATH=path))
        assert complaint.partition(" [IP")[0] in one_line(result, code) and told in result.stderr
        assert not (tmp_path / "checkout/.toolchain/qemu5").exists()


def test_toolchain_says_so_when_a_mirror_lacks_a_package_or_ends_early(tmp_path: Path) -> None:
    need("gcc")  # its needs are this test's: patchelf and the keyring
    tools = checkout(tmp_path)
    path = stand_in(tmp_path / "bin", "apt-get", 'case "$*" in *--print-uris*) echo "E: Unable to locate package it"; exit 100 ;; esac')
    assert "no qemu-user-static in Debian's bullseye: Unable to locate package it" in one_line(
        run(tools / "toolchain", "qemu5", env=environment(PATH=path)), 69)
    failing = f'{URIS}\ncase "$*" in *--print-uris*) ;; *download*) echo "E: Connection reset"; exit 100 ;; esac'
    result = run(tools / "toolchain", "qemu5", env=environment(PATH=stand_in(tmp_path / "bin", "apt-get", failing)))
    assert result.returncode == 69
    assert "could not download qemu-user-static of Debian's bullseye: Connection reset; run" in result.stderr.splitlines()[-1]
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


C906SIM = ROOT / "tools/c906sim"


def test_c906sim_refuses_bad_arguments(tmp_path: Path) -> None:
    assert "expected a number of tokens, found two" in one_line(run(C906SIM, 1, "two", "/bin/sh"), 2)
    assert "N1 < N2" in one_line(run(C906SIM, "bw=1.3", 2, 1, "/bin/sh"), 2)
    assert "expected a program" in one_line(run(C906SIM, "run"), 2)
    assert "no such program" in one_line(run(C906SIM, 1, 2, tmp_path / "none"), 66)
    assert "expected decode, kernels" in one_line(run(C906SIM, "figures", "typo"), 2)
    nothing = {"PATH": "/nonexistent"}
    assert run(C906SIM, "--help", env=nothing).stdout == run(C906SIM, "-h").stdout != ""


def test_c906sim_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    need("gcc")
    need("qemu")
    program = known_program(tmp_path)
    assert "unknown option cores=" in one_line(run(C906SIM, "cores=2", 1, 2, program), 2)
    for number in ("nan", "0", "-1", ""):
        assert f"bw=: expected a number above 0, found {number!r}" in one_line(run(C906SIM, f"bw={number}", "run", program), 2)
    assert f"{program} has no function none" in one_line(run(C906SIM, "begin=none", "end=square", "run", program), 65)
    assert "failed in the simulator" in one_line(run(C906SIM, "run", "/bin/sh"), 1)


# 1,000 times: a product that has to wait for the one before, and the loop's end; then a function, and the end of the program.
KNOWN = """
    .globl _start, square, finish
_start: li a0, 3
    li a1, 1000
1:  mul a0, a0, a0
    addi a1, a1, -1
    bnez a1, 1b
    call square
finish: li a0, 0
    li a7, 93
    ecall
    .size finish, . - finish
square: mul a0, a0, a0
    ret
    .size square, . - square
"""


def known_program(folder: Path) -> Path:
    (folder / "known.s").write_text(KNOWN)
    flags = ["-nostdlib", "-static", "-march=rv64imafdv_zicsr_zifencei", "-mabi=lp64d"]
    result = run(ROOT / "tools/riscv64", "g++", *flags, folder / "known.s", "-o", folder / "known")
    assert result.returncode == 0, result.stderr
    return folder / "known"


def test_c906sim_counts_a_known_program(tmp_path: Path) -> None:
    """As its model has it: an instruction a cycle, and a product that can be read after four."""
    need("gcc")
    need("qemu")
    program = known_program(tmp_path)
    results = [run(C906SIM, "ghz=1", "by=function", "run", program) for _ in range(2)]
    assert results[0].returncode == 0, results[0]
    assert results[0].stdout == results[1].stdout
    # Before the loop 2 instructions, in it 3, then auipc, jalr (or one jal), mul, ret, li, li, ecall.
    call = int(re.findall(r"^instructions (\d+)$", results[0].stdout, re.MULTILINE)[0]) - 2 - 3000 - 5
    assert call in (1, 2)
    seconds = float(re.findall(r"^seconds ([0-9.]+)$", results[0].stdout, re.MULTILINE)[0])
    assert round(seconds * 1e9) // 1000 == 4
    assert re.search(r"^ +\d+ cycles +1 calls  square$", results[0].stdout, re.MULTILINE)
    cut = run("bash", "-c", f"{C906SIM} by=function run {program} | true; echo ${{PIPESTATUS[0]}}")
    assert (cut.stdout, cut.stderr) == ("0\n", "")
    part = run(C906SIM, "ghz=1", "begin=squ", "end=finish", "run", program)
    assert "regions 1\n" in part.stdout and "instructions 2\n" in part.stdout
    assert "takes no longer with -n 2 than with -n 1" in one_line(run(C906SIM, 1, 2, program), 65)


def test_c906sim_estimates(tmp_path: Path) -> None:
    need("gcc")
    need("qemu")
    program = tmp_path / "tokens"
    # -n N: a thousand rounds a token, of a load, a subtraction, a store and a branch at least.
    (tmp_path / "tokens.cpp").write_text(
        "#include <cstdlib>\nint main(int argc, char** argv) {\n"
        "    volatile long rounds = 1000 * std::atol(argv[argc - 1]);\n    while (rounds > 0) rounds = rounds - 1;\n}\n"
    )
    flags = ["-std=c++20", "-O2", "-static", "-march=rv64imafdv_zicsr_zifencei", "-mabi=lp64d"]
    assert run(ROOT / "tools/riscv64", "g++", *flags, tmp_path / "tokens.cpp", "-o", program).returncode == 0
    result = run(C906SIM, "bw=1.3", 1, 11, program, input="")
    assert result.returncode == 0 and result.stdout.startswith("tok/s "), result
    found = {name: float(value) for name, value in re.findall(r"(\w+)/token (\d+)", result.stdout)}
    assert 4000 < found["instructions"] < 6000 < found["cycles"] < 20000, "a load that is used at once waits three cycles"
    # One run; and of it, the part between two functions.
    whole = run(C906SIM, "bw=1.3", "run", program, input="")
    part = run(C906SIM, "begin=main", "end=exit", "run", program, input="")
    seconds = [float(re.findall(r"^seconds ([0-9.]+)$", result.stdout, re.MULTILINE)[0]) for result in (whole, part)]
    assert seconds[0] > seconds[1] > 0 and "regions 1\n" in part.stdout
