"""Runs `tools/board-report [HOST] BUILD`: reports what a machine does with a baked program, as a Markdown table.

The program runs with HOST (user@host) on a board, through tools/deploy; without, here: a program for RISC-V or Arm in the emulator.
Everything but the kernel and the memory is what the program says about itself (--info, --profile). The exit code is 66 without a
program, 69 when the board can't be reached, else that of the program.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measure import BenchError, program_of, prompt_within
from codegen.command import count, run_command

NAME = "tools/board-report"
TOOLS = Path(__file__).resolve().parents[1] / "tools"
UNKNOWN = "–"
PRODUCT = re.compile(r"^matmul_(\w+)_(\d+)x(\d+) +(\d+) +([0-9.]+) +\S+% +(\S+) +(\S+)(?: +(\S+))?$", re.M)
# Names what runs the programs of a machine (EM_RISCV, EM_AARCH64), and the machine itself.
EMULATORS = {243: ("riscv64", [str(TOOLS / "run-riscv")]), 183: ("aarch64", ["qemu-aarch64"])}
EMULATED = "an emulator, which says nothing about speed; name a board to measure it: tools/board-report HOST BUILD"
# Has a board read from its card, not from what is still in memory from the copying. Takes root.
DROP_CACHES = "sync && { echo 3 > /proc/sys/vm/drop_caches; } 2>/dev/null && echo dropped"

# Runs the program with these arguments, `cold` after an attempt to drop what is in memory of its file, which "dropped"
# reports; returns what was printed on both streams.
Report = Callable[..., str]


def call(command: list[str], **environment: str) -> str:
    """Runs a command and returns what it prints on both streams. Exits with its code and its last line, as a message of this
    tool's, when it fails."""
    ran = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    if ran.returncode != 0:
        said = ran.stdout.decode(errors="replace")
        last = said.strip().rpartition("\n")[2].removeprefix("tools/deploy: ")
        print(f"{NAME}: {last or f'{command[0]} ended with {ran.returncode} and said nothing'}", file=sys.stderr)
        sys.exit(ran.returncode)
    return ran.stdout.decode(errors="surrogateescape")


def emulator_of(program: Path) -> list[str]:
    """Finds what runs a program that is for another machine, by e_machine of its ELF header; empty for this one's."""
    none: tuple[str, list[str]] = ("", [])
    machine, command = EMULATORS.get(int.from_bytes(program.read_bytes()[18:20], "little"), none)
    return [] if machine == platform.machine() else command


def figure(pattern: str, text: str) -> str:
    """Finds the pattern's group in the text; UNKNOWN without one."""
    found = re.search(pattern, text, re.M)
    return found[1] if found else UNKNOWN


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Writes Markdown; the first row is the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]]) + "\n"


def loading(run: Report, how: str) -> str:
    """Says what it takes to get the weights into memory, read or mapped."""
    text = run("-t", "0", "-n", "2", "--load", how, cold=True)
    source = "from the card" if "dropped" in text else "perhaps from the page cache"
    return f"{figure(r'weights ((?:read|mapped) in [0-9.]+ ms)', text)}, {source}"


def report(run: Report, system: list[tuple[str, str]], tokens: int, place: str) -> str:
    """Writes two tables: the machine with the model, and the matrix products by shape. What the `place` ("board", "here" or
    "emulator") can't tell is left out: loading from a card that is none, times that are the emulator's, cycles without a
    clock."""
    info = run("--info")
    if figure(r"^model +(.+)", info) == UNKNOWN:
        print(f"{NAME}: --info gave no model: expected a baked program", file=sys.stderr)
        sys.exit(65)
    own = ["-t", "0", "-n", str(tokens)]
    loads = [("weights, `--load " + how + "`", loading(run, how)) for how in ("read", "map") if place == "board"]
    story = run(*own)
    profile = run(*own, "--profile")
    speeds: list[tuple[str, str]] = []
    if place != "emulator":
        prompt = run(*own, "-i", prompt_within(int(figure(r"^seq_len +(\d+)", info).replace(UNKNOWN, "256")), tokens))
        speeds = [
            ("clock", figure(r"^clock: ([0-9.]+ MHz.*)", profile)),
            ("reading the weights once more", figure(r"^reading the weights, one thread: (.+)", profile)),
            *loads,
            ("decode", figure(r"^\d+ tokens, ([0-9.]+ tok/s)", story)),
            ("prefill", figure(r"prompt \d+ tokens at ([0-9.]+ tok/s)", prompt)),
        ]
    machine = [
        ("what", "found"),
        ("model", figure(r"^model +(.+)", info) + ", " + figure(r"^weight type +(.+)", info)),
        ("kernels for", figure(r"^target +(.+)", info)),
        *system,
        *speeds,
        ("threads", figure(r"(\d+) threads?\b", story)),
    ]
    return table([row for row in machine if row[1] != UNKNOWN]) + "\n" + table(products(profile, place != "emulator"))


def products(profile: str, timed: bool) -> list[tuple[str, ...]]:
    """Makes the rows of the second table; without times of their own when these are an emulator's, without cycles when the clock
    is unknown."""
    found = PRODUCT.findall(profile)
    columns = 3 if not timed else 7 if any(row[-1] for row in found) else 6
    rows = [("rows × columns", "type", "calls", "ms a call", "GB/s", "ns a MAC", "cycles a MAC")[:columns]]
    for kind, height, width, calls, ms, speed, ns, cycles in found:
        each = f"{float(ms) / max(int(calls), 1):.4f}"
        rows.append((f"{height} × {width}", kind, calls, each, speed, ns, cycles)[:columns])
    return rows


def peak_of(run: Callable[[str], str], program: str) -> Callable[[Sequence[str]], str]:
    """Makes what tells the most memory and swap that a program had, asked for as long as it runs, by a shell's command."""

    def peak(arguments: Sequence[str]) -> str:
        watch = "while kill -0 $! 2>/dev/null; do grep -E '^Vm(HWM|Swap)' /proc/$!/status 2>/dev/null; done; wait $!"
        told = run(f"{shlex.join([program, *arguments])} >/dev/null 2>&1 & {watch}")
        most = [max(map(int, re.findall(rf"^{name}:\s+(\d+) kB", told, re.M)), default=0) for name in ("VmHWM", "VmSwap")]
        return f"{most[0] / 1024:.1f} MiB, {most[1]} kB of swap" if most[0] else UNKNOWN

    return peak


def on_board(host: str, build: str, program: Path, folder: str) -> tuple[Report, list[tuple[str, str]]]:
    """Returns how to run the program there, once it is copied, and the board's kernel and memory. Everything goes through the one
    connection that tools/deploy opens, whose socket lies in `folder`."""
    control = f"{folder}/ssh"
    call([str(TOOLS / "deploy"), host, build, "--info"], DEPLOY_CONTROL=control)
    ssh = ["ssh", "-o", f"ControlPath={control}", host]
    kernel = call([*ssh, "uname -srm"]).strip()
    memory = call([*ssh, "free"])

    def run(*arguments: str, cold: bool = False) -> str:
        return call([*ssh, f"{DROP_CACHES + '; ' if cold else ''}./{shlex.join([program.name, *arguments])}"])

    return run, system_rows(kernel, memory)


def disconnect(host: str, folder: str) -> None:
    """Ends the connection of on_board(), if there is one."""
    subprocess.run(["ssh", "-o", f"ControlPath={folder}/ssh", "-O", "exit", host], check=False, capture_output=True)


def here(program: Path, emulator: list[str]) -> tuple[Report, list[tuple[str, str]]]:
    """Does the same for this machine or the emulator."""
    command = [*emulator, str(program.resolve())]

    def run(*arguments: str, cold: bool = False) -> str:
        return call([*command, *arguments], DUO_HOST="")  # keeps run-riscv from going to that board

    if emulator:
        return run, [("machine", EMULATED)]
    return run, system_rows(call(["uname", "-srm"]).strip(), call(["free"], LC_ALL="C"))


def system_rows(kernel: str, free: str) -> list[tuple[str, str]]:
    """Makes rows of what uname and free (procps' or BusyBox's, in KiB) print."""
    found = re.search(r"^Mem: +(\d+) +(\d+) +(\d+)(?: +\d+ +\d+ +(\d+))?", free, re.M)
    memory = f"{int(found[1]) / 1024:.1f} MiB, {int(found[4] or found[3]) / 1024:.1f} available" if found else UNKNOWN
    return [("kernel", kernel), ("memory", memory)]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog=NAME, description="Prints what a board does with a build's program, as a table to paste."
    )
    parser.add_argument("host", nargs="?", metavar="HOST", help="user@host; without it, runs here or in the emulator")
    parser.add_argument("build", metavar="BUILD", help="a build folder")
    parser.add_argument("--contest", action="store_true", help="stories against llama2.c's, mean of 30 runs, memory and swap")
    parser.add_argument("--tokens", type=count, default=256, help="positions a run (default 256)")
    args = parser.parse_args(argv)
    try:
        program = program_of(Path(args.build))
    except BenchError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return error.exit_code
    emulator = emulator_of(program)
    place = "board" if args.host else "emulator" if emulator else "here"
    with ExitStack() as at_exit:
        if args.host:
            folder = at_exit.enter_context(tempfile.TemporaryDirectory())
            at_exit.callback(disconnect, args.host, folder)
            run, system = on_board(args.host, args.build, program, folder)
        else:
            run, system = here(program, emulator)
        if args.contest:
            from benchmarks import contest  # Loads the generator, which the other report does without.

            ssh = ["ssh", "-o", f"ControlPath={folder}/ssh", args.host] if args.host else ["sh", "-c"]
            peak = peak_of(lambda line: call([*ssh, line]), f"./{program.name}" if args.host else str(program.resolve()))
            print(contest.page(run, system, place != "emulator", program, peak, table), end="")
        else:
            print(report(run, system, args.tokens, place), end="")
    return 0


if __name__ == "__main__":
    run_command("tools/board-report", main)
