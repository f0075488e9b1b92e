"""Runs the command line of the simulator: tools/c906sim."""

from __future__ import annotations

import os
import re
from pathlib import Path

from codegen.command import run_command
from tools.simulator.figures import FIGURES, print_figures
from tools.simulator.simulate import Report, SimulatorError, address_of, answer, plain_names, prepare

HELP = f"""\
Estimates how fast a program built with cross/c906sim.ini would be on the Duo; tools/simulator/README.md says how far to
trust it.

    tools/c906sim [OPTION=NUMBER...] [by=function] N1 N2 PROGRAM ARGS...
        PROGRAM runs with -n N1 and with -n N2; the difference is printed as tokens a second, and with by=function as
        the cycles a token spends in each function
    tools/c906sim [OPTION=NUMBER...] [begin=FUNCTION end=FUNCTION] run PROGRAM ARGS...
        one run, in seconds; or, of it, the times from each call of one function to the next of the other, by the names
        that nm has, or a part that only one has
    tools/c906sim figures [{"|".join(FIGURES)}]...
        builds what the documentation has simulated figures of, and prints its tables again (all: 20 minutes)

options: bw=GB/s of memory reads (1.3), lat=ns of a miss that no prefetch saw coming (130), ghz=clock (0.85), l1kb=data
cache (64)

For example:

    meson setup --cross-file cross/c906sim.ini build-sim && meson compile -C build-sim
    tools/c906sim bw=0.95 2 34 build-sim/tinytales_q8 -t 0
"""


def number(word: str) -> int:
    if not re.fullmatch(r"\d{1,6}", word):
        raise SimulatorError(f"expected a number of tokens, found {word}: tools/c906sim [bw=GB/s] N1 N2 PROGRAM ARGS...", 2)
    return int(word)


def split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Splits off the options in front, by name."""
    count = next((i for i, word in enumerate(words) if not re.match(r"[a-z0-9]+=", word)), len(words))
    return {word.partition("=")[0]: word.partition("=")[2] for word in words[:count]}, words[count:]


def program_of(words: list[str]) -> list[str]:
    if not words:
        raise SimulatorError("expected a program: tools/c906sim [bw=GB/s] N1 N2 PROGRAM ARGS... or run PROGRAM ARGS...", 2)
    if not (Path(words[0]).is_file() and os.access(words[0], os.X_OK)):
        raise SimulatorError(f"{words[0]}: no such program; build it with --cross-file cross/c906sim.ini", 66)
    return words


def plugin_options(options: dict[str, str], program: str, allowed: tuple[str, ...]) -> list[str]:
    """Makes the plugin's own options; functions become addresses."""
    words = []
    for name, value in options.items():
        if name not in ("ghz", "bw", "lat", "l1kb", *allowed):
            raise SimulatorError(f"unknown option {name}=: expected ghz=, bw=, lat=, l1kb=; tools/c906sim --help has more", 2)
        if name in ("begin", "end"):
            value = address_of(value, program)
        elif not re.fullmatch(r"\d+(\.\d+)?", value) or float(value) == 0:
            raise SimulatorError(f"{name}=: expected a number above 0, found {value!r}", 2)
        words.append(f"{name}={value}")
    return words


def print_functions(report: Report) -> None:
    spent = sorted(((cycles, calls, name) for name, (calls, cycles) in report.functions.items() if cycles), reverse=True)
    names = plain_names([name for _, _, name in spent]) if spent else []
    for (cycles, calls, _), name in zip(spent, names):
        print(f"{cycles:12} cycles {calls:6} calls  {name}")


def run(words: list[str]) -> None:
    if words[:1] == ["figures"]:
        print_figures(words[1:])
        return
    options, rest = split(words)
    by_function = options.pop("by", "") == "function"
    if rest[:1] == ["run"]:
        command = program_of(rest[1:])
        report = prepare().run(plugin_options(options, command[0], ("begin", "end")), command, by_function)
        print(f"seconds {report.counts['seconds']:.6f}")
        print(f"instructions {report.counts['instructions']:.0f}\nregions {report.counts['regions']:.0f}")
    else:
        if len(rest) < 2 or not number(rest[0]) < number(rest[1]):
            raise SimulatorError("expected numbers of tokens N1 < N2 and a program: tools/c906sim [bw=GB/s] N1 N2 PROGRAM ARGS...", 2)
        command = program_of(rest[2:])
        report = prepare().tokens(plugin_options(options, command[0], ()), int(rest[0]), int(rest[1]), command, by_function)
        counts = report.counts
        if counts["seconds"] <= 0:
            raise SimulatorError(f"{command[0]} takes no longer with -n {rest[1]} than with -n {rest[0]}: expected llama2.c's -n", 65)
        print(
            f"tok/s {1 / counts['seconds']:.2f}  cycles/token {counts['cycles']:.0f}  "
            f"instructions/token {counts['instructions']:.0f}  DRAM bytes/token {counts['dram_bytes']:.0f}  "
            f"memory stalls/token {counts['memory_stall_cycles']:.0f}"
        )
    print_functions(report)


def main(words: list[str]) -> int:
    """Runs the command; errors as one line each."""
    return answer("tools/c906sim", HELP, run, words)


if __name__ == "__main__":
    run_command("tools/c906sim", main)
