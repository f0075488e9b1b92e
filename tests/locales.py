"""Locales whose numbers and letters are others than C's, compiled for the tests alone: no system has to have them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def locale(name: str, folder: Path) -> dict[str, str]:
    """The variables that give a program the locale `name`, such as tr_TR, compiled into a folder; skips the test where
    there is nothing to compile it from."""
    compiled = folder / f"{name}.UTF-8"
    try:
        result = subprocess.run(
            ["localedef", "-i", name, "-f", "UTF-8", compiled], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip(f"no localedef to compile {name} with; run: tools/setup check")
    if not (compiled / "LC_NUMERIC").is_file():
        pytest.skip(f"localedef has no {name} ({result.stderr.strip()}); run: tools/setup check")
    return {"LC_ALL": compiled.name, "LANG": compiled.name, "LANGUAGE": name[:2], "LOCPATH": str(folder)}
