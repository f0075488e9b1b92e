"""Runs the command line of the storyteller's part of the generator: `python3 -m storyteller COMMAND MODEL`.

    topics   for the build: a warning for words that the dictionary lacks. --save keeps the arguments for `wishes`, which takes
             them with --bake, and what codegen/stamp.py watches
    wishes   writes what the storyteller can hear, from the model's topics and a dictionary
    memory   prints what the storyteller takes beside the model, and whether hearing and telling fit the board at once
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codegen.command import run_command
from codegen.errors import BakeError, refuse
from codegen.formats import open_model
from codegen.plan import make_plan
from codegen.saved import expanded, save
from codegen.targets import TARGETS, find_target
from codegen.weights import convert
from storyteller.forbidden import find_forbidden, forbidden_beside, read_forbidden
from storyteller.memory import memory_text
from storyteller.wishes import find_topics, lacking_words, read_dictionary, topics_beside, wishes_for, write_wishes
from storyteller.words import words_beside, words_of


def run(args: argparse.Namespace, arguments: list[str]) -> None:
    path, trained = find_topics(Path(args.model), args.topics)
    wishes = wishes_for(path, trained, args.chat)
    if args.command == "memory":
        plan = make_plan(convert(open_model(Path(args.model)), args.weights).model, find_target(args.target))
        print(memory_text(plan, wishes.topics, args.ram_budget), end="")
        return
    dictionary = read_dictionary(Path(args.dictionary), wishes.words) if args.dictionary else None
    guarded = find_forbidden(Path(args.model))
    forbidden = read_forbidden(guarded)
    words = words_of(Path(args.model))
    if args.command == "wishes":
        write_wishes(wishes, dictionary, forbidden, words, Path(args.output))
        return
    if args.save:
        dictionaries = [Path(args.dictionary)] if args.dictionary else []
        watched = [*topics_beside(Path(args.model)), guarded, *forbidden_beside(Path(args.model)),
                   *words_beside(Path(args.model))]  # fmt: skip
        save(Path(args.save), arguments, [path, *watched, *dictionaries])
    if dictionary is not None and (lacking := lacking_words(wishes, dictionary)):
        print(lacking, file=sys.stderr)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="storyteller", description="Generates what the storyteller of a model can hear.")
    parser.add_argument("command", choices=("topics", "wishes", "memory"))
    parser.add_argument("model", help="the model that tells the stories; of topics and wishes only its place and name count")
    parser.add_argument("--topics", default="", help="what a story can be about; found beside the model when not named")
    parser.add_argument("--dictionary", default="", metavar="PATH", help="how their words are said, as the CMU dictionary has it")
    parser.add_argument("--chat", action="store_true", help="the model chats: it is asked by its chat template")
    parser.add_argument("--target", default="duo", metavar="NAME", help=f"of memory: one of {', '.join(TARGETS)}")
    parser.add_argument("--weights", default="auto", metavar="TYPE", help="of memory: as -Dweights= has it")
    parser.add_argument("--ram-budget", type=int, default=0, metavar="MB", help="of memory: what there is; 0: the target's")
    parser.add_argument("--save", default="", metavar="FILE", help="with topics: keeps these arguments, and what to watch")
    parser.add_argument("--output", default=".", help="folder to write to")
    try:
        argv = expanded(argv)
        run(parser.parse_args(argv), argv[1:])
    except BakeError as error:
        return refuse("storybake", error)
    return 0


if __name__ == "__main__":
    run_command("storyteller", main)
