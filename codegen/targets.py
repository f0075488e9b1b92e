"""Lists the targets: what the plan needs to know of a processor. Adding one is a row, a template and a golden."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codegen.errors import USAGE, BakeError
from codegen.model import Model
from codegen.weight_types import WeightType


@dataclass(frozen=True)
class Dialect:
    """Says how a compiler and its assembler spell the RISC-V vector code of an `extension`.

    `intrinsics` is put before the name of an intrinsic, `mnemonics` before that of an instruction; `renamed` lists the
    instructions that are called something else than in RVV 1.0; `policy` ends a vsetvli.
    """

    extension: str
    intrinsics: str
    mnemonics: str
    policy: str
    renamed: dict[str, str] = field(default_factory=dict)

    def op(self, name: str) -> str:
        """Returns the mnemonic of an instruction that RVV 1.0 calls `name`."""
        return self.mnemonics + self.renamed.get(name, name)

    def vsetvl(self, register: str, sew: int, lmul: int) -> str:
        """Returns the instruction that sets vl to VLMAX, also put into `register`."""
        return f"{self.mnemonics}vsetvli {register}, zero, e{sew}, m{lmul}{self.policy}"


# RVV 0.7.1 loads and stores elements of the current width; a narrowing shift names its operands as a plain one does.
RVV_0_7_1 = {
    **{f"vle{sew}.v": "vle.v" for sew in (8, 16, 32)},
    **{f"vse{sew}.v": "vse.v" for sew in (8, 16, 32)},
    "vlseg2e32.v": "vlseg2e.v",
    "vsseg2e32.v": "vsseg2e.v",
    "vnsra.wi": "vnsra.vi",
}
RVV_1_0 = Dialect(extension="RVV 1.0", intrinsics="__riscv_", mnemonics="", policy=", ta, ma")
XTHEADVECTOR = Dialect(extension="RVV 0.7.1", intrinsics="__riscv_", mnemonics="th.", policy="", renamed=RVV_0_7_1)
T_HEAD_GCC_10 = Dialect(extension="RVV 0.7.1", intrinsics="", mnemonics="", policy="", renamed=RVV_0_7_1)


LOADED_AHEAD = 16  # counts the vector registers that RISC-V's matrix products fill before they know that there is more


@dataclass(frozen=True)
class Target:
    """Says how a processor wants its weights, and which template holds its kernels.

    A weight matrix is cut into tiles of rows, and a tile is stored column by column, so that the rows of a tile are
    the lanes of a vector. `float_tiles` (f32, f16) and `int_tiles` (q8, q4) list the rows that a tile may have, largest
    first; the rows that are left over after the last one are padded with zeros. `int_columns` columns of a row of integers
    lie together (a dot-product instruction takes four), as far as the group size allows; `unsigned`: such an instruction
    takes weights of 0 or more; `dots`: it adds up in 32 bits, where others have 16 for two products.
    `key_block` positions of the key cache lie together.

    Where the template wants to know: `width` float32 lanes of a register, `registers` of them, `max_positions`
    that a tile is multiplied with at once, and how many bytes of weights ahead to `prefetch`. `cpu` lists the
    extensions that a CPU must have, in GCC's names (__builtin_cpu_supports; Arm's in Linux's), `cpp_args` what the compiler
    is told about it, and `header` what it then must have.
    """

    name: str
    about: str
    kernels: str  # names templates/kernels_<kernels>.cpp.jinja: portable, vectors (with a simd_<simd>.jinja) or rvv
    float_tiles: tuple[int, ...]
    int_tiles: tuple[int, ...]
    int_columns: int
    key_block: int
    max_batch: int
    max_threads: int
    unsigned: bool = False
    dots: bool = False
    simd: str = ""
    width: int = 1
    registers: int = 1
    max_positions: int = 1
    prefetch: int = 0
    cpu: tuple[str, ...] = ()
    cpp_args: tuple[str, ...] = ()
    header: str = "cstddef"  # declares the intrinsics
    ram_budget: int = 0  # counts the MB that a program may need; 0: not limited
    vlen: int = 0  # counts the bits of a vector register; 0: the kernels don't depend on it
    dialect: Dialect | None = None
    half_floats: bool = False  # says that vectors of float16 can be converted (on RVV 1.0, Zvfhmin)

    def tiles(self, weight_type: WeightType) -> tuple[int, ...]:
        """Returns the rows that a tile of a weight type may have."""
        return self.int_tiles if weight_type.quantized else self.float_tiles

    @property
    def over_read(self) -> int:
        """Counts the bytes that kernels read, and drop, past the weights: what they load ahead."""
        return LOADED_AHEAD * self.vlen // 8

    def padded_head(self, model: Model) -> int:
        """Counts the elements from one position to the next in a model's value cache: whole vector registers."""
        register = max(self.vlen // (8 * model.cached_bytes), 1)
        return -(-model.head_size // register) * register


def rvv(name: str, about: str, dialect: Dialect, vlen: int, max_threads: int = 1, **more: Any) -> Target:
    """Makes a RISC-V target: the largest float32 tile is eight registers of rows, a q8 tile one register of int8."""
    lanes = vlen // 32
    return Target(
        name=name,
        about=about,
        kernels="rvv",
        float_tiles=(8 * lanes, 4 * lanes, 2 * lanes, lanes),
        int_tiles=(vlen // 8,),
        int_columns=1,
        key_block=16,
        max_batch=8,
        max_threads=max_threads,
        # Leave out GCC's own vectors: what matters is vectorised by hand, and GCC 14 miscompiles the portable int8 product at
        # 256 bits.
        cpp_args=("-fno-tree-vectorize",),
        header="riscv_vector.h",
        vlen=vlen,
        dialect=dialect,
        **more,
    )


def neon(name: str, about: str, **more: Any) -> Target:
    """Makes a target of 64-bit Arm: a tile is twelve registers of rows, as many sums as leave registers to load into."""
    return Target(
        name=name,
        about=about,
        kernels="vectors",
        simd="neon",
        float_tiles=(48, 16, 4),
        int_tiles=(48, 16, 4),
        int_columns=4,
        key_block=4,
        max_batch=16,
        max_threads=64,
        width=4,
        registers=32,
        max_positions=4,
        prefetch=2048,
        header="arm_neon.h",
        **more,
    )


# A stock image of the Duo has 28.3 MB for Linux (`free`, Milk-V's documentation; the rest of the 64 MB is the camera's),
# of which its own programs take about 4. Without that reservation (ION_SIZE = 0) it is 55.3: -Dram_budget=50.
DUO_MB = 24
C906 = {"vlen": 128, "half_floats": True}

TARGETS = {
    target.name: target
    for target in (
        Target(
            name="portable",
            about="C++ for any processor; the compiler's own vectors",
            kernels="portable",
            float_tiles=(16, 4),
            int_tiles=(16, 4),
            int_columns=1,
            key_block=16,
            max_batch=8,
            max_threads=64,
        ),
        Target(
            name="x86-64-v3",
            about="x86-64 with AVX2",
            kernels="vectors",
            simd="x86",
            float_tiles=(48, 8),
            int_tiles=(48, 8),
            int_columns=4,
            key_block=8,
            max_batch=16,
            max_threads=64,
            width=8,
            registers=16,
            max_positions=4,
            prefetch=8192,
            cpu=("avx2",),
            cpp_args=("-mavx2", "-mf16c"),  # no processor has one without the other
            header="immintrin.h",
        ),
        Target(
            name="avx512",
            about="x86-64 with AVX-512 and VNNI",
            kernels="vectors",
            simd="x86",
            float_tiles=(48, 16),
            int_tiles=(48, 16),
            int_columns=4,
            key_block=16,
            max_batch=16,
            max_threads=64,
            unsigned=True,
            dots=True,
            width=16,
            registers=32,
            max_positions=8,
            prefetch=8192,
            cpu=("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"),
            cpp_args=("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mf16c"),
            header="immintrin.h",
        ),
        neon("aarch64", "64-bit Arm with NEON: Raspberry Pi 3 and 4, Zero 2 W", cpu=("asimd",), cpp_args=("-mtune=cortex-a72",)),
        neon(
            "aarch64-dotprod",
            "64-bit Arm with SDOT: Raspberry Pi 5, Apple M1",
            dots=True,
            cpu=("asimd", "asimddp"),
            cpp_args=("-march=armv8.2-a+dotprod", "-mtune=cortex-a76"),
        ),
        rvv("duo", "Milk-V Duo, XuanTie C906: RVV 0.7.1 as GCC 14 spells it", XTHEADVECTOR, ram_budget=DUO_MB, **C906),
        rvv("duo-sdk", "Milk-V Duo, XuanTie C906: RVV 0.7.1, the SDK's GCC 10.2", T_HEAD_GCC_10, ram_budget=DUO_MB, **C906),
        rvv("c906sim", "the duo's kernels in RVV 1.0, for the simulator", RVV_1_0, **C906),
        rvv("rvv1", "RISC-V with RVV 1.0, vector registers of 128 bits", RVV_1_0, 128, max_threads=64),
        rvv("rvv1-vlen256", "RISC-V with RVV 1.0, vector registers of 256 bits", RVV_1_0, 256, max_threads=64),
    )
}


# Names the line of /proc/cpuinfo that lists what a processor has: x86's, Arm's, and RISC-V's, which is one word.
CPUINFO_LINES = ("flags", "Features", "isa")


def cpu_extensions() -> frozenset[str]:
    """Returns the instruction-set extensions of this machine: x86's in GCC's names, Arm's in the kernel's (asimddp), RISC-V's
    in the specification's (v, zvfh); empty where the system doesn't say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return extensions_of_sysctl()
    fields = {key.strip(): value.strip() for key, _, value in reversed([line.partition(":") for line in lines])}
    name = next((line for line in CPUINFO_LINES if line in fields), "")
    words = fields.get(name, "")
    if name == "isa":  # as in rv64imafdcv_zicsr_zvfh
        letters, *longer = words.removeprefix("rv32").removeprefix("rv64").split("_")
        return frozenset((*letters, *longer))
    # Linux writes avx512_vnni, GCC avx512vnni.
    return frozenset(word.replace("_", "") for word in words.split())


# Names macOS's entries for what Arm's processors have, and Linux's words for it.
SYSCTL = {"hw.optional.neon": "asimd", "hw.optional.arm.FEAT_DotProd": "asimddp"}


def extensions_of_sysctl() -> frozenset[str]:
    """Asks sysctl about an Arm processor, in Linux's words; nothing where there is no such program or entry."""
    try:
        told = subprocess.run(["sysctl", *SYSCTL], capture_output=True, text=True, check=False, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    lines = [line.partition(":") for line in told.splitlines()]
    return frozenset(SYSCTL[key] for key, _, value in lines if key in SYSCTL and value.strip() == "1")


def missing_extensions(target: Target) -> list[str]:
    """Returns what a target needs and this machine lacks."""
    return [name for name in target.cpu if name not in cpu_extensions()]


def native_target() -> Target:
    """Finds the last of the table that names what it needs and gets it on this machine, which is the fastest; or portable."""
    fitting = [target for target in TARGETS.values() if target.cpu and not missing_extensions(target)]
    return fitting[-1] if fitting else TARGETS["portable"]


def find_target(name: str) -> Target:
    """Finds the target of a name, "native" being this machine's; BakeError (usage) naming those there are."""
    if name == "native":
        return native_target()
    if name not in TARGETS:
        raise BakeError(f"target: expected native or one of {', '.join(TARGETS)}, found {name!r}", USAGE)
    return TARGETS[name]
