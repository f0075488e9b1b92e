"""The template language of the plots and its expansion.

`[a|b|c]` chooses one branch (they nest, and a branch may be empty), `~[a|b]` often
says nothing at all, `{slot}` is a value of the story, `{@macro}` a
shared passage from `plots/common.txt`.  A line is a sentence or a few; a line that begins with `?` is left out half
of the time; an empty line starts a paragraph.  Articles are written "a" everywhere and become "an" at the end.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_SLOT = re.compile(r"\{([^{}]+)\}")
_AN = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])")
_NOT_AN = re.compile(r"\b([Aa])n (?=(?:uni|use|one\b|once\b))")
_TOKEN = re.compile(r"~?\[|[|\]]|[^~\[|\]]+|~")
_LEFT_OUT = 0.7  # how often a "~[...]" says nothing


@dataclass(frozen=True)
class _Choice:
    """A bracket: its branches, and whether it was marked with ~."""

    often_left_out: bool
    branches: tuple[tuple["str | _Choice", ...], ...]


@dataclass(frozen=True)
class Plot:
    """One plot: its name, header fields and body lines (empty string: new paragraph)."""

    name: str
    fields: Mapping[str, str]
    lines: tuple[str, ...]

    def uses(self, slot: str) -> bool:
        """Whether any line mentions `{slot}`."""
        return any("{" + slot + "}" in line for line in self.lines)

    def words(self, field: str) -> tuple[str, ...]:
        """A space-separated header field."""
        return tuple(self.fields.get(field, "").split())


def read_plots(path: Path) -> list[Plot]:
    """Parse one plot file: `# name`, then `key: value` headers, then `---`, then the body.

    Raises ValueError naming file and plot when a header line is malformed or a body is empty.
    """
    plots = []
    for block in re.split(r"^# ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
        head, separator, body = block.partition("\n---\n")
        name, *headers = head.strip().split("\n")
        fields = {}
        for header in headers:
            key, colon, value = header.partition(":")
            if not colon:
                raise ValueError(f"{path.name}: {name}: header {header!r} has no colon; write key: value")
            fields[key.strip()] = value.strip()
        if not separator or not body.strip():
            raise ValueError(f"{path.name}: {name}: found no body after '---'; every plot needs one")
        plots.append(Plot(name, fields, tuple(body.strip().split("\n"))))
    return plots


def read_macros(path: Path) -> dict[str, str]:
    """Parse `name = template` lines; blank lines and lines that begin with `//` are skipped."""
    macros = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("//"):
            name, _, template = line.partition(" = ")
            macros[name.strip()] = template.strip()
    return macros


@lru_cache(maxsize=None)
def _parse(template: str) -> tuple["str | _Choice", ...]:
    """A template as literal text and choices.  Raises ValueError when brackets do not match."""
    stack: list[list[list[str | _Choice]]] = [[[]]]
    marks: list[bool] = []
    for piece in _TOKEN.findall(template):
        if piece in ("[", "~["):
            stack.append([[]])
            marks.append(piece == "~[")
        elif piece == "|" and marks:
            stack[-1].append([])
        elif piece == "]" and marks:
            branches = tuple(tuple(branch) for branch in stack.pop())
            stack[-1][-1].append(_Choice(marks.pop(), branches))
        elif piece in ("]", "|"):
            raise ValueError(f"template {template!r}: {piece} outside brackets")
        else:
            stack[-1][-1].append(piece)
    if marks:
        raise ValueError(f"template {template!r}: a bracket is not closed")
    return tuple(stack[0][0])


def _choose(parts: tuple["str | _Choice", ...], rng: random.Random) -> str:
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
        elif not (part.often_left_out and rng.random() < _LEFT_OUT):
            text += _choose(rng.choice(part.branches), rng)
    return text


def expand(template: str, values: Mapping[str, str], macros: Mapping[str, str], rng: random.Random) -> str:
    """Expand choices, macros and slots; `{He}` is `{he}` with a capital.  Raises KeyError naming an unknown slot."""
    def fill(match: re.Match[str]) -> str:
        key = match.group(1)
        if key.startswith("@"):
            return expand(macros[key[1:]], values, macros, rng)
        value = values[key] if key in values else capital(values[key[0].lower() + key[1:]])
        return expand(value, values, macros, rng) if "{" in value else value

    return _SLOT.sub(fill, _choose(_parse(template), rng))


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def articles(text: str) -> str:
    """Turn "a apple" into "an apple", leaving "a unicorn" and "a one" alone."""
    return _NOT_AN.sub(r"\1 ", _AN.sub(r"\1n ", text))


def render(lines: tuple[str, ...], values: Mapping[str, str], macros: Mapping[str, str], rng: random.Random) -> str:
    """One text from template lines: sentences joined by spaces, paragraphs by a newline."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if not line.strip():
            paragraphs.append([])
            continue
        if line.startswith("?"):
            if rng.random() < 0.5:
                continue
            line = line[1:]
        sentence = re.sub(r" +", " ", expand(line.strip(), values, macros, rng)).strip()
        if sentence:
            paragraphs[-1].append(sentence)
    return articles("\n".join(" ".join(sentences) for sentences in paragraphs if sentences))
