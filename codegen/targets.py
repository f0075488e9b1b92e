"""The table of targets: what the plan needs to know of a processor. Adding one is a row, a template and a golden."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codegen.errors import USAGE, BakeError


@dataclass(frozen=True)
class Target:
    """How a processor wants its weights, and which template holds its kernels.

    A weight matrix is cut into tiles of rows, and a tile is stored column by column, so that the rows of a tile are
    the lanes of a vector. `f32_tiles` and `q8_tiles` list the rows that a tile may have, largest first; the rows that
    are left over after the last one are padded with zeros. `q8_columns` columns of a row lie together (a dot-product
    instruction takes four), as far as the group size allows, with `q8_bias` added. `lanes` positions of the key cache
    lie together.

    Where the template wants to know: `width` float32 lanes of a register, `registers` of them, and `max_positions`
    that a tile is multiplied with at once. `cpu` lists the extensions that a CPU must have, in GCC's names
    (__builtin_cpu_supports), and `cpp_args` what the compiler is told about it.
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
    q8_bias: int = 0
    width: int = 1
    registers: int = 1
    max_positions: int = 1
    cpu: tuple[str, ...] = ()
    cpp_args: tuple[str, ...] = ()


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
        Target(
            name="x86-64-v3",
            about="x86-64 with AVX2",
            kernels="x86",
            f32_tiles=(48, 8),
            q8_tiles=(48, 8),
            q8_columns=4,
            lanes=8,
            max_batch=16,
            max_threads=64,
            width=8,
            registers=16,
            max_positions=4,
            cpu=("avx2",),
            cpp_args=("-mavx2",),
        ),
        Target(
            name="avx512",
            about="x86-64 with AVX-512 and VNNI",
            kernels="x86",
            f32_tiles=(48, 16),
            q8_tiles=(48, 16),
            q8_columns=4,
            lanes=16,
            max_batch=16,
            max_threads=64,
            q8_bias=128,
            width=16,
            registers=32,
            max_positions=8,
            cpu=("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"),
            cpp_args=("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"),
        ),
    )
}


def cpu_extensions() -> frozenset[str]:
    """The instruction-set extensions of this machine in GCC's names; empty where the system doesn't say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    # Linux writes avx512_vnni, GCC avx512vnni.
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(flag.replace("_", "") for flag in flags.split())


def missing_extensions(target: Target) -> list[str]:
    """What a target needs and this machine lacks."""
    return [name for name in target.cpu if name not in cpu_extensions()]


def native_target() -> Target:
    """The last of the table that names what it needs and gets it on this machine, which is the fastest; or portable."""
    fitting = [target for target in TARGETS.values() if target.cpu and not missing_extensions(target)]
    return fitting[-1] if fitting else TARGETS["portable"]


def find_target(name: str) -> Target:
    """The target of a name, "native" being this machine's; BakeError (usage) naming those there are."""
    if name == "native":
        return native_target()
    if name not in TARGETS:
        raise BakeError(f"target: expected native or one of {', '.join(TARGETS)}, found {name!r}", USAGE)
    return TARGETS[name]
