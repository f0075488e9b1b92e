"""Runs `tools/bench BUILD...`: measures the baked programs of build folders, in turn with a peer when one is named."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from benchmarks import shapes
from benchmarks.measure import (
    BenchError,
    Kernel,
    Run,
    Spread,
    kernels,
    peak_resident,
    program_of,
    prompt_within,
    run_once,
)
from benchmarks.report import Row, svg, text
from codegen.command import count, listed, run_command
from codegen.errors import BakeError
from codegen.output import write_if_changed


def fact(program: Path, name: str) -> int:
    """Reads a number of --info; 0 when the program has none, as a peer's."""
    info = subprocess.run([str(program), "--info"], capture_output=True, check=False, text=True).stdout
    found = re.search(rf"^{name} +(\d+)", info, re.M)
    return int(found[1]) if found else 0


def measure(program: Path, threads: int, table: dict[str, Kernel], args: argparse.Namespace) -> Row:
    """Runs a program, and the peer if there is one, in turn: A B A B. The first round warms up and is not counted."""
    own = [str(program), "-t", "0", "-n", str(args.tokens), "--threads", str(threads)]
    prompt = [*own, "-i", prompt_within(fact(program, "seq_len") or 256, args.tokens)]
    runs: list[Run] = []
    prompts: list[Run] = []
    peers: list[Run] = []
    for round_ in range(args.runs + 1):
        run = run_once(own, args.timeout)
        peer = run_once(args.peer, args.timeout) if args.peer else None
        with_prompt = run_once(prompt, args.timeout)
        if round_ > 0:
            runs.append(run)
            prompts.append(with_prompt)
            peers += [peer] if peer else []
    operations = run_once([*own, "--profile"], args.timeout).operations
    prefill = [run.prompt_tok_s for run in prompts if run.prompt_tok_s]
    return Row(
        name=program.name,
        threads=threads,
        decode=Spread.of([run.tok_s for run in runs]),
        prefill=Spread.of(prefill) if prefill else None,
        first_ms=Spread.of([1000 * run.first_s for run in runs]),
        resident=peak_resident(own),
        weight_bytes=fact(program, "a token reads"),
        operations=operations,
        read=table[f"read/{threads}"].bandwidth if f"read/{threads}" in table else 0.0,
        peer=Spread.of([run.tok_s for run in peers]) if peers else None,
        ratio=Spread.of([run.tok_s / peer.tok_s for run, peer in zip(runs, peers, strict=True)]) if peers else None,
    )


def words(command: str) -> list[str]:
    """Splits a command of an option, as a shell would cut it up."""
    try:
        cut = shlex.split(command)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a command, found {command!r}: {error}") from error
    if not cut:
        raise argparse.ArgumentTypeError(f"expected a command, found {command!r}")
    return cut


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures baked programs.")
    parser.add_argument("builds", nargs="+", metavar="BUILD",
                        help="a build folder, a baked program, or a shape of tests/seeded.py to build in build-bench/: "
                        "stories15M_q8, stories42M_q8, ...")  # fmt: skip
    parser.add_argument("--runs", type=count, default=9, help="runs of each program (default 9)")
    parser.add_argument("--tokens", type=count, default=256, help="positions a run (default 256)")
    parser.add_argument("--threads", type=listed(count), default="1,2", help="thread counts, separated by commas (default 1,2)")
    parser.add_argument("--peer", type=words, default=[], metavar="CMD",
                        help="a command that prints achieved tok/s, run in turn")  # fmt: skip
    parser.add_argument("--timeout", type=count, default=600, metavar="S", help="seconds a run may take (default 600)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them")
    args = parser.parse_args(argv)
    try:
        rows: list[Row] = []
        tables: dict[str, dict[str, Kernel]] = {}
        buildings: dict[str, shapes.Building] = {}
        for name in args.builds:
            build = Path(name)
            if shapes.is_shape(name) and not build.exists():
                build, buildings[name] = shapes.build(name, shapes.ROOT / "build-bench")
            program = program_of(build)
            tables[program.name] = kernels(build)
            rows += [measure(program, threads, tables[program.name], args) for threads in args.threads]
        print(text(rows, tables, shlex.join(args.peer), buildings), end="")
        if args.json:
            figures = {
                "programs": [dataclasses.asdict(row) for row in rows],
                "kernels": {
                    name: {kernel: dataclasses.asdict(figures) for kernel, figures in table.items()}
                    for name, table in tables.items()
                },
                "building": {name: dataclasses.asdict(building) for name, building in buildings.items()},
                "peer": shlex.join(args.peer),
            }
            write_if_changed(args.json, (json.dumps(figures, indent=2) + "\n").encode())
        if args.svg:
            write_if_changed(args.svg, svg(rows).encode())
    except (BenchError, BakeError) as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    run_command("tools/bench", main)
