"""tools/board-report with a board that is a folder, and with this machine; its program prints what a baked one does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_deploy import ROOT, SCP, SSH, build

__all__ = ["build"]

PROGRAM = r"""#!/bin/sh
case "$*" in
--info)
    printf '%-18s %s\n' model tale target duo 'weight type' 'q8, groups of 32'
    printf 'seq_len            %12d\n' 256
    exit ;;
*--profile*)
    cat >&2 <<'END'
operation                 calls           ms   share     GB/s   ns/MAC cycles/MAC
matmul_q8_288x288           100        7.300   60.0%     1.28   0.8800      0.748
rmsnorm                      10        4.000   40.0%
clock: 850.0 MHz, of rdcycle
reading the weights, one thread: 1.25 GB/s
END
esac
case "$*" in *read*) loaded=read ;; *) loaded=mapped ;; esac
case "$*" in *-i*) prompt=', prompt 41 tokens at 88.8 tok/s' ;; esac
echo 'achieved tok/s: 61.234567' >&2
echo "255 tokens, 61.2 tok/s, 16.331 ms a token, 1.05 GB/s of weights$prompt, weights $loaded in 812.5 ms, 1 thread" >&2
"""


def report(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    board, tools = tmp_path / "board", tmp_path / "bin"
    board.mkdir(exist_ok=True)
    tools.mkdir(exist_ok=True)
    free = "#!/bin/sh\necho '   total used free shared buff/cache available'\necho 'Mem: 29000 9000 1000 10 19000 20480'\n"
    uname = '#!/bin/sh\necho "Linux 5.10.4-tag- riscv64"\n'
    for name, text in (("ssh", SSH), ("scp", SCP), ("free", free), ("uname", uname), ("sync", "#!/bin/sh\nexit 1\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "BOARD": str(board)}
    return subprocess.run([ROOT / "tools/board-report", *arguments], env=environment, text=True, capture_output=True)


@pytest.fixture
def tale(build: Path) -> Path:
    (build / "tale").write_text(PROGRAM)
    return build


@pytest.mark.parametrize("host", [["me@board"], []])
def test_the_tables(tmp_path: Path, tale: Path, host: list[str]) -> None:
    ran = report(tmp_path, *host, tale)
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in ran.stdout.splitlines() if line]
    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    for how, done in (("read", "read"), ("map", "mapped")):  # from a card, which only a board has
        assert facts.pop(f"weights, `--load {how}`", "").startswith(f"{done} in 812.5 ms, " if host else "")
    assert facts == {
        "what": "found",
        "---": "---",
        "model": "tale, q8, groups of 32",
        "kernels for": "duo",
        "kernel": "Linux 5.10.4-tag- riscv64",
        "memory": "28.3 MiB, 20.0 available",
        "clock": "850.0 MHz, of rdcycle",
        "reading the weights once more": "1.25 GB/s",
        "decode": "61.2 tok/s",
        "prefill": "88.8 tok/s",
        "threads": "1",
    }
    assert rows[-1] == ["288 × 288", "q8", "100", "0.0730", "1.28", "0.8800", "0.748"]
    assert (tmp_path / "board" / "tale").is_file() == bool(host)
    logins = tmp_path / "board.logins"
    assert (logins.read_text() if logins.exists() else "") == "me@board\n" * len(host)


def test_what_is_not_known_is_left_out(tmp_path: Path, tale: Path) -> None:
    text = PROGRAM.replace(" cycles/MAC", "").replace("      0.748", "").replace("850.0 MHz, of rdcycle", "not told")
    (tale / "tale").write_text(text)
    out = report(tmp_path, "me@board", tale).stdout
    assert "clock" not in out and "cycles" not in out and out.endswith("| 1.28 | 0.8800 |\n")
    (tmp_path / "bin/free").write_text("#!/bin/sh\necho nothing\n")
    (tale / "tale").write_text(text.replace("tok/s", "a second"))
    out = report(tmp_path, tale).stdout
    assert "decode" not in out and "prefill" not in out and "–" not in out


@pytest.mark.parametrize(("machine", "emulator"), [(243, "tools/run-riscv"), (183, "bin/qemu-aarch64")])
def test_an_emulator_is_asked_for_no_times(tmp_path: Path, tale: Path, machine: int, emulator: str) -> None:
    """A copy of the tools, whose emulators are none: what counts is the program's e_machine."""
    root = tmp_path / "copy"
    for name in ("benchmarks", "codegen"):
        shutil.copytree(ROOT / name, root / name)
    (root / "tests").mkdir()
    shutil.copy(ROOT / "tests/seeded.py", root / "tests")
    (root / "tools").mkdir()
    for name in ("board-report", "help.sh"):
        shutil.copy(ROOT / "tools" / name, root / "tools")
    (root / "bin").mkdir()
    (root / emulator).write_text('#!/bin/sh\nshift\n' + PROGRAM.partition("\n")[2])
    (root / emulator).chmod(0o755)
    (tale / "tale").write_bytes(b"\x7fELF".ljust(18, b"\0") + machine.to_bytes(2, "little"))
    variables = os.environ | {"PATH": f"{root}/bin:{os.environ['PATH']}"}
    ran = subprocess.run([root / "tools/board-report", tale], text=True, capture_output=True, env=variables)
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = [line for line in ran.stdout.splitlines() if line]
    assert [row.partition(" | ")[0] for row in rows] == [
        "| what", "| ---", "| model", "| kernels for", "| machine", "| threads", "| rows × columns", "| ---", "| 288 × 288",
    ]  # fmt: skip
    assert rows[-1] == "| 288 × 288 | q8 | 100 |"


def test_a_board_that_is_not_there(tmp_path: Path, tale: Path) -> None:
    ran = report(tmp_path, "me@elsewhere", tale)
    assert (ran.returncode, ran.stdout) == (69, "")
    assert ran.stderr.startswith("tools/board-report: could not reach me@elsewhere: ") and ran.stderr.count("\n") == 1


def test_a_program_that_fails(tmp_path: Path, tale: Path) -> None:
    (tale / "tale").write_text("#!/bin/sh\necho 'one line more' >&2\necho 'tale: no vectors' >&2\nexit 69\n")
    ran = report(tmp_path, tale)
    assert (ran.returncode, ran.stdout, ran.stderr) == (69, "", "tools/board-report: tale: no vectors\n")
    (tale / "tale").write_text("#!/bin/sh\nexit 71\n")
    ran = report(tmp_path, tale)
    assert (ran.returncode, ran.stderr.count("\n")) == (71, 1) and "tale ended with 71" in ran.stderr
    (tale / "tale").write_text("#!/bin/sh\necho of another kind\n")
    ran = report(tmp_path, tale)
    assert (ran.returncode, ran.stdout, ran.stderr) == (65, "", "tools/board-report: --info gave no model: expected a baked program\n")


def test_usage_and_missing_builds(tmp_path: Path, tale: Path) -> None:
    assert report(tmp_path).returncode == 2
    assert report(tmp_path, tale, "--tokens", "0").returncode == 2
    (tale / "tale").unlink()
    ran = report(tmp_path, tale)
    assert ran.returncode == 66 and "no program in it: run meson compile -C" in ran.stderr
    assert report(tmp_path, tmp_path).returncode == 66
