"""The golden generated sources: `generated/models.toml` says of which models and targets, this renders and compares.

    python3 -m codegen.goldens           rewrites generated/<model>-<target>/
    python3 -m codegen.goldens --check   compares, prints the differences, and fails when there are any
"""

from __future__ import annotations

import difflib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from codegen.emit import render
from codegen.model import Model, check_dims, check_name
from codegen.output import write_if_changed
from codegen.plan import make_plan
from codegen.targets import find_target

FOLDER = Path(__file__).resolve().parent.parent / "generated"
KEPT = {"README.md", "meson.build", "models.toml"}


def golden_sources(folder: Path = FOLDER) -> dict[Path, str]:
    """The path and the text of every golden file, as the generator would write it now."""
    texts: dict[Path, str] = {}
    for name, fields in tomllib.loads((folder / "models.toml").read_text()).items():
        targets = fields.pop("targets")
        fields.setdefault("head_size", fields["dim"] // fields["n_heads"])
        model = check_dims(Model(name=check_name(name), **fields), "models.toml")
        for target in targets:
            for file, text in render(make_plan(model, find_target(target))).items():
                texts[folder / f"{name}-{target}" / file] = text
    return texts


def differences(folder: Path = FOLDER) -> Iterator[str]:
    """A unified diff of every golden file that is not what the generator emits, and a line for each that it doesn't."""
    texts = golden_sources(folder)
    for path, text in texts.items():
        found = path.read_text() if path.is_file() else ""
        if found != text:
            name = str(path.relative_to(folder.parent))
            yield "".join(difflib.unified_diff(found.splitlines(True), text.splitlines(True), name, "emitted now"))
    for path in orphans(folder, texts):
        yield f"{path.relative_to(folder.parent)}: nothing emits this file\n"


def orphans(folder: Path, texts: dict[Path, str]) -> list[Path]:
    """Files in the golden folders that the generator does not write."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p not in texts and p.name not in KEPT)


def main(argv: list[str]) -> int:
    if argv == ["--check"]:
        found = list(differences())
        print(*found, sep="", end="")
        if found:
            print("generated/ is not what the generator emits: run tools/regen and review the diff", file=sys.stderr)
        return 1 if found else 0
    if argv:
        print(f"regen: expected nothing or --check, found {' '.join(argv)}", file=sys.stderr)
        return 2
    texts = golden_sources()
    for path, text in texts.items():
        if write_if_changed(path, text.encode()):
            print(path.relative_to(FOLDER.parent))
    for path in orphans(FOLDER, texts):
        path.unlink()
        print(f"{path.relative_to(FOLDER.parent)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
