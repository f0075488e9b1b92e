"""Runs `tools/evaluate MODEL TEXT`: tells what each weight type costs, by perplexity and divergence from float32."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from codegen.__main__ import tokenizer_of
from codegen.command import listed, run_command, word
from codegen.describe import types_text
from codegen.errors import INTERRUPTED, BakeError
from codegen.formats import open_model
from codegen.model import Model
from codegen.weight_types import WEIGHT_TYPES
from codegen.weights import retype
from evaluation.loss import Loss, log_softmax
from evaluation.programs import ROOT, Program, Variant, compiled, configure
from evaluation.texts import framed, read_texts

REFERENCE = "f32"


class Progress:
    """Draws a bar on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def show(self, what: str, done: int, of: int) -> None:
        if self._shown:
            filled = 30 * done // max(of, 1)
            print(f"\r\x1b[K{what} [{'#' * filled}{'.' * (30 - filled)}] {done}/{of}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def evaluate(programs: list[Program], texts: int, progress: Progress) -> tuple[list[Loss], int]:
    """Computes the loss of each program against the first, and how many texts were cut into windows. All read the same texts,
    in step, so that no more than a window's logits are held."""
    losses = [Loss() for _ in programs]
    cut: set[int] = set()
    before = -1
    while True:
        windows = [program.window() for program in programs]
        first = windows[0]
        if first is None:
            break
        for program, window in zip(programs, windows, strict=True):
            if window is None or window.text != first.text or (window.tokens != first.tokens).any():
                raise AssertionError(f"{program.name} reads the text in other tokens than {programs[0].name}")
        if first.text == before:
            cut.add(first.text)
        before = first.text
        at = 1
        for blocks in zip(*(program.logits(first) for program in programs), strict=True):
            tokens = first.tokens[at : at + len(blocks[0])]
            reference = log_softmax(blocks[0])
            for loss, block in zip(losses, blocks, strict=True):
                loss.add(log_softmax(block), reference, tokens)
            at += len(tokens)
        progress.show("texts", first.text + 1, texts)
    return losses, len(cut)


def table(programs: list[Program], losses: list[Loss]) -> str:
    """Writes a line a weight type."""
    width = max(len("weights"), *(len(program.name) for program in programs))
    lines = [f"{'weights':{width}} {'MB':>8} {'perplexity':>11} {'change':>9} {'mean KL':>10} {'worst KL':>9} {'same top-1':>11}"]
    for program, loss in zip(programs, losses, strict=True):
        change = 100 * (loss.perplexity / losses[0].perplexity - 1)
        lines.append(
            f"{program.name:{width}} {program.weights_bytes / 1e6:8.3f} {loss.perplexity:11.4f} {change:+8.3f}% "
            f"{loss.mean_divergence:10.6f} {loss.worst:9.4f} {100 * loss.same_top_share:10.2f}%"
        )
    return "\n".join(lines) + "\n"


def figures(program: Program, loss: Loss) -> dict[str, object]:
    """Makes a row of the table for --json; divergences in nats."""
    return {
        "weights": program.name,
        "weights_bytes": program.weights_bytes,
        "tokens": loss.tokens,
        "perplexity": loss.perplexity,
        "mean_kl": loss.mean_divergence,
        "worst_kl": loss.worst,
        "same_top1": loss.same_top_share,
    }


def named(variant: Variant, model: Model) -> Variant:
    """Names what a variant that leaves the choice to the bake comes to: "auto" is "auto (q8)"."""
    weights, *more = variant.name.split(":")
    found = types_text(retype(model)) if weights == "auto" else ""
    return replace(variant, name=":".join([f"auto ({found})", *more])) if found else variant


def run(args: argparse.Namespace) -> None:
    texts = read_texts(args.text)
    # Look now, so that a wrong one is refused with the exit code of its kind, before anything is built.
    source = open_model(args.model)
    tokenizer_of(source, "" if args.tokenizer is None else str(args.tokenizer))
    variants = [named(Variant.of(name), source.model) for name in dict.fromkeys([REFERENCE, *args.types])]
    progress = Progress()
    folders = [configure(args.model, args.tokenizer, variant, args.build) for variant in variants]
    paths = []
    for at, (variant, folder) in enumerate(zip(variants, folders, strict=True)):
        progress.show(f"baking {variant.name}", at, len(variants))
        paths.append(compiled(variant, folder))
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="storybake-"))
        file.write(framed(texts))
        file.flush()
        programs = [
            stack.enter_context(Program(variant.name, path, Path(file.name)))
            for variant, path in zip(variants, paths, strict=True)
        ]
        losses, cut = evaluate(programs, len(texts), progress)
        progress.clear()
        if not losses[0].tokens:
            raise BakeError(f"{args.text.name}: expected texts of two tokens or more, found none: nothing to predict")
        if args.json:
            rows = [figures(program, loss) for program, loss in zip(programs, losses, strict=True)]
            print(json.dumps({"model": args.model.name, "texts": len(texts), "cut": cut, "rows": rows}, indent=2))
            return
        windows = f", {cut} of them cut into windows of {programs[0].seq_len}" if cut else ""
        print(f"{args.model.name}: {len(texts)} texts{windows}, {losses[0].tokens} tokens predicted; KL in nats from f32")
        print(table(programs, losses), end="")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tools/evaluate",
        description="Tells what each weight type costs a model: perplexity, Kullback-Leibler divergence from the float32 "
        "weights, and how often the likeliest token is the same.",
        epilog="Every type is baked with Meson in a build folder of its own. Exit codes: 0; 2 usage; 65 bad data; 66 "
        "missing or unreadable file; 74 the figures can't be written.",
    )
    parser.add_argument("model", metavar="MODEL", type=Path, help="a model of any format that -Dmodel= reads")
    parser.add_argument("text", metavar="TEXT", type=Path, help="stories in UTF-8 that the model has not seen, with blank "
                        "lines or lines of <|endoftext|> between them")  # fmt: skip
    parser.add_argument("--tokenizer", type=Path, help="the model's tokenizer, when it does not lie beside it")
    parser.add_argument("--types", type=listed(word), default=",".join(WEIGHT_TYPES), metavar="LIST", help="weight types, auto too, with "
                        "build options after colons: q8,q4:classifier=q8 (default: %(default)s; f32 always comes first)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.add_argument("--build", type=Path, default=ROOT / "build-evaluate", help="folder for the builds")
    args = parser.parse_args(argv)
    try:
        run(args)
    except BakeError as error:
        print(f"tools/evaluate: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    run_command("tools/evaluate", main)
