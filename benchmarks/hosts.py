"""Measures the field's shapes on this machine, in turn with llama.cpp and llama2.c, and prints the table of docs/performance.md:

    python3 -m benchmarks.hosts [--shapes stories15M,stories42M,stories110M] [--types float32,int8,int4] [--threads 1,2]
                                [--rounds 5] [--llama2c FOLDER]

Everything is built first (--build-only ends there), in build-hosts/, from seeded weights. llama.cpp is that of
`tools/toolchain llama`; FOLDER has llama2.c's run.c and runq.c, which print `achieved tok/s`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchError, Spread, run_once
from benchmarks.report import spread
from benchmarks.shapes import ROOT, run
from codegen.build_folder import set_up
from codegen.command import count, listed, run_command, word
from tests import seeded
from tools.simulator.figures import guess_always

BUILD = ROOT / "build-hosts"
LLAMA = ROOT / ".toolchain" / "llama" / "usr"
TOKENS = 256
TOKENS_A_PASS = 1.45  # is what guesses come to in stories of Llama's 32,000 pieces (docs/riscv.md)
# List the types: what it is called here and by llama.cpp, the recipe's suffix, the build's options, llama2.c's program.
TYPES = (
    ("float32", "F32", "", (), "run"),
    ("int8", "Q8_0", "_q8", (), "runq"),
    ("int4", "Q4_0", "", ("-Dweights=q4",), ""),
)
# Name llama.cpp's backends by a flag of /proc/cpuinfo that they need, the best first.
BACKENDS = (("avx512_bf16", "zen4"), ("avx512_vnni", "icelake"), ("avx2", "haswell"), ("", "x64"))


@dataclass(frozen=True)
class Contest:
    """Holds a line of the table: the commands that take turns, by the name of their column, ours first."""

    label: str
    commands: dict[str, list[str]]


def model(recipe: str) -> Path:
    """Writes the model of a recipe, where it is not there yet."""
    path = BUILD / "models" / seeded.file_name(recipe)
    return path if path.exists() else seeded.write(path.parent, recipe)


def bake(recipe: str, *options: str) -> str:
    """Builds a program of a recipe; returns its path."""
    folder = BUILD / "-".join([recipe, *(Path(option.partition("=")[2]).stem for option in options)])
    print(f"building {folder.name}", file=sys.stderr)
    settings = [f"-Dmodel={model(recipe)}", "-Dtests=disabled", "-Dstoryteller=disabled", *options]
    set_up(folder, settings, lambda command: run(*command))
    run("ninja", "-C", folder, recipe)
    return str(folder / recipe)


def llama_bench(shape: str, kind: str, threads: int) -> list[str]:
    """Returns the command of llama.cpp on a GGUF of that shape and type."""
    made = BUILD / "models" / f"{shape}-{kind}.gguf"
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    backend = next(name for flag, name in BACKENDS if flag in flags)
    env = ["env", f"GGML_BACKEND_PATH={next(LLAMA.rglob(f'libggml-cpu-{backend}.so'))}"]
    if not made.exists():
        options = ["--allow-requantize", "--pure"]
        run(*env, LLAMA / "bin" / "llama-quantize", *options, model(f"{shape}_gguf"), made, kind)
    bench = [str(LLAMA / "bin" / "llama-bench"), "-m", str(made), "-p", "0", "-n", str(TOKENS), "-r", "1"]
    return [*env, *bench, "-t", str(threads), "-o", "json"]


def llama2c(folder: Path, program: str, shape: str, suffix: str) -> list[str]:
    """Returns the command of llama2.c's program on the same checkpoint."""
    made = BUILD / program
    run("gcc", "-Ofast", "-march=native", "-o", made, folder / f"{program}.c", "-lm")
    path = model(shape + suffix)
    return [str(made), str(path), "-z", str(path.with_suffix(".tokenizer.bin")), "-t", "0", "-n", str(TOKENS)]


def contests(shapes: list[str], types: list[str], threads: list[int], sources: Path | None) -> Iterator[Contest]:
    """Builds the lines of the table."""
    for shape in shapes:
        for label, kind, suffix, options, program in TYPES:
            if label not in types:
                continue
            own = bake(shape + suffix, *options)
            for n in threads:
                commands = {"storybake": [own, "-t", "0", "-n", str(TOKENS), "--threads", str(n)]}
                if (LLAMA / "bin").is_dir():
                    commands["llama.cpp"] = llama_bench(shape, kind, n)
                if sources and program and n == 1:
                    commands["llama2.c"] = llama2c(sources, program, shape, suffix)
                yield Contest(f"{shape}, {label}, {n}", commands)


def take_turns(commands: dict[str, list[str]], rounds: int) -> dict[str, Spread]:
    """Runs all in turn, A B A B; the first round warms up and is not counted."""
    runs = [{name: run_once(command).tok_s for name, command in commands.items()} for _ in range(rounds + 1)][1:]
    return {name: Spread.of([one[name] for one in runs]) for name in commands}


def collapsed(types: list[str], threads: list[int]) -> Iterator[Contest]:
    """Builds the model with collapsed rows: all of them computed, with a certificate, and with a guess for every token; llama.cpp
    has the same shape with rows that are not collapsed, which is the same to it."""
    for label, kind, suffix, options, _ in TYPES:
        if label not in types:
            continue
        recipe = f"collapsed15M{suffix}"
        model(recipe)
        table = BUILD / "models" / f"{recipe}.guesses"
        guess_always(table, recipe)
        settings = {"all rows": "-Dcertify=false", "certified": "-Dcertify=true", "guessing": f"-Ddraft={table}"}
        programs = {name: bake(recipe, setting, *options) for name, setting in settings.items()}
        for n in threads:
            asked = ["-n", str(TOKENS), "-s", "1", "--threads", str(n)]
            commands = {name: [program, *asked] for name, program in programs.items()}
            if (LLAMA / "bin").is_dir():
                commands["llama.cpp"] = llama_bench("stories15M", kind, n)
            yield Contest(f"{label}, {n}", commands)


def cost_of_two(command: list[str]) -> float:
    """Reads what two positions at once take, in times of one."""
    said = subprocess.run(command, capture_output=True, check=True, text=True, timeout=600).stderr
    found = re.search(r"two positions at once: ([0-9.]+)", said)
    if found is None:
        raise BenchError(f"{command[0]}: expected a line \"two positions at once: X\", found none")
    return float(found[1])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.hosts", description="Measures shapes in turn with others' programs.")
    parser.add_argument("--shapes", type=listed(word), default="stories15M,stories42M,stories110M", help="of tests/seeded.py (all three)")
    parser.add_argument("--types", type=listed(word), default="float32,int8,int4", help="types of weights (all three)")
    parser.add_argument("--threads", type=listed(count), default="1,2", help="thread counts, separated by commas (default 1,2)")
    parser.add_argument("--rounds", type=count, default=5, help="rounds that are counted (default 5)")
    parser.add_argument("--llama2c", type=Path, metavar="FOLDER", help="where run.c and runq.c are")
    parser.add_argument("--build-only", action="store_true", help="build what will be measured")
    args = parser.parse_args(argv)
    try:
        threads, shapes, types = args.threads, args.shapes, args.types
        for shape in shapes:
            if shape not in seeded.STORIES:
                raise BenchError(f"{shape}: expected {', '.join(seeded.STORIES)}", 2)
        for label in types:
            if label not in (known := [kind[0] for kind in TYPES]):
                raise BenchError(f"{label}: expected {', '.join(known)}", 2)
        lines = list(contests(shapes, types, threads, args.llama2c))
        rows = list(collapsed(types, threads))
        if args.build_only:
            return 0
        print(f"{args.rounds} rounds of {TOKENS} tokens, {os.cpu_count()} processors, a load of {os.getloadavg()[0]:.1f} before\n")
        others = ("llama.cpp", "llama2.c")
        print("| shape, type, threads | storybake | " + " | ".join(f"{name} | ratio" for name in others) + " |")
        print("| --- " * (2 + 2 * len(others)) + "|")
        for line in lines:
            found = take_turns(line.commands, args.rounds)
            cells = [line.label, spread(found["storybake"])]
            for name in others:
                there = name in found
                cells += [spread(found[name]), f"{found['storybake'].median / found[name].median:.1f}"] if there else ["", ""]
            print("| " + " | ".join(cells) + " |", flush=True)
        columns = ["22,000 of 32,000 rows collapsed, sampled", "all rows", "certified", "ratio", "two positions", "guesses, computed"]
        columns += ["llama.cpp", "certified to it", "guesses to it"]
        print(f"\n| {' | '.join(columns)} |")
        print("| --- " * len(columns) + "|")
        for line in rows:
            cost = cost_of_two([*line.commands.pop("guessing"), "--profile"])
            found = take_turns(line.commands, args.rounds)
            once = found["certified"].median
            guessed = once * max(TOKENS_A_PASS / cost, 1)
            cells = [line.label, spread(found["all rows"]), spread(found["certified"]), f"{once / found['all rows'].median:.2f}",
                     f"{cost:.2f}", f"{guessed:.0f}"]  # fmt: skip
            peer = found.get("llama.cpp")
            cells += [spread(peer), f"{once / peer.median:.1f}", f"{guessed / peer.median:.1f}"] if peer else ["", "", ""]
            print("| " + " | ".join(cells) + " |", flush=True)
    except argparse.ArgumentTypeError as error:
        parser.error(f"--threads: {error}")
    except BenchError as error:
        print(f"benchmarks.hosts: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    run_command("benchmarks.hosts", main)
