"""Runs `tools/draft MODEL`: makes the table of guesses that lies beside a model, from stories that the model itself tells."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from codegen import draft
from codegen.__main__ import tokenizer_of
from codegen.command import run_command
from codegen.errors import INTERRUPTED, USAGE, BakeError
from codegen.formats import open_model, sayable
from codegen.output import atomic_output
from evaluation.programs import ROOT, Variant, compiled, configure

TEMPERATURES = ("1.0", "0.8", "0.6")
HELD_BACK = 10  # keeps back one story in so many: it is not put into the table, and says what that is worth


def told(program: Path, count: int, seed: int, temperature: str) -> list[list[int]]:
    """Reads the tokens of the stories that a program of evaluation/stories.cpp tells. Raises BakeError when it fails."""
    done = subprocess.run([program, str(count), str(seed), temperature], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise BakeError(f"the baked model ended with exit code {done.returncode}: {said[-1]}")
    numbers = [int(number) for number in np.frombuffer(done.stdout, "<i4")]
    stories, at = [], 0
    while at < len(numbers):
        stories.append(numbers[at + 1 : at + 1 + numbers[at]])
        at += 1 + numbers[at]
    return stories


def run(args: argparse.Namespace) -> None:
    if args.stories < HELD_BACK:
        raise BakeError(f"--stories {args.stories}: expected at least {HELD_BACK}", USAGE)
    source = open_model(args.model)
    _, vocabulary = tokenizer_of(source, "" if args.tokenizer is None else str(args.tokenizer))
    vocab_size = sayable(vocabulary, source.model.vocab_size)
    out = args.output or draft.companions(args.model)[-1]
    variant = Variant("its own type", ("-Ddraft=off", "-Dstoryteller=disabled"))
    program = compiled(variant, configure(args.model, args.tokenizer, variant, args.build), "stories")
    share = -(-args.stories // len(TEMPERATURES))
    stories = [s for i, t in enumerate(TEMPERATURES) for s in told(program, share, 1 + i * share, t)]
    kept = [story for i, story in enumerate(stories) if i % HELD_BACK]
    held = [story for i, story in enumerate(stories) if not i % HELD_BACK]
    slots = draft.make_slots(kept)
    with atomic_output(out) as file:
        file.write(draft.table_of(slots, vocabulary, vocab_size))
    print(
        f"{out}: {int((slots != 0).sum())} guesses of {len(kept)} stories, {sum(map(len, kept))} tokens; "
        f"{draft.tokens_a_pass(slots, held):.2f} tokens a pass in {len(held)} others"
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/draft", description="Makes the table of guesses of a model's own stories.")
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model of any format that -Dmodel= reads")
    parser.add_argument("--tokenizer", type=Path, help="the model's tokenizer, when it does not lie beside it")
    parser.add_argument("--stories", type=int, default=900, help="how many stories the model tells (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the table (default: MODEL's name with .draft, beside it)")
    parser.add_argument("--build", type=Path, default=ROOT / "build-draft", help="folder for the build")
    args = parser.parse_args(argv)
    try:
        run(args)
    except BakeError as error:
        print(f"tools/draft: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    run_command("tools/draft", main)
