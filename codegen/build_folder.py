"""Sets up Meson's build folders for the tools that bake models by themselves: measurements, simulations, comparisons of types."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path


def set_up(folder: Path, options: Sequence[str], run: Callable[[list[str | Path]], None]) -> None:
    """Has `run`, which raises an error of its own, set up a folder with Meson's options, where none was set up there yet."""
    if (folder / "build.ninja").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)  # Meson stumbles over what a setup that was cut short has left
    run(["meson", "setup", folder, *options])
