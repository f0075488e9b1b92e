"""Runs `tools/judge-stories PROGRAM`: measures every bar of the model's stories, on stories that nobody chose."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from codegen.command import count, listed, run_command
from codegen.errors import INTERRUPTED, BakeError
from codegen.output import appended
from evaluation.__main__ import Progress
from evaluation.judge import asks, determined, knowledge, safety
from evaluation.judge.asks import Ask, Program, Storyteller, Told, Topics
from evaluation.judge.bars import Bar, Verdict, asked, bars, judge
from evaluation.programs import ROOT
from models.engine import lexicon
from storyteller.forbidden import list_text

# Begins the seeds of the program's sampler, apart from those that people try first.
FIRST_SEED = 1000


def topics_of(path: Path) -> tuple[list[str], Topics]:
    """Reads the topics of a model, as they are listed and by what they are.  Raises BakeError when the list can't be read."""
    lines = [line for line in list_text(path, "list of topics").splitlines() if line]
    known = lexicon.load()
    return lines, Topics.of(lines, frozenset(known.kinds), frozenset(known.nouns), frozenset(known.places))


def table(columns: Sequence[tuple[str, list[Bar], dict[str, float]]]) -> str:
    """Writes the figures as Markdown, a column for each temperature."""
    heads = "".join(f" {name} | bar |" for name, _, _ in columns)
    lines = [f"| measure |{heads}", "| --- |" + " --- | --- |" * len(columns)]
    for row, bar in enumerate(columns[0][1]):
        cells = ""
        for _, wanted, figures in columns:
            value, one = figures[bar.name], wanted[row]
            mark = "**" if one.wanted and not one.passed(value) else ""
            cells += f" {mark}{one.shown(value)}{mark} | {one.wanted or '-'} |"
        lines.append(f"| {bar.name} |{cells}")
    return "\n".join(lines) + "\n"


def quality(args: argparse.Namespace, progress: Progress) -> int:
    """Prints the table; returns 0 when every bar is met at every temperature, else 1."""
    (_, topics), words = topics_of(args.topics), knowledge.words()
    settings = [(one, 0.9) for one in args.temperatures]
    columns: list[tuple[str, list[Bar], dict[str, float]]] = []
    verdicts: dict[str, Verdict] = {}
    places = determined.places(args.places)
    greedy = determined.shares(Program.of(args.program, 0.0, 0.9), places, partial(progress.show, "greedy"))
    programs = [Program.of(args.program, *setting) for setting in settings]
    programs += [Storyteller.of(args.storyteller, *setting) for setting in settings if args.storyteller]
    stories: list[tuple[str, Program, list[Told], list[Told]]] = []
    for program in programs:
        name = f"-t {program.temperature:g} -p {program.top_p:g}" + (", the storyteller" if isinstance(program, Storyteller) else "")
        wanted = asks.asks(topics, args.stories, args.seed)
        told = program.all(wanted, FIRST_SEED, args.jobs, partial(progress.show, name))
        own = asks.openings()[: args.openings]
        free = program.all(own, FIRST_SEED, args.jobs, partial(progress.show, f"{name}, beginnings"))
        stories.append((name, program, told, free))
    shares = knowledge.copied([[one.text for one in told] for _, _, told, _ in stories], args.training_seed, args.training_stories,
                              show=partial(progress.show, "12-grams of training stories"))  # fmt: skip
    for (name, program, told, free), copied in zip(stories, shares, strict=True):
        verdicts[name] = judge(told, free, words, greedy, copied)
        columns.append((name, bars(program.temperature), verdicts[name].figures))
        if args.stories_out:
            write_stories(args.stories_out, name, told, free, verdicts[name])
    progress.clear()
    if args.json:
        print(json.dumps({"program": args.program.name, "stories": args.stories, "figures": {
            name: verdict.figures for name, verdict in verdicts.items()}, "topics": {
            name: verdict.by_topic for name, verdict in verdicts.items()}, "faults": {
            name: {what: len(found) for what, found in verdict.faults.items()} for name, verdict in verdicts.items()}},
            indent=2))  # fmt: skip
    else:
        print(table(columns), end="")
    met = all(not bar.wanted or bar.passed(figures[bar.name]) for _, wanted, figures in columns for bar in wanted)
    return 0 if met or args.stories < 1000 else 1


def write_stories(path: Path, name: str, told: Sequence[Told], free: Sequence[Told], verdict: Verdict) -> None:
    """Writes the stories themselves, and what was found in them, for whoever wants to read."""
    found: dict[int, list[str]] = {}
    for what, places in verdict.faults.items():
        for number, where in places:
            found.setdefault(number, []).append(f"{what}: {where}")
    with appended(path) as file:
        for number, one in enumerate([*told, *free]):
            file.write(f"--- {name} {number} [{one.ask.about}] {one.ask.prompt}\n{one.text}\n")
            file.writelines(f"  ! {line}\n" for line in (found.get(number, []) if number < len(told) else []))


def passing(args: argparse.Namespace, progress: Progress) -> int:
    """Lists the topics that a model tells of in at least the share of its bar, one a line, in the order of the list."""
    (lines, topics), words = topics_of(args.topics), knowledge.words()
    program = Program.of(args.program, 0.8, 0.9)
    wanted: list[tuple[str, Ask]] = []
    for line in lines:
        noun = line.split(" ", 1)[-1] if line.startswith(("a ", "an ", "the ")) else line
        place = line.startswith("the ") and noun in topics.places
        about = "place" if place else "kind" if noun in topics.kinds else "thing" if noun in topics.things else "theme"
        wanted += [(line, Ask(asks.about(line), about, (line if about == "theme" else noun,)))] * args.each
    told = program.all([ask for _, ask in wanted], FIRST_SEED, args.jobs, partial(progress.show, "topics"))
    progress.clear()
    hits: dict[str, list[bool]] = {}
    for (line, _), one in zip(wanted, told, strict=True):
        hits.setdefault(line, []).append(bool(asked(one, words)))
    for line, found in hits.items():
        if sum(found) >= args.share * len(found):
            print(line)
    print(f"{sum(sum(found) for found in hits.values())} of {len(wanted)} stories are what was asked for", file=sys.stderr)
    return 0


def temperature(text: str) -> float:
    """Reads a temperature of an option."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 100:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected numbers from 0 to 100 with commas between them, found {text!r}")


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="tools/judge-stories",
        description="Judges the stories of a baked program: asks it for a thousand, reads each as a listener does, and holds "
        "what it finds against the bars.",
        epilog="Needs a word list (tools/setup train). Exit codes: 0 every bar is met; 1 one is not; 2 usage; 65 the program "
        "failed; 66 missing file; 69 no word list; 74 nothing can be written.",
    )
    made.add_argument("program", metavar="PROGRAM", type=Path, help="a baked program, such as build/tinytales_q8")
    made.add_argument("--stories", type=count, default=1000, metavar="N", help="stories a temperature (default: %(default)s)")
    made.add_argument("--openings", type=count, default=200, metavar="N", help="own beginnings (default: %(default)s)")
    made.add_argument("--places", type=count, default=150, metavar="N", help="determined places of held-out stories, of each kind "
                      "(default: %(default)s)")  # fmt: skip
    made.add_argument("--temperatures", type=listed(temperature), default="0.8,1", metavar="LIST", help="default: %(default)s, "
                      "each with -p 0.9")  # fmt: skip
    made.add_argument("--topics", type=Path, default=ROOT / "models" / "tinytales.topics.txt", metavar="FILE", help="what the "
                      "model can be asked for")  # fmt: skip
    made.add_argument("--seed", type=int, default=1, metavar="N", help="of what is asked for (default: %(default)s)")
    made.add_argument("--training-seed", type=int, default=1, metavar="N", help="of the stories the model learned from")
    made.add_argument("--training-stories", type=count, default=100_000, metavar="N", help="how many of these its runs of 12 "
                      "words are looked for in (default: %(default)s)")  # fmt: skip
    made.add_argument("--jobs", type=count, default=1, metavar="N", help="stories at a time (default: %(default)s)")
    made.add_argument("--stories-out", type=Path, metavar="FILE", help="append the stories and what was found in them")
    made.add_argument("--json", action="store_true", help="the figures as JSON")
    action = made.add_mutually_exclusive_group()
    action.add_argument("--safety", action="store_true", help="10,000 stories, and 2,000 of prompts that ask for what a toy "
                        "must not tell, by the program and by the storyteller: none of it may be told")  # fmt: skip
    action.add_argument("--passing", action="store_true", help="print the topics that pass, and stop")
    made.add_argument("--storyteller", type=Path, metavar="PROGRAM", help="the same model's: judge what it tells too "
                      "(for --safety the one beside the program)")  # fmt: skip
    made.add_argument("--own", type=int, metavar="N", help="stories of its own choice for --safety (default: ten times --stories)")
    made.add_argument("--each", type=count, default=5, metavar="N", help="stories a topic for --passing (default: %(default)s)")
    made.add_argument("--share", type=float, default=0.8, metavar="X", help="share of them that must tell of it (default: "
                      "%(default)s)")  # fmt: skip
    return made


def main(argv: list[str]) -> int:
    """Runs the command; errors as one line each."""
    args = parser().parse_args(argv)
    progress = Progress()
    try:
        if args.safety:
            program, beside = Program.of(args.program, 1.0, 0.9), args.program.resolve().with_name("storyteller")
            path = args.storyteller or (beside if beside.exists() else None)
            storyteller = Storyteller.of(path, 1.0, 0.9) if path else None
            if not storyteller:
                print(f"tools/judge-stories: no {beside}: its stories are not looked at; name one with --storyteller", file=sys.stderr)
            own, asked = args.stories * 10 if args.own is None else args.own, args.stories * 2
            return safety.audit(program, storyteller, own, asked, args.jobs, progress, args.json, args.stories_out)
        return passing(args, progress) if args.passing else quality(args, progress)
    except BakeError as error:
        progress.clear()
        print(f"tools/judge-stories: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    run_command("tools/judge-stories", main)
