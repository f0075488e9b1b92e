"""Runs the command line of the generator: `python3 -m codegen COMMAND MODEL`.

    facts    for the build: the model's name, its weight types, its tokenizer's path, the target and its compiler
             arguments and header, key=value a line; warnings on standard error. --save keeps the arguments for the other
             commands, which take them with --bake, and what codegen/stamp.py watches
    code     writes the generated sources; reads the header alone
    data     writes the packed weights and the tokenizer
    sbom     writes what is inside a program (codegen/sbom.py), as C++
    values   writes the values of the weights, unpacked, for the oracle of the tests (codegen/values.py)
    explain  prints the plan as a page of text, and which boards it fits (tools/explain)
"""

from __future__ import annotations

import argparse
import gc
import sys
from dataclasses import replace
from pathlib import Path

from codegen import draft, sbom
from codegen.boards import read_boards, this_machine
from codegen.card import card_names
from codegen.chat import CHOICES
from codegen.describe import types_text
from codegen.emit import emit
from codegen.command import run_command
from codegen.errors import MISSING_FILE, BakeError, refuse
from codegen.explain import explain, explain_json
from codegen.formats import TOKENIZERS, open_model, open_tokenizer, sayable
from codegen.formats.beside import ALL_FILES as BESIDE
from codegen.formats.gguf_file import MAGIC as GGUF_MAGIC
from codegen.formats.keys import Tell, ignore
from codegen.input import read_bytes
from codegen.memory import check_budget, check_reach, cut_context
from codegen.names import check_name
from codegen.output import write_if_changed
from codegen.pack import tail_of, write_packed
from codegen.plan import make_plan
from codegen.saved import expanded, save
from codegen.source import TensorSource, cut_vocabulary
from codegen.targets import TARGETS, find_target, missing_extensions
from codegen.tokenizer import Vocabulary, bake, companions, find_tokenizer, with_chat
from codegen.values import write_values
from codegen.weight_types import WEIGHT_TYPES
from codegen.weights import convert, what_it_costs


def tokenizer_of(source: TensorSource, named: str, tell: Tell = ignore) -> tuple[Path, Vocabulary]:
    """Finds the tokenizer that was named, the model's own, or the one that lies beside it."""
    rows, path = source.model.vocab_size, source.path
    if named:
        return Path(named), open_tokenizer(Path(named), rows, tell)
    if path.is_dir() or read_bytes(path, 4) == GGUF_MAGIC:
        return path, open_tokenizer(path, rows, tell)
    found = find_tokenizer(path, rows)
    if found is None:
        raise BakeError(
            f"{path.name}: no tokenizer beside it: expected {path.stem}.tokenizer.bin, tok{rows}.bin or "
            "tokenizer.bin; name one with -Dtokenizer=PATH",
            MISSING_FILE,
        )
    return found, open_tokenizer(found, rows, tell)


def table_of_guesses(args: argparse.Namespace, tokenizer: Vocabulary, vocab_size: int, tell: Tell) -> bytes:
    """Reads the slots of the table that was named, or of the one that lies beside the model; none where that does not fit."""
    if args.draft == "off":
        return b""
    if args.draft != "auto":
        return draft.read_table(Path(args.draft), tokenizer, vocab_size)
    found = draft.find_table(Path(args.model))
    try:
        return draft.read_table(found, tokenizer, vocab_size) if found else b""
    except BakeError as error:
        tell(f"{error}; baked without it")
        return b""


def watched(model: Path, rows: int, tokenizer: Path, table: str) -> tuple[set[Path], set[Path]]:
    """Lists the files and folders that a bake is read from, those among them that may yet appear."""
    folders = {path for path in (model, tokenizer) if path.is_dir()}
    files = {path for path in (model, tokenizer) if not path.is_dir()}
    files |= {model.parent / name for name in (*companions(model, rows), *card_names(model))} if not model.is_dir() else set()
    files |= {tokenizer.parent / name for name in (*BESIDE, *TOKENIZERS)} if not tokenizer.is_dir() else set()
    files |= set(draft.companions(model)) if table == "auto" else {Path(table)} if table != "off" else set()
    return files, folders


def named(source: TensorSource, args: argparse.Namespace, tell: Tell) -> tuple[TensorSource, Path | None, Vocabulary | None]:
    """Opens the source without rows that no text has, its tokenizer and that one's path; none to explain a model without one."""
    try:
        path, tokenizer = tokenizer_of(source, args.tokenizer, tell)
    except BakeError:
        if args.command != "explain":
            raise
        return source, None, None
    rows, model = sayable(tokenizer, source.model.vocab_size), source.model.vocab_size
    if rows < model:
        tell(f"{source.path.name}: rows {rows} to {model - 1} of {model} have no piece: they are left out")
    return cut_vocabulary(source, rows), path, tokenizer


def run(args: argparse.Namespace, arguments: list[str]) -> None:
    def tell(text: str) -> None:
        if args.command == "facts":
            print(text, file=sys.stderr)

    opened = open_model(Path(args.model), tell)
    cut, path, tokenizer = named(opened, args, tell)
    source = convert(cut, args.weights, classifier=args.classifier)
    model = replace(cut_context(source.model, args.context), kv_type=args.kv)
    if args.name:
        model = replace(model, name=check_name(args.name))
    plan = make_plan(model, find_target(args.target))
    if cut.model.nearest and args.weights == "auto":
        tell(what_it_costs(cut.model, source.model))
    if tokenizer is not None and args.command in ("facts", "data"):
        tokenizer = with_chat(tokenizer, args.chat, "tokenizer")
    if args.command == "facts":
        check_budget(plan, args.ram_budget)
        check_reach(plan, args.embed == "true")
        assert path is not None and tokenizer is not None
        bake(tokenizer, model.vocab_size)  # may refuse it
        table_of_guesses(args, tokenizer, model.vocab_size, tell)
        if args.save:
            save(Path(args.save), arguments, *watched(Path(args.model), opened.model.vocab_size, path, args.draft))
        facts = {
            "name": plan.model.name,
            "weight_types": types_text(plan.model),
            "tokenizer": path.resolve(),
            "chat": tokenizer.frame.chat.name if tokenizer.frame.chat and (tokenizer.frame.template or args.chat != "auto") else "",
            "target": plan.target.name,
            "target_args": " ".join(plan.target.cpp_args),
            "target_header": plan.target.header,
            "over_read": str(plan.target.over_read),
        }
        print(*(f"{key}={value}" for key, value in facts.items()), sep="\n")
        lacking = [] if args.cross else missing_extensions(plan.target)
        if lacking:
            tell(f"target {plan.target.name}: this machine's CPU lacks {' '.join(lacking)}; what is built will not run here")
    elif args.command == "code":
        emit(plan, Path(args.output))
    elif args.command == "data":
        assert tokenizer is not None
        guesses = table_of_guesses(args, tokenizer, model.vocab_size, tell)
        write_packed(source, plan, tokenizer, guesses, args.embed == "true", args.certify == "true", Path(args.output))
    elif args.command == "sbom":
        assert path is not None
        libraries = tuple(sbom.versioned(one) for one in args.library)
        build = sbom.Build(args.program, args.version, sbom.versioned(args.compiler), libraries, args.linked)
        inside = sbom.document(build, opened.path, model, path, plan.target.name)
        write_if_changed(Path(args.output), sbom.source(inside).encode())
    elif args.command == "values":
        write_values(source, model, Path(args.output))
    else:
        on = (*read_boards(), this_machine())
        tail = tail_of(source, plan) if args.certify == "true" else None
        print((explain_json if args.json else explain)(plan, args.ram_budget, on, tail.head_rows if tail else 0), end="")


def main(argv: list[str]) -> int:
    name, usage = ("tools/explain", "tools/explain MODEL [OPTION...]") if argv[:1] == ["explain"] else ("codegen", None)
    parser = argparse.ArgumentParser(prog=name, usage=usage, description="Bakes a llama2.c checkpoint into C++ and data.")
    parser.add_argument("command", choices=("facts", "code", "data", "sbom", "values", "explain"))
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
    parser.add_argument("--draft", default="auto", metavar="PATH", help="a table of guesses; auto: the one beside the model; off")
    parser.add_argument("--chat", choices=CHOICES, default="auto", help="how a chat is written down; auto: as the model's files say")
    parser.add_argument("--name", default="", help="the program's; made of the model's file or folder when not given")
    parser.add_argument("--cross", action="store_true", help="the program is for another machine")
    parser.add_argument("--save", default="", metavar="FILE", help="with facts: keeps these arguments, and what to watch")
    parser.add_argument("--program", default="", help="with sbom: the program's name")
    parser.add_argument("--version", default="", help="with sbom: the program's")
    parser.add_argument("--compiler", default="", metavar="NAME=VERSION", help="with sbom")
    parser.add_argument("--library", action="append", default=[], metavar="NAME=VERSION", help="with sbom; given again for each")
    parser.add_argument("--linked", choices=("static", "dynamic"), default="static", help="with sbom: how libraries are")
    parser.add_argument("--output", default=".", help="folder to write to; with values and sbom, the file")
    try:
        argv = expanded(argv)
        run(parser.parse_args(argv), argv[1:])
    except BakeError as error:
        return refuse("storybake" if name == "codegen" else name, error)
    return 0


if __name__ == "__main__":
    gc.disable()  # keeps it from looking through what is made of a model's files again and again: all is needed to the end
    run_command("tools/explain" if sys.argv[1:2] == ["explain"] else "storybake", main)
