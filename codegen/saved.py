"""Keeps the arguments of a command in a file for the build's commands after it, with what they are read from.

A path may hold what Meson takes for something else ("@OUTDIR@"), so it stands on no command line of the build but the first.
codegen/stamp.py watches the files, and the arguments.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from codegen.errors import BakeError, shown
from codegen.formats.json_file import read_object, typed
from codegen.output import write_if_changed

NINJAS = "|"  # is a word of Ninja's language that nothing makes a letter of: its files would ask for Meson again and again


def save(out: Path, arguments: list[str], files: Iterable[Path], folders: Iterable[Path] = ()) -> None:
    """Keeps the arguments after a command's name, and the files and folders to watch, those among them that may yet appear.
    Raises BakeError for a name that Meson's files can't hold."""
    watched = {"files": sorted({str(path.absolute()) for path in files}), "folders": sorted({str(path.absolute()) for path in folders})}
    for text in (*arguments, *watched["files"], *watched["folders"]):
        if bad := next((letter for letter in text if unicodedata.category(letter) in ("Cc", "Cs") or letter in NINJAS), None):
            raise BakeError(f"{shown(text)}: found {shown(bad)} in a name, which a build can't hold; rename the file or its folder")
    write_if_changed(out, json.dumps({"arguments": arguments, **watched}, indent=1).encode())


def expanded(argv: list[str]) -> list[str]:
    """Returns the arguments `COMMAND --bake FILE REST` with what `save` has kept in place of the file; any others as they are."""
    if argv[1:2] != ["--bake"] or len(argv) < 3:
        return argv
    saved = typed(read_object(Path(argv[2])), "arguments", list, argv[2]) or []
    return [argv[0], *map(str, saved), *argv[3:]]
