"""All arithmetic of a bake: offsets, kernels, buffers, memory and cost. Templates only print what is here.

    Model + Target -> Plan

The layout of a single matrix is codegen.layout's.
The packed weights are one stream in the order in which a token reads them: per layer rms_att, wq, wk, wv, wo,
rms_ffn, w1, w3, w2; then rms_final and the classifier. Tables that are read at random (RoPE, an embedding that is not
the classifier) lie in front. Every section starts at a multiple of 64 bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.layout import Matrix, TileRun, lay_out
from codegen.model import QUANTIZED, Model
from codegen.rvv import RvvPlan, make_rvv_plan
from codegen.targets import Target

LAYER_ORDER = ("rms_att_weight", "wq", "wk", "wv", "wo", "rms_ffn_weight", "w1", "w3", "w2")
ALIGN = 64  # bytes: a cache line on every target, and the widest vector


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Kernel:
    """One matrix-vector product: one a distinct shape. `uses` names the tensors that go through it."""

    matrix: Matrix
    uses: tuple[str, ...]

    @property
    def name(self) -> str:
        """<op>_<weight type>_<rows>x<columns>."""
        return f"matmul_{self.matrix.weight_type}_{self.matrix.shape}"

    @property
    def tiles_text(self) -> str:
        """For example "10 tiles of 16 rows, 3 of 4"."""
        first, *rest = self.matrix.runs
        text = f"{first.count} tile{'s' if first.count > 1 else ''} of {first.rows} rows"
        return text + "".join(f", {run.count} of {run.rows}" for run in rest)


@dataclass(frozen=True)
class Section:
    """A piece of the packed weights: `matrix` is None for the float32 vectors and tables."""

    tensor: str
    layer: int
    offset: int
    bytes: int
    matrix: Matrix | None = None


@dataclass(frozen=True)
class Buffer:
    """A member of the state or of a thread's scratch: `count` floats, every position at a whole stride."""

    name: str
    shape: str
    comment: str
    count: int


@dataclass(frozen=True)
class Op:
    """A row of the profile, and the enumerator by which a kernel charges its time to it."""

    name: str
    bytes: int
    macs: int


@dataclass(frozen=True)
class Plan:
    """Everything that the templates and the packer need. Bytes and MACs are those of one token."""

    model: Model
    target: Target
    sections: tuple[Section, ...]
    kernels: tuple[Kernel, ...]
    ops: tuple[Op, ...]

    # -- the packed weights ------------------------------------------------------------------------------------------

    def section(self, tensor: str, layer: int = 0) -> Section:
        """The section of a tensor of a layer."""
        return next(s for s in self.sections if s.tensor == tensor and s.layer == layer)

    def kernel(self, tensor: str) -> Kernel:
        """The kernel that a tensor goes through."""
        return next(k for k in self.kernels if tensor in k.uses)

    @property
    def embedding(self) -> Section:
        """Where the embedding is read: the classifier, when they are one tensor."""
        return self.section("wcls" if self.model.shared_classifier else "token_embedding_table")

    def section_end(self, section: Section) -> int:
        """Where the next section begins; sections and the padding behind them are all of the packed weights."""
        later = self.sections[self.sections.index(section) + 1 :]
        return later[0].offset if later else self.weights_bytes

    def layer_offsets(self, layer: int) -> list[int]:
        """The offsets of a layer's tensors, in their order of use."""
        return [self.section(tensor, layer).offset for tensor in LAYER_ORDER]

    @property
    def weights_bytes(self) -> int:
        """Length of the packed image."""
        last = self.sections[-1]
        return round_up(last.offset + last.bytes + self.target.over_read, ALIGN)

    @property
    def macs_per_token(self) -> int:
        return sum(s.matrix.macs for s in self.sections if s.matrix and s.tensor != "token_embedding_table")

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights that a token reads: everything but the tables that are read at random."""
        return sum(s.bytes for s in self.sections if s.tensor not in ("rope", "token_embedding_table"))

    def runs_of(self, rows: int) -> tuple[TileRun, ...]:
        """The tiles of a matrix of `rows` rows: threads take the same share of each run, and of the vector it makes."""
        return next(kernel.matrix.runs for kernel in self.kernels if kernel.matrix.rows == rows)

    # -- weight types ------------------------------------------------------------------------------------------------

    def matrix_of(self, weight_type: str) -> Matrix | None:
        """The first matrix of a weight type, whose `together` and `bias` all others of it share; None without any."""
        return next((k.matrix for k in self.kernels if k.matrix.weight_type == weight_type), None)

    def tile_sizes(self, weight_type: str) -> tuple[int, ...]:
        """The rows of the tiles that matrices of a weight type have, largest first."""
        runs = {run.rows for k in self.kernels if k.matrix.weight_type == weight_type for run in k.matrix.runs}
        return tuple(sorted(runs, reverse=True))

    @property
    def quantized_lengths(self) -> tuple[int, ...]:
        """The lengths of the vectors that quantised matrices multiply."""
        return tuple(sorted({k.matrix.columns for k in self.kernels if k.matrix.quantized}))

    @property
    def biases(self) -> tuple[int, ...]:
        """What is added to quantised weights, for each of which the activations know what to take off again."""
        return tuple(sorted({k.matrix.bias for k in self.kernels} - {0}))

    @property
    def longest(self) -> int:
        """The longest vector that is quantised; 0 when none is."""
        return max(self.quantized_lengths, default=0)

    # -- vectors -----------------------------------------------------------------------------------------------------

    def common_width(self, length: int) -> int:
        """Lanes of the widest vector, up to the target's, that divides a length."""
        return math.gcd(length, self.target.width)

    @property
    def heads_together(self) -> int:
        """Heads whose attention is computed side by side: a divisor of n_heads whose outputs fit half the registers."""
        vectors = self.model.head_size // self.common_width(self.model.head_size)
        fitting = [n for n in (8, 4, 3, 2) if self.model.n_heads % n == 0 and n * vectors <= self.target.registers // 2]
        return max(fitting, default=1)

    @property
    def rvv(self) -> RvvPlan | None:
        """The register groups of a RISC-V target."""
        return make_rvv_plan(self.model, self.target) if self.target.dialect else None

    # -- buffers -----------------------------------------------------------------------------------------------------

    def stride(self, length: int) -> int:
        """Floats from one position to the next in a buffer of vectors of `length`: whole cache lines, and room for the
        rows of a padded tile."""
        smallest = max(self.target.tiles(weight_type)[-1] for weight_type in self.model.weight_types)
        return round_up(length, max(ALIGN // 4, smallest))

    def tile_arguments(self, matrix: Matrix) -> list[int]:
        """Columns, strides of the input (and of its scales) and of the output of a matrix product."""
        columns, rows = matrix.columns, matrix.rows
        if matrix.quantized:
            return [columns, self.quantized_stride(columns), self.stride(matrix.groups), self.stride(rows)]
        return [columns, self.stride(columns), self.stride(rows)]

    @property
    def prefetch(self) -> int:
        """How many bytes of weights ahead to ask for; 0: a second-level cache of 1 MB keeps most of the weights."""
        return self.target.prefetch if self.bytes_per_token > 2 << 20 else 0

    @property
    def sqrt_head_size(self) -> float:
        """What attention scores are divided by."""
        return math.sqrt(self.model.head_size)

    @property
    def seq_blocks(self) -> int:
        """Blocks of `lanes` positions in the key cache."""
        return -(-self.model.seq_len // self.target.lanes)

    @property
    def key_elements(self) -> int:
        """Elements of one layer's key cache: (n_kv_heads, seq_blocks, head_size, lanes)."""
        return self.seq_blocks * self.target.lanes * self.model.kv_dim

    @property
    def value_elements(self) -> int:
        """Elements of one layer's value cache: (n_kv_heads, seq_len, value_stride)."""
        return self.model.n_kv_heads * self.model.seq_len * self.value_stride

    @property
    def value_stride(self) -> int:
        """Elements from one position to the next in a head's value cache."""
        return self.target.padded_head(self.model)

    @property
    def kv_bytes(self) -> int:
        return self.model.cached_bytes * self.model.n_layers * (self.key_elements + self.value_elements)

    @property
    def state_buffers(self) -> tuple[Buffer, ...]:
        """The vectors that all threads share, for each position of a batch."""
        m, n = self.model, self.target.max_batch
        rows = (
            ("x", m.dim, "activation at the current positions"),
            ("q", m.att_dim, "query"),
            ("k", m.kv_dim, "key"),
            ("v", m.kv_dim, "value"),
            ("xb", m.att_dim, "output of the attention"),
            ("xb2", m.dim, "output of wo and w2"),
            ("hb", m.hidden_dim, "hidden dimension of the ffn"),
            ("hb2", m.hidden_dim, "the same, of w3"),
        )
        return tuple(Buffer(name, f"({n},{length})", text, n * self.stride(length)) for name, length, text in rows)

    @property
    def scratch_buffers(self) -> tuple[Buffer, ...]:
        """The vectors that a thread keeps for itself."""
        m, n = self.model, self.target.max_batch
        return (
            Buffer("xb", f"({n},{m.dim})", "after an rmsnorm", n * self.stride(m.dim)),
            self._scores(),
        )

    def _scores(self) -> Buffer:
        together, padded = self.heads_together, self.seq_blocks * self.target.lanes
        shape, heads = (f"({together},{padded})", f"{together} heads") if together > 1 else (f"({padded},)", "one head")
        return Buffer("att", shape, f"attention scores of {heads}", together * padded)

    @staticmethod
    def quantized_stride(length: int) -> int:
        """Bytes from one position to the next in a buffer of quantised vectors of `length`."""
        return round_up(length, ALIGN)

    @property
    def quantized_bytes(self) -> int:
        """A thread's quantised activations: (max_batch, longest) int8 and their scales. 0 for float types."""
        if not self.model.quantized:
            return 0
        n = self.target.max_batch
        scales = 4 * self.stride(self.longest // self.model.group_size)
        copies = 2 if self.rvv and self.rvv.quad_flags else 1
        return n * (copies * self.quantized_stride(self.longest) + (1 + len(self.biases)) * scales)

    @property
    def activation_bytes(self) -> int:
        """Static memory besides the key/value cache, with one thread's scratch."""
        floats = sum(b.count for b in self.state_buffers + self.scratch_buffers) + self.stride(self.model.vocab_size)
        return 4 * floats + self.quantized_bytes


def make_plan(model: Model, target: Target) -> Plan:
    """Lays out the packed weights, collects one kernel a distinct shape, and lists the operations in order of use."""
    shapes = model.tensor_shapes()
    order: list[tuple[str, int]] = [("rope", 0)]
    if not model.shared_classifier:
        order.append(("token_embedding_table", 0))
    order += [(tensor, layer) for layer in range(model.n_layers) for tensor in LAYER_ORDER]
    order += [("rms_final_weight", 0), ("wcls", 0)]

    sections: list[Section] = []
    uses: dict[Matrix, list[str]] = {}
    offset = 0
    for tensor, layer in order:
        layout = None
        if tensor == "rope":
            size = 4 * model.seq_len * model.head_size  # (seq_len, head_size / 2) cosines, then as many sines
        elif tensor.startswith("rms_"):
            size = 4 * model.dim
        elif tensor == "token_embedding_table":
            rows, columns = shapes[tensor][1:]  # read a row at a time
            layout = lay_out(model.type_of(tensor), rows, columns, model.group_size, target, (1,))
            size = layout.bytes
        else:
            rows, columns = (model.vocab_size, model.dim) if tensor == "wcls" else shapes[tensor][1:]
            layout = lay_out(model.type_of(tensor), rows, columns, model.group_size, target)
            size = layout.bytes
            if tensor not in uses.setdefault(layout, []):
                uses[layout].append(tensor)
        sections.append(Section(tensor, layer, offset, size, layout))
        offset = round_up(offset + size, ALIGN)

    kernels = tuple(Kernel(layout, tuple(tensors)) for layout, tensors in uses.items())
    return Plan(model, target, tuple(sections), kernels, _ops(model, kernels))


def _ops(model: Model, kernels: tuple[Kernel, ...]) -> tuple[Op, ...]:
    """The rows of the profile: the matrix products first, then the rest in order of use, then waiting."""
    names = ["embed", "rmsnorm", "rope", "cache_kv", "attention", "add", "swiglu", "wait"]
    if model.quantized:
        names.insert(2, "quantize")
    products = [Op(kernel.name, kernel.matrix.bytes, kernel.matrix.macs) for kernel in kernels]
    return tuple(products + [Op(name, 0, 0) for name in names])
