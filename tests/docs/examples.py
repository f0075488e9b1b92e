"""The examples of the READMEs that show what a command prints: a line `$ COMMAND`, and its text below it.

    python3 tests/docs/examples.py     runs each and rewrites what is shown: tools/regen --examples

STAND_INS names variables of the environment with programs that are built already, to run in place of those typed, with
the options of ADDED, which the tool puts before those given.
What is shown may end with "...", and stands for the beginning of what is printed; line breaks may be elsewhere.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "README.zh.md")
EXAMPLE = re.compile(r"^    \$ (?P<command>.+)\n(?P<shown>(?:    (?!\$ ).*\S.*\n)+)", re.MULTILINE)
STAND_INS = {"tools/story": "STORYBAKE_TINYTALES", "build/storyteller": "STORYBAKE_STORYTELLER"}
ADDED = {"tools/story": ["-t", "0.8", "-n", "0"]}
LONGEST = 160  # shows so many characters of a longer text at most, to the end of a sentence
WIDTH = 116


@dataclass(frozen=True)
class Example:
    """A command and what a page shows of its output, in one line."""

    command: str
    shown: str

    def agrees_with(self, printed: str) -> bool:
        """Whether the text that was printed is, or begins with, what is shown."""
        text = one_line(printed)
        return text.startswith(self.shown.removesuffix("...").rstrip()) if self.shown.endswith("...") else text == self.shown


def one_line(text: str) -> str:
    return " ".join(text.split())


def examples(page: str) -> list[Example]:
    """The examples of a page's text."""
    return [Example(found["command"], one_line(found["shown"])) for found in EXAMPLE.finditer(page)]


def stand_in(program: str) -> str:
    """The program that is built already for one of STAND_INS; empty when none is named."""
    return os.environ.get(STAND_INS.get(program, ""), "")


def run(command: str) -> str:
    """What a command prints on standard output. Raises CalledProcessError when it fails."""
    program, *arguments = shlex.split(command)
    words = [stand_in(program), *ADDED.get(program, []), *arguments] if stand_in(program) else [program, *arguments]
    return subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout


def abridged(text: str) -> str:
    """A text in one line, the sentences that begin it when it is long."""
    text = one_line(text)
    if len(text) <= LONGEST:
        return text
    ends = [found.end() for found in re.finditer(r"[.!?]\"?(?= )", text) if found.end() <= LONGEST]
    return text[: ends[-1] if ends else text.rfind(" ", 0, LONGEST)] + " ..."


def rewritten(page: str, outputs: dict[str, str]) -> str:
    """A page's text with the commands' outputs in place of what it shows."""

    def example(found: re.Match[str]) -> str:
        shown = textwrap.indent("\n".join(textwrap.wrap(abridged(outputs[found["command"]]), WIDTH)), "    ")
        return f"    $ {found['command']}\n{shown}\n"

    return EXAMPLE.sub(example, page)


def main() -> int:
    """Runs every example as it is typed and names the pages that are rewritten."""
    texts = {ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    commands = dict.fromkeys(example.command for text in texts.values() for example in examples(text))
    try:
        outputs = {command: run(command) for command in commands}
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"tools/regen: an example of the READMEs failed: {error}", file=sys.stderr)
        return 1
    for path, text in texts.items():
        if (now := rewritten(text, outputs)) != text:
            path.write_text(now, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
