"""Does all arithmetic of a bake: offsets, kernels, buffers, memory and cost. Templates only print what is here.

    Model + Target -> Plan

The layout of a single matrix is codegen.layout's.
The packed weights are one stream in the order in which the steps of the schedule read them. Tables that are read at
random (RoPE, an embedding that is not the classifier) lie in front. Every section starts at a multiple of 64 bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.layout import Matrix, TileRun, lay_out
from codegen.model import Model
from codegen.plan_parts import Buffer, Cache, Kernel, Op, Result, Section
from codegen.ranges import PAIRED_COLUMNS, check_ranges
from codegen.rvv import RvvPlan, make_rvv_plan
from codegen.schedule import DRAWN, VECTORS, Schedule, Step, Vector, make_schedule
from codegen.targets import Target
from codegen.weight_types import F16, WEIGHT_TYPES, WeightType

AT_RANDOM = ("rope", "embed")  # names the steps that read a part of a table only
BY_LENGTH = ("bias", "rmsnorm", "rmsnorm_heads", "quantize")  # names the steps whose kernel is one a length
ALIGN = 64  # counts bytes: a cache line on every target, and the widest vector


def round_up(value: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Plan:
    """Holds everything that the templates and the packer need. Bytes and MACs are those of one token."""

    model: Model
    target: Target
    schedule: Schedule
    sections: tuple[Section, ...]
    kernels: tuple[Kernel, ...]
    ops: tuple[Op, ...]

    # -- the packed weights ------------------------------------------------------------------------------------------

    def section(self, tensor: str, layer: int = 0) -> Section:
        """Returns the section of a tensor of a layer."""
        return next(s for s in self.sections if s.tensor == tensor and s.layer == layer)

    def kernel(self, tensor: str) -> Kernel:
        """Returns the kernel that a tensor goes through."""
        return next(k for k in self.kernels if tensor in k.uses)

    @property
    def embedding(self) -> Section:
        """Returns where the embedding is read: the classifier, when they are one tensor."""
        return self.section("wcls" if self.model.shared_classifier else "token_embedding_table")

    def section_end(self, section: Section) -> int:
        """Returns where the next section begins; sections and the padding behind them are all of the packed weights."""
        later = self.sections[self.sections.index(section) + 1 :]
        return later[0].offset if later else self.weights_bytes

    @property
    def layer_tensors(self) -> tuple[str, ...]:
        """Returns the tensors that layers have, in their order of use."""
        return tuple(dict.fromkeys(s.tensor for s in self.sections if self.model.has_layers(s.tensor)))

    def layer_offsets(self, layer: int) -> list[int]:
        """Returns the offsets of a layer's tensors in the order of `layer_tensors`; 0 for those that its kind has not."""
        offsets = {s.tensor: s.offset for s in self.sections if s.layer == layer}
        return [offsets.get(tensor, 0) for tensor in self.layer_tensors]

    @property
    def drawn(self) -> int:
        """Counts the positions that the classifier may be computed for."""
        return DRAWN

    @property
    def weights_bytes(self) -> int:
        """Counts the bytes of the packed image."""
        last = self.sections[-1]
        return round_up(last.offset + last.bytes + self.target.over_read, ALIGN)

    @property
    def macs_per_token(self) -> int:
        return sum(s.matrix.macs for s in self.products if s.matrix)

    @property
    def products(self) -> tuple[Section, ...]:
        """Returns the matrices that a token is multiplied with."""
        return tuple(s for s in self.sections if s.matrix and not s.at_random)

    @property
    def bytes_per_token(self) -> int:
        """Counts the bytes of weights that a token reads: everything but the tables that are read at random."""
        return sum(s.bytes for s in self.sections if not s.at_random)

    def runs_of(self, rows: int) -> tuple[TileRun, ...]:
        """Returns the tiles of a matrix of `rows` rows: threads take the same share of each run, and of the vector it makes."""
        return next(kernel.matrix.runs for kernel in self.kernels if kernel.matrix.rows == rows)

    # -- the schedule ------------------------------------------------------------------------------------------------

    def kernel_name(self, step: Step) -> str:
        """Returns the function that computes a step."""
        if step.op == "matmul":
            return self.kernel(step.weight).name
        number = self.length(step.x or step.out) if step.op in BY_LENGTH else step.window
        return f"{step.op}_{number}" if number else step.op

    @property
    def windows(self) -> tuple[int, ...]:
        """Returns the windows of attention, each of which has a kernel; 0: to all positions so far."""
        return tuple(dict.fromkeys(step.window for step in self.schedule.steps if step.op == "attention"))

    def length(self, operand: str) -> int:
        """Returns the length of a vector of the schedule, of which an operand may say where it begins."""
        vector = next(v for v in VECTORS if v.name == operand.split(" ")[0])
        return int(getattr(self.model, vector.dim))

    def results(self, step: Step) -> tuple[Result, ...]:
        """Returns what a step writes."""
        m = self.model
        if step.op == "quantize":
            length, groups = self.length(step.x), self.length(step.x) // m.group_size
            return (
                Result("own.xq.q", 0, length, self.quantized_stride(length)),
                Result("own.xq.s", 0, groups, self.stride(groups)),
            )
        if step.op == "cache_kv":
            keys, values = step.outs
            cache = self.cache_of(step.window)
            return (
                Result(keys, 1, cache.elements[0], cache.elements[0]),
                Result(values, m.n_kv_heads * cache.positions, m.head_size, self.value_stride),
            )
        lengths = {out: self.length(out) for out in step.outs}
        return tuple(Result(out, 0, length, self.stride(length)) for out, length in lengths.items())

    # -- weight types ------------------------------------------------------------------------------------------------

    @property
    def typical(self) -> tuple[Matrix, ...]:
        """Returns the first matrix of every weight type that is multiplied with: all others of it lie in groups alike."""
        first = {kernel.matrix.weight_type: kernel.matrix for kernel in reversed(self.kernels)}
        return tuple(matrix for weight_type in WEIGHT_TYPES.values() if (matrix := first.get(weight_type)))

    def matmul_template(self, matrix: Matrix) -> str:
        """Returns the template of the products of a weight type: the target's own, or the portable one where it has none."""
        name, family = matrix.weight_type.name, self.target.kernels
        if matrix.quantized and (matrix.together == 1 if self.target.simd else self.rvv and name not in self.rvv.rings):
            family = "portable"
        if self.target.simd:
            family, name = (family.replace("vectors", "vector"), name if matrix.quantized else "float")
        return f"{family}_matmul_{name}.jinja"

    @property
    def paired_columns(self) -> int:
        """Counts the columns of int4 whose products are added up in 16 bits, where there is no dot product."""
        return PAIRED_COLUMNS

    def tile_sizes(self, weight_type: WeightType) -> tuple[int, ...]:
        """Returns the rows of the tiles that matrices of a weight type have, largest first."""
        runs = {run.rows for k in self.kernels if k.matrix.weight_type is weight_type for run in k.matrix.runs}
        return tuple(sorted(runs, reverse=True))

    @property
    def has_halves(self) -> bool:
        """Tells whether a kernel reads or writes float16: weights, scales, keys or values."""
        scales = any(matrix.weight_type.scale == "<f2" for matrix in self.typical)
        return scales or F16 in self.model.weight_types or self.model.half_cache

    @property
    def quantized_lengths(self) -> tuple[int, ...]:
        """Returns the lengths of the vectors that quantised matrices multiply."""
        return self._lengths_of("quantize")

    @property
    def norm_lengths(self) -> tuple[int, ...]:
        """Returns the lengths of the vectors that are normed as a whole."""
        return self._lengths_of("rmsnorm")

    @property
    def head_norm_lengths(self) -> tuple[int, ...]:
        """Returns the lengths of the vectors whose heads are normed."""
        return self._lengths_of("rmsnorm_heads")

    @property
    def bias_lengths(self) -> tuple[int, ...]:
        """Returns the lengths of the vectors that have a bias."""
        return self._lengths_of("bias")

    def _lengths_of(self, op: str) -> tuple[int, ...]:
        return tuple(sorted({self.length(step.x or step.out) for step in self.schedule.steps if step.op == op}))

    @property
    def offsets(self) -> tuple[int, ...]:
        """Returns what is added to quantised weights, for each of which the activations know what to take off again."""
        return tuple(sorted({k.matrix.offset for k in self.kernels} - {0}))

    @property
    def longest(self) -> int:
        """Returns the longest vector that is quantised; 0 when none is."""
        return max(self.quantized_lengths, default=0)

    # -- vectors -----------------------------------------------------------------------------------------------------

    def common_width(self, length: int) -> int:
        """Counts the lanes of the widest vector, up to the target's, that divides a length."""
        return math.gcd(length, self.target.width)

    @property
    def heads_together(self) -> int:
        """Counts the heads whose attention is computed side by side: a divisor of n_heads whose outputs fit half the registers."""
        vectors = self.model.head_size // self.common_width(self.model.head_size)
        fitting = [n for n in (8, 4, 3, 2) if self.model.n_heads % n == 0 and n * vectors <= self.target.registers // 2]
        return max(fitting, default=1)

    @property
    def rvv(self) -> RvvPlan | None:
        """Returns the register groups of a RISC-V target."""
        return make_rvv_plan(self.model, self.target) if self.target.vlen else None

    @property
    def magnitude_lmuls(self) -> tuple[int, ...]:
        """Returns the register groups in which a RISC-V target looks for largest magnitudes, largest first: where exp is in range,
        and how far a group's quants go."""
        assert self.rvv is not None
        swiglu = {self.rvv.lmul(run.rows) for run in self.runs_of(self.model.hidden_dim)}
        return tuple(sorted({self.rvv.block_lmul, self.rvv.quantize_lmul, *swiglu} - {0}, reverse=True))

    # -- buffers -----------------------------------------------------------------------------------------------------

    def stride(self, length: int) -> int:
        """Counts the floats from one position to the next in a buffer of vectors of `length`: whole cache lines, and room for the
        rows of a padded tile."""
        smallest = max(self.target.tiles(weight_type)[-1] for weight_type in self.model.weight_types)
        return round_up(length, max(ALIGN // 4, smallest))

    def tile_arguments(self, matrix: Matrix) -> list[int]:
        """Returns columns, strides of the input (and of its scales) and of the output of a matrix product."""
        columns, rows = matrix.columns, matrix.rows
        if matrix.quantized:
            return [columns, self.quantized_stride(columns), self.stride(matrix.groups), self.stride(rows)]
        return [columns, self.stride(columns), self.stride(rows)]

    @property
    def prefetch(self) -> int:
        """Says how many bytes of weights ahead to ask for; 0: a second-level cache of 1 MB keeps most of the weights."""
        return self.target.prefetch if self.bytes_per_token > 2 << 20 else 0

    @property
    def sqrt_head_size(self) -> float:
        """Returns what attention scores are divided by."""
        return math.sqrt(self.model.score_size or self.model.head_size)

    @property
    def gelu(self) -> tuple[float, float]:
        """Returns the constants of GELU's tanh form as x * sigmoid(x * (first + second * x^2))."""
        first = 2 * math.sqrt(2 / math.pi)
        return first, 0.044715 * first

    @property
    def seq_blocks(self) -> int:
        """Counts the blocks of `key_block` positions in the key cache."""
        return -(-self.model.seq_len // self.target.key_block)

    @property
    def ring(self) -> int:
        """Counts the positions that layers with a window keep, in whole blocks: those that it reaches back to from the first
        position of a batch, whose others are there already; 0 where that is not less than all, or no layer has a window."""
        return ring_of(self.model, self.target)

    @property
    def caches(self) -> tuple[Cache, ...]:
        """Returns the kinds of caches that layers have: of all positions, and rings."""
        m, block, ring = self.model, self.target.key_block, self.ring
        turning = sum(1 for layer in range(m.n_layers) if ring and m.window_of(layer))

        def cache(name: str, window: int, layers: int, positions: int) -> Cache:
            blocks = -(-positions // block)
            elements = blocks * block * m.kv_dim, m.n_kv_heads * positions * self.value_stride
            return Cache(name, f"cache_kv_{window}" if window else "cache_kv", window, layers, positions, blocks, elements)

        both = cache("cache", 0, m.n_layers - turning, m.seq_len), cache("ring", m.window, turning, ring)
        return tuple(one for one in both if one.layers)

    def cache_of(self, window: int) -> Cache:
        """Returns the cache of the layers with a window, or without one (0)."""
        return next(one for one in self.caches if not self.ring or one.window == window)

    @property
    def value_stride(self) -> int:
        """Counts the elements from one position to the next in a head's value cache."""
        return self.target.padded_head(self.model)

    @property
    def kv_bytes(self) -> int:
        return self.model.cached_bytes * sum(cache.layers * sum(cache.elements) for cache in self.caches)

    @property
    def strided_dims(self) -> tuple[str, ...]:
        """Returns the model's dimensions that are lengths of vectors of several positions."""
        return tuple(dict.fromkeys(v.dim for v in VECTORS if v.positions != 1))

    @property
    def state_buffers(self) -> tuple[Buffer, ...]:
        """Returns the vectors that all threads share."""
        return tuple(self._buffer(vector) for vector in VECTORS if vector.name.startswith("s."))

    @property
    def scratch_buffers(self) -> tuple[Buffer, ...]:
        """Returns the vectors that a thread keeps for itself."""
        return *(self._buffer(vector) for vector in VECTORS if vector.name.startswith("own.")), self._scores()

    def _buffer(self, vector: Vector) -> Buffer:
        length, n = self.length(vector.name), vector.positions or self.target.max_batch
        shape = f"({length},)" if n == 1 else f"({n},{length})"
        return Buffer(vector.name.partition(".")[2], shape, vector.about, n * self.stride(length))

    def _scores(self) -> Buffer:
        together, padded = self.heads_together, self.seq_blocks * self.target.key_block
        shape, heads = (f"({together},{padded})", f"{together} heads") if together > 1 else (f"({padded},)", "one head")
        return Buffer("att", shape, f"attention scores of {heads}", together * padded)

    @staticmethod
    def quantized_stride(length: int) -> int:
        """Counts the bytes from one position to the next in a buffer of quantised vectors of `length`."""
        return round_up(length, ALIGN)

    @property
    def quantized_buffers(self) -> tuple[Buffer, ...]:
        """Returns a thread's quantised activations, room for the longest; none for float types."""
        if not self.model.quantized:
            return ()
        n, groups = self.target.max_batch, self.longest // self.model.group_size
        quants, scales = n * self.quantized_stride(self.longest), n * self.stride(groups)
        buffers = [
            Buffer("q", f"({n},{self.longest})", "", quants, "std::int8_t", 1),
            Buffer("s", f"({n},{groups})", "", scales),
        ]
        if self.rvv and self.rvv.quad_flags:
            about = "not 0: four of q whose products may not fit 16 bits"
            more = 1  # is loaded behind the last, and dropped
            buffers.append(Buffer("wide", f"({n},{self.longest // 4})", about, quants // 4 + more, "std::uint32_t"))
        for offset in self.offsets:
            about = f"{-offset} * the sum of q"
            buffers.append(Buffer(f"start{offset}", f"({n},{groups})", about, scales, "std::int32_t"))
        return tuple(buffers)

    @property
    def activation_bytes(self) -> int:
        """Counts the static memory besides the key/value cache, with one thread's scratch."""
        return sum(b.bytes for b in self.state_buffers + self.scratch_buffers + self.quantized_buffers)


def ring_of(model: Model, target: Target) -> int:
    """Counts the positions of a plan's rings, as Plan.ring does."""
    window = max(model.window_of(layer) for layer in range(model.n_layers))
    ring = round_up(window + target.max_batch - 1, target.key_block)
    return ring if window and ring < model.seq_len else 0


def make_plan(model: Model, target: Target) -> Plan:
    """Lays out the packed weights, collects one kernel a distinct shape, and lists the operations in order of use. Raises
    BakeError for kernels whose sums could overflow."""
    schedule = make_schedule(model, rings=ring_of(model, target) > 0)
    read_by = {step.weight: step.op for step in schedule.steps if step.weight}  # keeps the last one, if there are two
    order = [(tensor, 0) for op in AT_RANDOM for tensor in read_by if read_by[tensor] == op]
    places = [*enumerate(schedule.layers), (0, schedule.classifier)]
    order += [(s.weight, i) for i, part in places for s in part.steps if read_by.get(s.weight, "rope") not in AT_RANDOM]

    sections: list[Section] = []
    uses: dict[Matrix, list[str]] = {}
    offset = 0
    for tensor, layer in order:
        op, shape, layout = read_by[tensor], model.shape_of(tensor), None
        if op in ("embed", "matmul"):
            tiles = (1,) if op == "embed" else ()  # a table is read a row at a time
            layout = lay_out(model.type_of(tensor), shape[0], shape[1], model.group_size, target, tiles)
        if layout and op == "matmul" and tensor not in uses.setdefault(layout, []):
            uses[layout].append(tensor)
        size = layout.bytes if layout else 4 * math.prod(shape)
        sections.append(Section(tensor, layer, offset, size, shape, layout, op in AT_RANDOM))
        offset = round_up(offset + size, ALIGN)

    kernels = tuple(Kernel(layout, tuple(tensors)) for layout, tensors in uses.items())
    products = [Op(kernel.name, kernel.matrix.bytes, kernel.matrix.macs) for kernel in kernels]
    others = dict.fromkeys(step.op for step in schedule.steps if step.op != "matmul")
    ops = (*products, *(Op(name, 0, 0) for name in (*others, "wait")))
    plan = Plan(model, target, schedule, tuple(sections), kernels, ops)
    check_ranges(plan)
    return plan
