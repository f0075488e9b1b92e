"""python3 -m manual NAME --version V --table FILE... [--shared FILE] --output FOLDER

Writes NAME.1, NAME.bash, _NAME (zsh) and NAME.fish. --table are the program's tables (runtime/options.inc,
storyteller/options.inc); of --shared it takes the rows that are not another program's alone.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import jinja2

from codegen.command import run_command
from codegen.errors import BakeError, refuse
from codegen.output import write_if_changed
from manual.table import Option, escape_man, read_table, short

TEMPLATES = Path(__file__).resolve().parent

# Output file -> template; {} is the program's name.
OUTPUTS = {"{}.1": "man.1.jinja", "{}.bash": "completion.bash.jinja", "_{}": "completion.zsh.jinja", "{}.fish": "completion.fish.jinja"}


def environment() -> jinja2.Environment:
    """As codegen's: ${ } so that the shells' braces need no escape, and no undefined name goes unnoticed."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        variable_start_string="${{",
        variable_end_string="}}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # no HTML; names and texts are the project's own
    )
    env.filters["man"] = escape_man
    env.filters["short"] = short
    env.filters["quoted"] = lambda text: "'" + text.replace("'", "'\\''") + "'"
    env.filters["for_zsh"] = lambda text: re.sub(r"([][:\\])", r"\\\1", text).replace("'", "'\\''")
    env.filters["for_fish"] = lambda text: text.replace("\\", "\\\\").replace("'", "\\'")
    return env


def render(name: str, version: str, options: list[Option], storyteller: bool) -> dict[str, str]:
    """Renders the text of every file, by its name."""
    env = environment()
    function = "_storybake_" + re.sub(r"\W", "_", name, flags=re.ASCII)
    return {
        output.format(name): env.get_template(template).render(
            name=name, version=version, options=options, function=function, storyteller=storyteller
        )
        for output, template in OUTPUTS.items()
    }


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="manual", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--version", required=True)
    parser.add_argument("--table", required=True, type=Path)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    args = parser.parse_args(argv)
    try:
        options = read_table(args.table)
        if args.shared:
            options += [option for option in read_table(args.shared) if not option.own]
        for file, text in render(args.name, args.version, options, args.shared is not None).items():
            write_if_changed(args.output / file, text.encode())
    except BakeError as error:
        return refuse("storybake", error)
    return 0


if __name__ == "__main__":
    run_command("manual", main)
