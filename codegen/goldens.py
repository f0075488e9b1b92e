"""Renders and compares the golden generated sources: `generated/models.toml` says of which models and targets.

    tools/regen                   rewrites generated/<model>-<target>/
    tools/regen --check           compares, prints the differences, and fails when there are any
    tools/regen MODEL --diff      what the working tree changes in the code of a model of yours (codegen.changes)
    tools/regen --examples        rewrites what the READMEs show of their commands (tests/docs/examples.py)
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from codegen.changes import changes
from codegen.command import run_command
from codegen.emit import render
from codegen.errors import IO, BakeError, refuse
from codegen.model import Model, check_dims
from codegen.names import check_name
from codegen.output import write_if_changed
from codegen.plan import make_plan
from codegen.targets import find_target

FOLDER = Path(__file__).resolve().parent.parent / "generated"
KEPT = {"README.md", "meson.build", "models.toml"}


def golden_sources(folder: Path = FOLDER) -> dict[Path, str]:
    """Returns the path and the text of every golden file, as the generator would write it now."""
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
    """Yields a unified diff of every golden file that is not what the generator emits, and a line for each that it doesn't."""
    texts = golden_sources(folder)
    for path, text in texts.items():
        found = path.read_text() if path.is_file() else ""
        if found != text:
            name = str(path.relative_to(folder.parent))
            yield "".join(difflib.unified_diff(found.splitlines(True), text.splitlines(True), name, "emitted now"))
    for path in orphans(folder, texts):
        yield f"{path.relative_to(folder.parent)}: nothing emits this file\n"


def orphans(folder: Path, texts: dict[Path, str]) -> list[Path]:
    """Finds files in the golden folders that the generator does not write."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p not in texts and p.name not in KEPT)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="tools/regen",
        description="Rewrites the golden sources in generated/ and names the files that changed; or shows what an edit of a "
        "template, of the plan or of a target changes in the code of your model.",
        epilog="For example: tools/regen; git diff generated     or: tools/regen models/tinytales_q8.bin --target duo --diff",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="with --diff: the model whose code is compared")
    parser.add_argument("--check", action="store_true", help="only compare the golden sources, and fail when they differ")
    parser.add_argument("--examples", action="store_true", help="rewrite what the READMEs show of their commands, running them")
    parser.add_argument(
        "--diff", nargs="?", const="HEAD", metavar="COMMIT", help="compare with the generator of a commit (default HEAD, the last)"
    )
    for option, about in (
        ("--target", "the target whose code is compared (default: this machine's)"),
        ("--weights", "the type of the weights, as -Dweights="),
        ("--classifier", "of classifier and embedding, as -Dclassifier="),
        ("--kv", "of the key/value cache, as -Dkv="),
        ("--context", "positions, as -Dcontext="),
    ):
        parser.add_argument(option, metavar="NAME", help=about)
    args = parser.parse_args(argv)
    bake = {name: value for name in ("target", "weights", "classifier", "kv", "context") if (value := getattr(args, name))}
    if bool(args.model) != bool(args.diff) or args.check + args.examples + bool(args.model) > 1 or bake and not args.model:
        parser.error(
            "expected nothing, --check, --examples, or a model and --diff: tools/regen MODEL [--target NAME] --diff [COMMIT]"
        )
    if args.examples:
        return subprocess.run([sys.executable, str(FOLDER.parent / "tests/docs/examples.py")], check=False).returncode
    try:
        if args.model:
            return show_changes([args.model, *(word for name in bake for word in (f"--{name}", bake[name]))], args.diff)
        return check() if args.check else rewrite()
    except BakeError as error:  # of an edit of the plan or of a target as well
        return refuse("tools/regen", error)
    except OSError as error:
        return refuse("tools/regen", BakeError(f"{error.filename or 'standard output'}: can't be written: {error.strerror}", IO))


def show_changes(arguments: list[str], commit: str) -> int:
    """Prints what changed in the code of a model since a commit; the exit code, 0 also when something has."""
    if "--target" not in arguments:
        arguments += ["--target", "native"]
    found = list(changes(arguments, commit))
    print(*found, sep="", end="")
    if not found:
        print(f"tools/regen: the code is what {commit} generates", file=sys.stderr)
    return 0


def check() -> int:
    """Compares the golden sources with what is emitted now; the exit code."""
    found = list(differences())
    print(*found, sep="", end="")
    if found:
        print("generated/ is not what the generator emits: run tools/regen and review the diff", file=sys.stderr)
    return 1 if found else 0


def rewrite() -> int:
    """Writes the golden sources and names those that changed; the exit code."""
    texts = golden_sources()
    for path, text in texts.items():
        if write_if_changed(path, text.encode()):
            print(path.relative_to(FOLDER.parent))
    for path in orphans(FOLDER, texts):
        path.unlink()
        print(f"{path.relative_to(FOLDER.parent)} removed")
    return 0


if __name__ == "__main__":
    run_command("tools/regen", main)
