"""The command line of the generator: `python3 -m codegen COMMAND MODEL`.

    facts    the model's name, its tokenizer's path and its weight type, a line each (the build asks at configure time)
    code     writes the generated sources; reads the header alone
    data     writes the packed weights and the tokenizer
    explain  prints the plan as a page of text
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codegen.checkpoint import Checkpoint, open_checkpoint
from codegen.emit import emit
from codegen.errors import MISSING_FILE, BakeError
from codegen.explain import explain
from codegen.model import check_name
from codegen.pack import write_packed
from codegen.plan import Plan, make_plan
from codegen.targets import TARGETS, find_target
from codegen.tokenizer import TokenizerData, bake, find_tokenizer, read_tokenizer


def open_tokenizer(checkpoint: Checkpoint, named: str) -> tuple[Path, TokenizerData]:
    """The tokenizer that was named, or the one that lies beside the model."""
    vocab_size = checkpoint.model.vocab_size
    path = Path(named) if named else find_tokenizer(checkpoint.path, vocab_size)
    if path is None:
        stem = checkpoint.path.stem
        raise BakeError(
            f"{checkpoint.path.name}: no tokenizer beside it: expected {stem}.tokenizer.bin, tok{vocab_size}.bin or "
            "tokenizer.bin; name one with -Dtokenizer=PATH",
            MISSING_FILE,
        )
    return path, read_tokenizer(path, vocab_size)


def plan_of(checkpoint: Checkpoint, args: argparse.Namespace) -> Plan:
    return make_plan(checkpoint.model, find_target(args.target))


def run(args: argparse.Namespace) -> None:
    checkpoint = open_checkpoint(Path(args.model))
    plan = plan_of(checkpoint, args)
    if args.command == "facts":
        check_name(plan.model.name)
        path, _ = open_tokenizer(checkpoint, args.tokenizer)
        print(plan.model.name, path.resolve(), plan.model.weight_type, sep="\n")
    elif args.command == "code":
        emit(plan, Path(args.output))
    elif args.command == "data":
        _, tokenizer = open_tokenizer(checkpoint, args.tokenizer)
        write_packed(checkpoint, plan, bake(tokenizer), args.embed == "true", Path(args.output))
    else:
        print(explain(plan), end="")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="codegen", description="Bakes a llama2.c checkpoint into C++ and data.")
    parser.add_argument("command", choices=("facts", "code", "data", "explain"))
    parser.add_argument("model", help="checkpoint in one of llama2.c's formats")
    parser.add_argument("--tokenizer", default="", help="tokenizer.bin; found beside the model when not named")
    parser.add_argument("--target", default="portable", metavar="NAME", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--embed", choices=("true", "false"), default="true", help="weights inside the executable")
    parser.add_argument("--output", default=".", help="folder to write to")
    try:
        run(parser.parse_args(argv))
    except BakeError as error:
        print(f"storybake: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
