"""Runs `tools/train`: stories, tokenizer, network, and the files in models/."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from codegen.command import listed, run_command
from codegen.errors import INTERRUPTED, IO, BakeError
from codegen.formats import open_model
from codegen.tokenizer import find_tokenizer
from models import engine
from models.trainer import data, tokenizer

ROOT = Path(__file__).resolve().parents[2]
NAME = "tinytales"
VOCAB_SIZE = 2048
TOKENIZER_STORIES = 20_000
SHARPNESS = 1.5
UNAVAILABLE = 69
SELF_TEST = 70
Number = TypeVar("Number", int, float)


def not_negative(text: str) -> float:
    """Reads a number from 0 on, for argparse."""
    return _number(text, float, 0, "a number from 0 on")


def positive(text: str) -> float:
    """Reads a number above 0, for argparse."""
    return _number(text, float, math.ulp(0), "a number above 0")


def share(text: str) -> float:
    """Reads a number from 0 to 1, for argparse."""
    return _number(text, float, 0, "a number from 0 to 1", most=1)


def count(text: str) -> int:
    """Reads a whole number from 0 on, for argparse."""
    return _number(text, int, 0, "a whole number from 0 on")


def one_or_more(text: str) -> int:
    """Reads a whole number from 1 on, for argparse."""
    return _number(text, int, 1, "a whole number from 1 on")


def _number(text: str, kind: Callable[[str], Number], least: float, expected: str, most: float = math.inf) -> Number:
    """Reads a number of that kind; NaN and infinity are none.  Raises ArgumentTypeError for others than expected."""
    try:
        value = kind(text)
    except ValueError:
        value = kind("-1")
    if not least <= value <= most or value == math.inf:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {expected}")
    return value


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    default = data.Run()
    made = argparse.ArgumentParser(
        prog="tools/train",
        description="Trains a story model on stories that models/engine tells while they are needed, and writes the files of "
        "models/. A run that was interrupted goes on when the same command is given again; its end (--steps, --decay) may "
        "be moved.",
        epilog="Needs what tools/setup train installs. Exit codes: 0; 2 usage; 65 bad data, or the state is of another run; "
        "66 missing file; 69 PyTorch or the device is not there; 70 the loss is no number any more; 74 nothing can be "
        "written; 130 interrupted, and saved.",
    )
    made.add_argument("--work", type=Path, default=ROOT / "build-model", metavar="DIR", help="state and log (default: "
                      "build-model)")  # fmt: skip
    made.add_argument("--out", type=Path, default=ROOT / "models", metavar="DIR", help="finished files (default: models)")
    made.add_argument("--from", dest="start", type=Path, metavar="MODEL", help="begin with the weights and the tokenizer "
                      "of a model file; its dimensions count")  # fmt: skip
    made.add_argument("--seed", type=count, default=default.seed, metavar="N", help="of stories and weights (default: %(default)s)")
    made.add_argument("--steps", type=one_or_more, default=default.steps, metavar="N", help="default: %(default)s")
    made.add_argument("--decay", type=count, metavar="N", help="last steps, over which the rate falls to 0 (default: a quarter)")
    made.add_argument("--warmup", type=count, default=default.warmup, metavar="N", help="first steps, over which it rises "
                      "(default: %(default)s)")  # fmt: skip
    made.add_argument("--batch", type=one_or_more, default=default.batch, metavar="N", help="stories a step (default: %(default)s)")
    made.add_argument("--peak", type=positive, default=default.peak, metavar="RATE", help="learning rate (default: %(default)s)")
    for name, what in (("dim", "width"), ("hidden", "hidden width"), ("layers", "layers"), ("heads", "heads"),
                       ("kv-heads", "key/value heads"), ("context", "positions")):  # fmt: skip
        made.add_argument(f"--{name}", type=one_or_more, metavar="N", help=f"{what} (default: that of the shipped model)")
    made.add_argument("--weight-decay", type=not_negative, default=default.weight_decay, metavar="D", help="AdamW's, of "
                      "matrices (default: %(default)s)")  # fmt: skip
    made.add_argument("--vocabulary", type=one_or_more, default=VOCAB_SIZE, metavar="N", help="pieces (default: %(default)s)")
    made.add_argument("--tokenizer", type=Path, metavar="FILE", help="a tokenizer.bin of --vocabulary pieces, instead of "
                      "learning one")  # fmt: skip
    made.add_argument("--sharpness", type=positive, default=SHARPNESS, metavar="S", help="of the files: at a temperature of 1 "
                      "they tell as the network does at 1 / S (default: %(default)s)")  # fmt: skip
    made.add_argument("--keep", type=share, default=0.0, metavar="SHARE", help="of the weights that --from began with, in the "
                      "files (default: 0)")  # fmt: skip
    made.add_argument("--threads", type=one_or_more, default=1, metavar="N", help="threads on a processor (default: %(default)s)")
    made.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu or cuda (default: a GPU if PyTorch sees one)")
    made.add_argument("--plain", action="store_true", help="do without the steps that a C++ compiler fuses")
    action = made.add_mutually_exclusive_group()
    action.add_argument("--print", type=count, metavar="N", help="print N stories with their prompts and stop")
    action.add_argument("--print-held-out", type=count, metavar="N", help="print N stories that the run never learns and stop")
    action.add_argument("--sweep", type=listed(positive), metavar="RATES", help="compare peak rates, such as 2e-3,4e-3, on "
                        "--tokens each, and stop")  # fmt: skip
    action.add_argument("--export", action="store_true", help="write the files from the state as it is and stop")
    made.add_argument("--tokens", type=positive, default=5e6, metavar="N", help="of a rate in --sweep (default: %(default)g)")
    return made


def vocabulary(args: argparse.Namespace) -> tokenizer.Tokenizer:
    """Finds the tokenizer of --from, that of --tokenizer, or the run's own: learned the first time, kept in its folder."""
    if args.start is not None:
        vocab_size = open_model(args.start).model.vocab_size
        beside = find_tokenizer(args.start, vocab_size)
        if beside is None:
            raise BakeError(f"--from {args.start}: found no tokenizer beside it, expected one such as "
                            f"{args.start.stem}.tokenizer.bin", 66)  # fmt: skip
        return tokenizer.read(beside, vocab_size)
    if args.tokenizer is not None:
        return tokenizer.read(args.tokenizer, args.vocabulary)
    path = args.work / "tokenizer.bin"
    if path.exists():
        return tokenizer.read(path, args.vocabulary)
    print(f"learning {args.vocabulary} pieces from {TOKENIZER_STORIES} stories ...", file=sys.stderr)
    learned = tokenizer.train((engine.document(args.seed, i).text for i in range(TOKENIZER_STORIES)), args.vocabulary)
    learned.write(path)
    return learned


def pick_device(name: str) -> str:
    """Finds the device that --device names.  Raises BakeError when PyTorch has no such one."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise BakeError(f"--device {name}: expected auto, cpu or cuda", 2)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise BakeError(f"--device {name}: PyTorch sees no GPU; use --device cpu", UNAVAILABLE)
    return name


def run(args: argparse.Namespace) -> int:
    """Does what the command line asks for."""
    held_out = args.print_held_out is not None
    shown = args.print_held_out if held_out else args.print
    if shown is not None:
        for index in range(shown):
            document = engine.document(args.seed + (data.HELD_OUT_SEED if held_out else 0), index)
            print(document.story if held_out else document.text, end="\n\n")
        return 0
    try:
        from models.trainer import loop, ship
        from models.trainer.network import Config
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise BakeError("PyTorch is not installed for /usr/bin/python3: run tools/setup train", UNAVAILABLE) from error
    device = pick_device(args.device)
    for folder in (args.work, args.out):  # before hours of training, not after
        folder.mkdir(parents=True, exist_ok=True)
    weights = None
    if args.start is None:
        sizes = {"dim": args.dim, "hidden_dim": args.hidden, "n_layers": args.layers, "n_heads": args.heads,
                 "n_kv_heads": args.kv_heads, "seq_len": args.context, "vocab_size": args.vocabulary}  # fmt: skip
        config = Config(**{name: size for name, size in sizes.items() if size is not None})
    else:
        config, weights = ship.weights_of(args.start)
    pieces = vocabulary(args)
    start = "random" if args.start is None else args.start.name
    material = loop.Material(engine.document, pieces, weights, start, engine.copying)
    decay = args.steps // 4 if args.decay is None else args.decay
    wanted = data.Run(args.seed, args.batch, args.steps, args.warmup, decay, args.peak, weight_decay=args.weight_decay)
    if args.sweep is not None:
        found = loop.sweep(wanted, config, material, args.sweep, int(args.tokens), args.work, device, args.threads)
        print("\n".join(f"{peak:g} {loss:.4f}" for peak, loss in found))
        return 0
    trainer = loop.Trainer(wanted, config, material, args.work, device, args.threads, args.plain)
    size = sum(parameter.numel() for parameter in trainer.network.parameters())
    print(f"{size} parameters on {device}, {trainer.steps.__class__.__name__.lower()} steps; at step {trainer.step} of "
          f"{wanted.steps}, held out {len(trainer.held_out)} stories", file=sys.stderr)  # fmt: skip
    if not args.export:
        asked: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: asked.append(number))
        try:
            if not trainer.fit(lambda line: print(line, file=sys.stderr, flush=True), lambda: bool(asked)):
                print(f"tools/train: interrupted at step {trainer.step}, saved in {args.work}: give the same command to go on",
                      file=sys.stderr)  # fmt: skip
                return INTERRUPTED
        except loop.Diverged as error:
            raise BakeError(f"{error}: stopped; {args.work / loop.STATE} has the last good state: go on with a lower --peak "
                            "from a model that it exports", SELF_TEST) from error  # fmt: skip
    words = data.known_words(engine.document, args.seed, trainer.step * args.batch)
    if weights is not None:
        trainer.network.load_state_dict(ship.between(trainer.network.state_dict(), weights, args.keep))
    ship.ship(trainer.network.state_dict(), config, pieces, trainer.log(), engine.topics(), words, args.out, NAME, args.sharpness)
    loss = loop.mean_loss(trainer.network, trainer.steps, trainer.held_out)
    print(f"{trainer.step} steps, {trainer.tokens} tokens, {trainer.seconds / 60:.0f} minutes, held-out loss {loss:.4f}")
    return 0


def main(argv: list[str]) -> int:
    """Runs the command; errors as one line each."""
    # Leave one thread to OpenMP: the loop has threads of its own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    args = parser().parse_args(argv)
    if args.keep and args.start is None:
        parser().error("--keep: without --from there is nothing that a run began with")
    if args.tokenizer is not None and args.start is not None:
        parser().error("--tokenizer: --from brings its own along: give one of them")
    try:
        return run(args)
    except BakeError as error:
        message, code = str(error), error.exit_code
    except ValueError as error:
        message, code = str(error), 65
    except OSError as error:
        if args.print is not None or args.print_held_out is not None:  # writes to standard output alone
            raise
        message, code = f"{error.filename or args.work}: can't be written: {error.strerror}; what was saved before stays", IO
    except KeyboardInterrupt:
        message, code = "interrupted", INTERRUPTED
    print(f"tools/train: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    run_command("tools/train", main)
