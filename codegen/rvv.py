"""Plans what the RISC-V vector kernels need besides the plan: register groups and the order of loads.

Sizes are in elements, LMUL is the number of vector registers in a group. vl is VLMAX everywhere: every loop runs over
whole register groups, and buffers are padded to them (codegen.plan).
"""

from __future__ import annotations

from dataclasses import dataclass

from codegen.model import Model
from codegen.targets import Target
from codegen.weight_types import Q8, WeightType

BLOCK = 16  # counts floats: a cache line, to which all vectors are padded
LMULS = (8, 4, 2, 1)


@dataclass(frozen=True)
class Load:
    """Describes a load of `lmul` registers of weights to v`register`, after which the stream advances by `bytes`."""

    register: int
    lmul: int
    bytes: int


@dataclass(frozen=True)
class Step:
    """Takes up to four columns (of q4, pairs of columns) of a group from `column` on, in the registers from v`register` on;
    then the load that fills them again. `next_columns` are those of the next step.

    `scales_first` says that the group's scales lie before what is loaded.
    """

    column: int
    columns: int
    next_columns: int
    register: int
    load: Load
    scales_first: bool


@dataclass(frozen=True)
class Ring:
    """Describes a group's weights on their way through a ring of up to four register groups, which the steps refill from the
    stream, in the order of the stream, as soon as its columns are used."""

    prologue: tuple[Load, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Registers:
    """Names the vector registers of an int8 product of some positions: the weights from v0 up to the scales, 16-bit products, and
    for each position the 32-bit and the float sums."""

    scales: int
    products: int
    isum: tuple[int, ...]
    sum: tuple[int, ...]

    @property
    def positions(self) -> int:
        return len(self.sum)


REGISTERS = (Registers(16, 20, (24,), (28,)), Registers(8, 12, (16, 20), (24, 28)))


@dataclass(frozen=True)
class ValuePass:
    """Takes the elements of a head from `offset` on that fill `groups` groups of `lmul` registers."""

    offset: int
    lmul: int
    groups: int


@dataclass(frozen=True)
class RvvPlan:
    """Holds the register groups of one model on one target."""

    vlen: int
    float_lanes: int  # are in a register
    byte_lanes: int
    block_lmul: int  # holds BLOCK floats
    quad_flags: bool  # tells whether the activations say where four columns fit 16 bits
    quantize_lmul: int  # holds a piece of a group; 0: groups are no multiple of a register
    rings: dict[str, Ring]  # has one a quantised type; none: the portable loops
    group_size: int
    value_passes: tuple[ValuePass, ...]
    rope_lmul: int  # holds the first elements of a head's pairs that are rotated at once; 0: the portable loop

    def vlmax(self, sew: int, lmul: int) -> int:
        """Counts the elements of `sew` bits in a group of `lmul` registers."""
        return lmul * self.vlen // sew

    @property
    def registers(self) -> tuple[Registers, ...]:
        """Names those of the int8 products, of one position and of two."""
        return REGISTERS

    def ring(self, weight_type: WeightType, registers: Registers) -> Ring:
        """Returns the ring of an int8 product."""
        return make_ring(weight_type.weight_bytes(self.group_size), self.byte_lanes, registers.scales // 4)

    def lmul(self, floats: int) -> int:
        """Counts the registers that hold so many floats."""
        return floats // self.float_lanes


def value_passes(length: int, lanes: int) -> tuple[ValuePass, ...]:
    """Cuts a vector of `length` floats, a multiple of `lanes`, into passes of up to four register groups of one size,
    the largest first."""
    result: list[ValuePass] = []
    offset = 0
    for lmul in (4, 2, 1):
        while groups := min(4, (length - offset) // (lmul * lanes)):
            result.append(ValuePass(offset, lmul, groups))
            offset += groups * lmul * lanes
    return tuple(result)


def make_ring(columns: int, byte_lanes: int, most: int = 4) -> Ring:
    """Makes the ring for groups of `columns` registers, of at most so many register groups."""
    widths = [4] * (columns // 4) + ([columns % 4] if columns % 4 else [])
    ring = next(size for size in range(most, 0, -1) if len(widths) % size == 0)

    def load(item: int) -> Load:
        width = widths[item % len(widths)]
        return Load(item % ring * 4, {1: 1, 2: 2, 3: 4, 4: 4}[width], width * byte_lanes)

    steps = []
    for k, width in enumerate(widths):
        following = widths[(k + 1) % len(widths)]
        steps.append(Step(4 * k, width, following, k % ring * 4, load(k + ring), k + ring == len(widths)))
    return Ring(tuple(load(item) for item in range(ring)), tuple(steps))


def make_rvv_plan(model: Model, target: Target) -> RvvPlan:
    """Chooses register groups for a model's dimensions and a target's vector length."""
    lanes, byte_lanes = target.vlen // 32, target.vlen // 8
    size = model.group_size
    rings = {
        weight_type.name: make_ring(weight_type.weight_bytes(size), byte_lanes)
        for weight_type in model.weight_types
        if 0 < size <= weight_type.largest_group
    }
    return RvvPlan(
        vlen=target.vlen,
        float_lanes=lanes,
        byte_lanes=byte_lanes,
        block_lmul=BLOCK // lanes,
        quad_flags=Q8.name in rings and size % 4 == 0,
        quantize_lmul=next((lmul for lmul in LMULS if size and size % (lmul * lanes) == 0), 0),
        rings=rings,
        group_size=size,
        value_passes=value_passes(target.padded_head(model), lanes),
        rope_lmul=next((lmul for lmul in (4, 2, 1) if model.head_size % (2 * lmul * lanes) == 0), 0),
    )
