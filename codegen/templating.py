"""Sets up Jinja as the generator uses it: one environment, its filters, and from which template a line of the output comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import jinja2
import numpy as np

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
MARK = re.compile("\x01(.*?)\x02")  # stands before what a line of a template says: the template's name


def thousands(value: int) -> str:
    """Writes 1234567 -> "1,234,567"."""
    return f"{value:,}"


def camel(name: str) -> str:
    """Writes rms_final_weight -> RmsFinalWeight."""
    return "".join(word.capitalize() for word in name.split("_"))


def shape(dims: tuple[int, ...]) -> str:
    """Writes (64,) -> "(64,)", (172, 64) -> "(172,64)"."""
    return f"({','.join(map(str, dims))}{',' if len(dims) == 1 else ''})"


def float32(value: float) -> str:
    """Writes the C++ literal of the float32 nearest to a value, short and exact."""
    text = str(np.float32(value))
    return (text if any(c in text for c in ".e") else text + ".0") + "F"


def plus(term: str, number: int) -> str:
    """Writes ("x", 4) -> "x + 4", ("x", -4) -> "x - 4", ("x", 0) -> "x"."""
    return f"{term} {'+' if number > 0 else '-'} {abs(number)}" if number else term


def environment(folder: Path = TEMPLATES, marked: bool = False) -> jinja2.Environment:
    """Makes the one Jinja environment, for a folder's templates: ${ } so that C++ braces need no escape; undefined names are
    errors. `marked`: each line says which template it comes from, for `name_templates`."""
    env = jinja2.Environment(
        loader=(MarkingLoader if marked else jinja2.FileSystemLoader)(folder),
        variable_start_string="${",
        variable_end_string="}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # C++, not HTML; names are checked by codegen.names
    )
    for its_filter in (camel, float32, plus, shape, thousands):
        env.filters[its_filter.__name__] = its_filter
    return env


class MarkingLoader(jinja2.FileSystemLoader):
    """Puts the template's name before every line that is text, not a statement of Jinja's."""

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        """Loads as Jinja's own does."""
        source, path, is_current = super().get_source(environment, template)
        lines, closing = [], ""
        for line in source.split("\n"):
            is_text = line.strip() and not closing and not line.lstrip().startswith(("{%", "{#"))
            lines.append(f"\x01{template}\x02{line}" if is_text else line)
            for delimiter in re.findall(r"\{[#%]|[#%]\}", line):
                closing = {"{#": "#}", "{%": "%}"}.get(delimiter, "" if delimiter == closing else closing)
        return "\n".join(lines), path, is_current


def name_templates(text: str, template: str) -> str:
    """Returns a marked text with a comment above each function that comes from another template than `template`, and no marks."""
    marked = text.split("\n")
    lines = [MARK.sub("", line) for line in marked]
    result: list[str] = []
    for i, line in enumerate(lines):
        if (not result or result[-1] == "" or result[-1].endswith("{")) and (head := function_head(lines[i:])):
            origin = next((found[1] for at in range(i, i + head) if (found := MARK.search(marked[at]))), template)
            if origin != template:
                result.append(f"// templates/{origin}")
        result.append(line)
    return "\n".join(result)


def function_head(lines: list[str]) -> int:
    """Counts how many lines a function's comment and head take when it begins here, at namespace scope; 0 where none does."""
    code = ""
    for count, line in enumerate(lines, 1):
        if not code and line.startswith("//"):
            continue
        if not code and not re.match(r"[A-Za-z\[]", line) or line.startswith(("namespace", "struct", "using", "typedef")):
            return 0
        code += line
        if line.endswith(("{", "}", ";")):
            return count if "(" in code and not line.endswith(";") and " = " not in code.partition("(")[0] else 0
    return 0
