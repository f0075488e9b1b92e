"""The table of targets: what the plan needs to know of a processor. Adding one is a row, a template and a golden."""

from __future__ import annotations

from dataclasses import dataclass

from codegen.errors import USAGE, BakeError


@dataclass(frozen=True)
class Target:
    """How a processor wants its weights, and which template holds its kernels.

    A weight matrix is cut into tiles of rows, and a tile is stored column by column, so that the rows of a tile are
    the lanes of a vector. `f32_tiles` and `q8_tiles` list the rows that a tile may have, largest first; the rows that
    are left over after the last one are padded with zeros. `q8_columns` columns of a row lie together (a dot-product
    instruction takes four), as far as the group size allows. `lanes` positions of the key cache lie together.
    """

    name: str
    about: str
    kernels: str  # templates/kernels_<kernels>.cpp.jinja
    f32_tiles: tuple[int, ...]
    q8_tiles: tuple[int, ...]
    q8_columns: int
    lanes: int
    max_batch: int
    max_threads: int


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="portable",
            about="C++ for any processor; the compiler's own vectors",
            kernels="portable",
            f32_tiles=(16, 4),
            q8_tiles=(16, 4),
            q8_columns=1,
            lanes=16,
            max_batch=8,
            max_threads=64,
        ),
    )
}


def find_target(name: str) -> Target:
    """The target of a name; BakeError (usage) naming those there are."""
    if name not in TARGETS:
        raise BakeError(f"target: expected one of {', '.join(TARGETS)}, found {name!r}", USAGE)
    return TARGETS[name]
