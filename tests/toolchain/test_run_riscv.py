"""tools/run-riscv: the right emulator for a program, nothing changed on the way, one line if it can't run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from riscv_tools import PATH, ROOT, environment, need, one_line, run

RUN = ROOT / "tools/run-riscv"
Build = Callable[[str, str], Path]

A = [i * 37 % 255 - 127 for i in range(512)]
B = [i * 91 % 255 - 127 for i in range(512)]
DOT = sum(a * b for a, b in zip(A, B))


def test_dot_runs_as_rvv_0_7_1(build: Build) -> None:
    need("qemu5")
    result = run(RUN, build("dot.cpp", "duo"), env=environment(STORYBAKE_VLEN="256"))  # which the Duo has not
    assert (result.stdout, result.stderr, result.returncode) == (f"128 {DOT}\n", "", 0)


@pytest.mark.parametrize("target", ["rvv1", "c906sim"])
@pytest.mark.parametrize(
    "vlen, words, variables",
    [
        (128, [], {}),
        (256, [], {"STORYBAKE_VLEN": "256"}),
        (256, ["--vlen=256"], {}),
        (128, ["--vlen=256"], {"STORYBAKE_VLEN": "128"}),
    ],
)
def test_dot_runs_as_rvv_1_0(
    build: Build, target: str, vlen: int, words: list[str], variables: dict[str, str]
) -> None:
    need("qemu")
    result = run(RUN, *words, build("dot.cpp", target), env=environment(**variables))
    assert (result.stdout, result.stderr, result.returncode) == (f"{vlen} {DOT}\n", "", 0)


@pytest.mark.parametrize("target, emulator", [("duo", "qemu5"), ("rvv1", "qemu")])
def test_arguments_input_and_exit_code_pass_unchanged(build: Build, target: str, emulator: str) -> None:
    need(emulator)
    words = ["42", "Once upon a time", "", "it's $HOME \"*\"", "--vlen=256"]
    result = run(RUN, build("echo.cpp", target), *words, input="line\n", env=environment())
    assert result.stdout == "".join(f"<{word}>\n" for word in words) + "line\n"
    assert (result.stderr, result.returncode) == ("", 42)


def test_duo_host_copies_program_and_files_and_runs_them_there(build: Build, tmp_path: Path) -> None:
    """A stand-in for ssh plays the board: it runs the commands here, and the program in QEMU."""
    need("qemu5")
    (tmp_path / "ssh").write_text(
        "#!/bin/sh\n"
        f'echo "$1" >>{tmp_path}/hosts; unset DUO_HOST\n'
        'case $2 in *"tar "*) ;; *) exec sh -c "$2" ;; esac\n'
        'd=$(sh -c "$2") && mv "$d"/0-* "$d/program" && echo "$d"\n'
        f'printf \'#!/bin/sh\\nexec {RUN} "${{0%%/*}}/program" "$@"\\n\' >"$d/0-duo-echo"\n'
        'chmod +x "$d/0-duo-echo"\n'
    )
    (tmp_path / "ssh").chmod(0o755)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/tokenizer.bin").write_text("a")
    (tmp_path / "tokenizer.bin").write_text("b")
    board = environment(DUO_HOST="root@board", PATH=f"{tmp_path}:{PATH}", TMPDIR=str(tmp_path))
    words = ["7", "it's $HOME \"*\"", str(tmp_path / "a/tokenizer.bin"), str(tmp_path / "tokenizer.bin")]
    before = set(tmp_path.iterdir())
    result = run(RUN, build("echo.cpp", "duo"), *words, input="line\n", env=board)
    expected = f"<{words[0]}>\n<{words[1]}>\n<./3-tokenizer.bin>\n<./4-tokenizer.bin>\nline\n"
    assert (result.stdout, result.stderr, result.returncode) == (expected, "", 7)
    assert (tmp_path / "hosts").read_text() == "root@board\n" * 2
    assert set(tmp_path.iterdir()) - before == {tmp_path / "hosts"}  # both sides clean up


def test_unreachable_board_is_one_line(build: Build, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    board = environment(DUO_HOST="root@board", PATH=f"{tmp_path}:{PATH}")
    assert "DUO_HOST=root@board" in one_line(run(RUN, build("echo.cpp", "duo"), env=board), 127)


def test_refuses_what_is_no_riscv_program(tmp_path: Path) -> None:
    text = tmp_path / "story.txt"
    text.write_text("Once upon a time\n")
    assert "found no ELF file" in one_line(run(RUN, text), 65)
    assert "expected a 64-bit RISC-V program, found " in one_line(run(RUN, "/bin/sh"), 65)
    assert "no such file" in one_line(run(RUN, tmp_path / "nothing"), 66)
    assert "no such file" in one_line(run(RUN, tmp_path), 66)
    assert "expected a program" in one_line(run(RUN), 2)


def test_refuses_an_impossible_vector_length(build: Build) -> None:
    message = one_line(run(RUN, build("echo.cpp", "rvv1"), env=environment(STORYBAKE_VLEN="100")), 2)
    assert "vector length 100: expected 128" in message


def test_missing_emulators_are_one_line(build: Build, tmp_path: Path) -> None:
    """A checkout without .toolchain/, on a system without qemu-riscv64."""
    tools = tmp_path / "checkout/tools"
    tools.mkdir(parents=True)
    for name in ("run-riscv", "help.sh"):
        shutil.copy(RUN.with_name(name), tools)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "readelf", "sed"):
        (programs / name).symlink_to(shutil.which(name) or name)
    bare = environment(PATH=str(programs))
    copy = tools / "run-riscv"
    duo = build("echo.cpp", "duo")
    rvv1 = build("echo.cpp", "rvv1")
    assert "run: tools/toolchain qemu5" in one_line(run("/bin/bash", copy, duo, env=bare), 127)
    assert "or: tools/toolchain qemu\n" in one_line(run("/bin/bash", copy, rvv1, env=bare), 127)
    (programs / "readelf").unlink()
    assert "readelf is not here" in one_line(run("/bin/bash", copy, duo, env=bare), 127)
