"""`tools/bench BUILD...`: measures the baked programs of build folders, in turn with a peer when one is named."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import BenchError, Run, Spread, kernels, peak_resident, program_of, run_once
from benchmarks.report import Row, svg, text

PROMPT = (
    "Once upon a time, there was a little girl named Lily who loved to play outside in the big green park with her dog "
    "and her friends. One day they found a small red boat near the lake"
)


def weight_bytes(program: Path) -> int:
    """Bytes of weights that a token reads, from --info."""
    info = subprocess.run([str(program), "--info"], capture_output=True, check=False, text=True).stdout
    found = re.search(r"^a token reads +(\d+) bytes", info, re.M)
    return int(found[1]) if found else 0


def measure(program: Path, threads: int, args: argparse.Namespace) -> Row:
    """Runs a program, and the peer if there is one, in turn: A B A B. The first round warms up and is not counted."""
    own = [str(program), "-t", "0", "-n", str(args.tokens), "--threads", str(threads)]
    prompt = [*own, "-i", PROMPT]
    runs: list[Run] = []
    prompts: list[Run] = []
    ratios: list[float] = []
    for round_ in range(args.runs + 1):
        run = run_once(own)
        peer = run_once(shlex.split(args.peer)) if args.peer else None
        with_prompt = run_once(prompt)
        if round_ > 0:
            runs.append(run)
            prompts.append(with_prompt)
            if peer:
                ratios.append(run.tok_s / peer.tok_s)
    operations = run_once([*own, "--profile"]).operations
    prefill = [run.prompt_tok_s for run in prompts if run.prompt_tok_s]
    return Row(
        name=program.name,
        threads=threads,
        decode=Spread.of([run.tok_s for run in runs]),
        prefill=Spread.of(prefill) if prefill else None,
        first_ms=Spread.of([1000 * run.first_s for run in runs]),
        resident=peak_resident(own),
        weight_bytes=weight_bytes(program),
        operations=operations,
        ratio=Spread.of(ratios) if ratios else None,
    )


def count(value: str) -> int:
    """A positive number of an option."""
    if not value.isdigit() or not 1 <= int(value) <= 100000:
        raise argparse.ArgumentTypeError(f"expected 1 to 100000, found {value!r}")
    return int(value)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures baked programs.")
    parser.add_argument("builds", nargs="+", metavar="BUILD", help="a build folder, or a baked program")
    parser.add_argument("--runs", type=count, default=9, help="runs of each program (default 9)")
    parser.add_argument("--tokens", type=count, default=256, help="positions a run (default 256)")
    parser.add_argument("--threads", default="1,2", help="thread counts, separated by commas (default 1,2)")
    parser.add_argument("--peer", default="", metavar="CMD", help="a command that prints achieved tok/s, run in turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them")
    args = parser.parse_args(argv)
    try:
        thread_counts = [count(part) for part in args.threads.split(",")]
    except argparse.ArgumentTypeError as error:
        parser.error(f"--threads: {error}")
    try:
        rows: list[Row] = []
        tables: dict[str, dict[str, dict[str, float]]] = {}
        for build in map(Path, args.builds):
            program = program_of(build)
            tables[program.name] = kernels(build)
            rows += [measure(program, threads, args) for threads in thread_counts]
        print(text(rows, tables, args.peer), end="")
        if args.json:
            figures = {"programs": [dataclasses.asdict(row) for row in rows], "kernels": tables, "peer": args.peer}
            args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        if args.svg:
            args.svg.write_text(svg(rows), encoding="utf-8")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"bench: {error.filename}: can't be written: {error.strerror}", file=sys.stderr)
        return 74
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
