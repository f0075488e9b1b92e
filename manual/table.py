"""Reads a table of options: the rows of runtime/options.inc, which the C++ compiler includes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from codegen.input import read_small

# What a help text names that only the program itself knows.
FACTS = {
    "{seq_len}": "that the model has",
    "{threads}": "what --info says",
    "{batch}": "what --info says",
    "{voices}": "one of those that --help lists",
}

STRING = r'"(?:[^"\\]|\\.)*"'
HEADING = re.compile(rf"HEADING\(({STRING})\)")
OPTION = re.compile(rf"(OWN_)?OPTION\((?:'(.)'|0), ({STRING}), (?:({STRING})|nullptr), [^\",]+, ({STRING})\)")


@dataclass(frozen=True)
class Option:
    """Describes a row of a table. `heading` is that of the rows that it stands among."""

    heading: str
    letter: str  # empty: it has a long name alone
    name: str
    metavar: str  # empty: it takes no value
    help: str
    own: bool  # the program's alone

    @property
    def choices(self) -> list[str]:
        """Returns the values that it takes, when they are few: "read|map"."""
        return self.metavar.split("|") if "|" in self.metavar else []

    @property
    def names(self) -> list[str]:
        """Its names, the letter's first."""
        return [f"-{self.letter}"] * bool(self.letter) + [f"--{self.name}"]


def read_table(path: Path) -> list[Option]:
    """Reads the options of a table in its order. ValueError with the line of what is no row."""
    options = []
    heading = ""
    for number, line in enumerate(read_small(path).decode().splitlines(), 1):
        if not line or line.startswith("//"):
            continue
        if found := HEADING.fullmatch(line):
            heading = json.loads(found[1])
        elif found := OPTION.fullmatch(line):
            own, letter, name, metavar, text = found.groups()
            text = json.loads(text)
            for word, meaning in FACTS.items():
                text = text.replace(word, meaning)
            options.append(Option(heading, letter or "", json.loads(name), json.loads(metavar or '""'), text, bool(own)))
        else:
            raise ValueError(f"{path}:{number}: expected HEADING(...) or OPTION(...) in one line, found {line[:80]}")
    return options


def escape_man(text: str) -> str:
    """Escapes a text for roff, which reads it as such."""
    return re.sub(r"^([.'])", r"\\&\1", text.replace("\\", "\\e").replace("-", "\\-"))


def short(text: str) -> str:
    """Returns the beginning of a help text that a completion has room for."""
    return re.split(r"; | \(", text)[0]
