"""The command line of the generator: `python3 -m codegen COMMAND MODEL`.

    facts    for the build: the model's name, its weight types, its tokenizer's path, the target and its compiler
             arguments and header, and the files that it all is read from, a line each; a warning when this CPU lacks it
    code     writes the generated sources; reads the header alone
    data     writes the packed weights and the tokenizer
    values   writes the values of the weights, unpacked, for the oracle of the tests (codegen/values.py)
    explain  prints the plan as a page of text, and which boards it fits (tools/explain)
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from codegen.boards import read_boards, this_machine
from codegen.checkpoint import TensorSource, read_bytes
from codegen.emit import emit
from codegen.errors import MISSING_FILE, BakeError
from codegen.explain import explain, explain_json
from codegen.formats import open_model, open_tokenizer
from codegen.formats.gguf_file import MAGIC as GGUF_MAGIC
from codegen.memory import check_budget, check_reach, cut_context
from codegen.model import check_name
from codegen.pack import write_packed
from codegen.plan import make_plan
from codegen.targets import TARGETS, find_target, missing_extensions
from codegen.tokenizer import Vocabulary, bake, find_tokenizer
from codegen.values import write_values
from codegen.weight_types import WEIGHT_TYPES
from codegen.weights import convert, types_text


def tokenizer_of(source: TensorSource, named: str) -> tuple[Path, Vocabulary]:
    """The tokenizer that was named, the model's own, or the one that lies beside it."""
    vocab_size, path = source.model.vocab_size, source.path
    if named:
        return Path(named), open_tokenizer(Path(named), vocab_size)
    if path.is_dir() or read_bytes(path, 4) == GGUF_MAGIC:
        return path, open_tokenizer(path, vocab_size)
    found = find_tokenizer(path, vocab_size)
    if found is None:
        raise BakeError(
            f"{path.name}: no tokenizer beside it: expected {path.stem}.tokenizer.bin, tok{vocab_size}.bin or "
            "tokenizer.bin; name one with -Dtokenizer=PATH",
            MISSING_FILE,
        )
    return found, open_tokenizer(found, vocab_size)


def inputs(path: Path) -> list[Path]:
    """The files that a model or a tokenizer is read from."""
    return sorted(p.resolve() for p in path.iterdir() if p.is_file()) if path.is_dir() else [path.resolve()]


def run(args: argparse.Namespace) -> None:
    source = convert(open_model(Path(args.model)), args.weights, classifier=args.classifier)
    model = replace(cut_context(source.model, args.context), kv_type=args.kv)
    plan = make_plan(model, find_target(args.target))
    if args.command == "facts":
        check_name(plan.model.name)
        check_budget(plan, args.ram_budget)
        check_reach(plan, args.embed == "true")
        path, _ = tokenizer_of(source, args.tokenizer)
        print(plan.model.name, types_text(plan.model), path.resolve(), plan.target.name, sep="\n")
        print(*plan.target.cpp_args)
        print(plan.target.header)
        print(*dict.fromkeys(inputs(source.path) + inputs(path)), sep="\n")
        if lacking := missing_extensions(plan.target):
            print(f"target {plan.target.name}: this machine's CPU lacks {' '.join(lacking)}", file=sys.stderr)
    elif args.command == "code":
        emit(plan, Path(args.output))
    elif args.command == "data":
        _, tokenizer = tokenizer_of(source, args.tokenizer)
        write_packed(source, plan, bake(tokenizer), args.embed == "true", args.certify == "true", Path(args.output))
    elif args.command == "values":
        write_values(source, model, Path(args.output))
    else:
        on = (*read_boards(), this_machine())
        print((explain_json if args.json else explain)(plan, args.ram_budget, on), end="")


def main(argv: list[str]) -> int:
    name, usage = ("tools/explain", "tools/explain MODEL [OPTION...]") if argv[:1] == ["explain"] else ("codegen", None)
    parser = argparse.ArgumentParser(prog=name, usage=usage, description="Bakes a llama2.c checkpoint into C++ and data.")
    parser.add_argument("command", choices=("facts", "code", "data", "values", "explain"))
    parser.add_argument("model", help="llama2.c's .bin or .pt, a Hugging Face folder, or GGUF")
    parser.add_argument("--tokenizer", default="", help="tokenizer.bin; found beside the model when not named")
    parser.add_argument("--target", default="portable", metavar="NAME", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--weights", default="auto", metavar="TYPE", help=f"auto (the model's own), {', '.join(WEIGHT_TYPES)}")
    parser.add_argument("--classifier", default="auto", metavar="TYPE", help="of classifier and embedding; auto: the same")
    parser.add_argument("--kv", choices=("f32", "f16"), default="f32", help="type of the key/value cache")
    parser.add_argument("--context", type=int, default=0, help="positions; 0: as many as the model has")
    parser.add_argument("--ram-budget", type=int, default=0, metavar="MB", help="of memory; 0: the target's")
    parser.add_argument("--embed", choices=("true", "false"), default="true", help="weights inside the executable")
    parser.add_argument("--json", action="store_true", help="with explain: all of it as one JSON object")
    parser.add_argument("--certify", choices=("true", "false"), default="true", help="leave out rows of the classifier that prove needless")
    parser.add_argument("--output", default=".", help="folder to write to; with values, the file")
    try:
        run(parser.parse_args(argv))
    except BakeError as error:
        print(f"{'storybake' if name == 'codegen' else name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
