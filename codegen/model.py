"""Describes the model as its header does: dimensions and constants, no tensor.

Code is generated from a `Model` alone; `codegen.pack` needs the tensors as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from codegen.errors import BakeError, shown
from codegen.weight_types import F16, F32, WEIGHT_TYPES, WeightType

# Names the tensors that are vectors, float32 always.
VECTOR_TENSORS = (
    "rms_att_weight", "rms_ffn_weight", "rms_final_weight", "rms_q_weight", "rms_k_weight", "bq", "bk", "bv",
    "rms_post_att_weight", "rms_post_ffn_weight",
)  # fmt: skip
EMBEDDINGS = ("token_embedding_table", "wcls")
ROPE_TABLES = ("rope", "rope_local")  # are computed, not read; the second serves layers with a base of their own

# Bounds each dimension far above every model that fits a machine, and far below what would overflow an int32 product of two of them.
LIMITS = {
    "dim": 1 << 15,
    "hidden_dim": 1 << 17,
    "n_layers": 1 << 10,
    "n_heads": 1 << 10,
    "n_kv_heads": 1 << 10,
    "vocab_size": 1 << 20,
    "seq_len": 1 << 17,
    "head_size": 1 << 12,
}


@dataclass(frozen=True)
class Model:
    """Holds the dimensions and constants of a transformer, in llama2.c's names; the defaults of what other families add are
    llama2.c's.

    `head_size` is dim / n_heads in llama2.c's own files. `weight_type` names that of the layers' matrices,
    `classifier_type` that of classifier and embedding when it is another one (else empty); `group_size` counts the
    weights, and activations, that share a scale (0 when no matrix is quantised). `kv_type`, "f32" or "f16", is that of
    the key/value cache, no file's affair.

    `rope_factors`: what the frequency of each pair of a head is divided by, none for no scaling. `qkv_bias`: q, k and v have
    biases. `head_norms`: each head of q and k goes through an rmsnorm. `no_rope`: the layers that do not rotate q and k.
    `nearest`: the weight type that is nearest to what a file has, where that is none of them; it is read as float32.
    `window`: positions that one attends to in the layers `local`, itself among them; elsewhere to all so far. `local_theta`: the base
    of RoPE in these layers, whose frequencies nothing divides; 0: they rotate as all others do.

    `post_norms`: what attention and ffn add to x is normed before. `glu`: the ffn's gate, "swiglu" or "geglu". `embed_scale`: what
    the embedding is multiplied with. `score_size`: scores are divided by its root; 0: the head size. `att_cap`, `logit_cap`: what
    scores and logits stay below, cap * tanh(x / cap); 0: no cap.
    """

    name: str
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    seq_len: int
    head_size: int
    shared_classifier: bool
    weight_type: str = F32.name
    group_size: int = 0
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    classifier_type: str = ""
    kv_type: str = F32.name
    rope_factors: tuple[float, ...] = ()
    qkv_bias: bool = False
    head_norms: bool = False
    no_rope: tuple[int, ...] = ()
    nearest: str = ""
    window: int = 0
    local: tuple[int, ...] = ()
    local_theta: float = 0.0
    post_norms: bool = False
    glu: str = "swiglu"
    embed_scale: float = 1.0
    score_size: float = 0.0
    att_cap: float = 0.0
    logit_cap: float = 0.0

    def type_of(self, tensor: str) -> WeightType:
        """Returns the weight type of a tensor by llama2.c's name."""
        if tensor in VECTOR_TENSORS:
            return F32
        return WEIGHT_TYPES[self.classifier_type or self.weight_type if tensor in EMBEDDINGS else self.weight_type]

    @property
    def weight_types(self) -> tuple[WeightType, ...]:
        """Returns the distinct types of the matrices, the layers' first."""
        return tuple(dict.fromkeys((self.type_of("wq"), self.type_of("wcls"))))

    @property
    def quantized(self) -> bool:
        """Tells whether any matrix is quantised."""
        return any(weight_type.quantized for weight_type in self.weight_types)

    @property
    def half_cache(self) -> bool:
        """Tells whether keys and values are kept as float16."""
        return self.kv_type == F16.name

    @property
    def att_dim(self) -> int:
        """Returns the length of q and of the attention's output: n_heads * head_size."""
        return self.n_heads * self.head_size

    @property
    def kv_dim(self) -> int:
        """Returns the length of k and v: n_kv_heads * head_size."""
        return self.n_kv_heads * self.head_size

    @property
    def cached_bytes(self) -> int:
        """Counts the bytes of an element of the key/value cache."""
        return WEIGHT_TYPES[self.kv_type].weight_bytes(1)

    @property
    def kv_mul(self) -> int:
        """Counts the query heads that share one key/value head."""
        return self.n_heads // self.n_kv_heads

    def window_of(self, layer: int) -> int:
        """Returns the positions that one attends to at most in a layer; 0: all so far, of which there may be no more than that."""
        return self.window if layer in self.local and self.window < self.seq_len else 0

    def rope_of(self, layer: int) -> str:
        """Returns the table that q and k of a layer are rotated by, one of ROPE_TABLES; none for a layer without RoPE."""
        if layer in self.no_rope:
            return ""
        return ROPE_TABLES[self.local_theta > 0 and layer in self.local]

    @property
    def row_lengths(self) -> tuple[int, ...]:
        """Returns every distinct row length of the quantised matrices, of all when none is: what a group has to divide."""
        if self.quantized and not self.type_of("wq").quantized:
            return (self.dim,)
        return tuple(sorted({self.dim, self.att_dim, self.hidden_dim}))

    def has_layers(self, tensor: str) -> bool:
        """Tells whether there is a tensor of this name in every layer, not one for the model."""
        return self.tensor_shapes().get(tensor, (0, 0, 0))[0] > 0

    def shape_of(self, tensor: str) -> tuple[int, ...]:
        """Returns the shape of a tensor of one layer: (rows, columns), or (length,) of a norm's weights; or that of a table of
        RoPE."""
        if tensor in ROPE_TABLES:
            return (2, self.seq_len, self.head_size // 2)  # cosines, then sines
        _, rows, columns = self.tensor_shapes()["token_embedding_table" if tensor == "wcls" else tensor]
        return (columns,) if tensor in VECTOR_TENSORS else (rows, columns)

    def tensor_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Returns (layers, rows, columns) of every tensor by llama2.c's name; a layer count of 0 means one for the model."""
        shapes = {
            "token_embedding_table": (0, self.vocab_size, self.dim),
            "rms_att_weight": (self.n_layers, 1, self.dim),
            "wq": (self.n_layers, self.att_dim, self.dim),
            "wk": (self.n_layers, self.kv_dim, self.dim),
            "wv": (self.n_layers, self.kv_dim, self.dim),
            "wo": (self.n_layers, self.dim, self.att_dim),
            "rms_ffn_weight": (self.n_layers, 1, self.dim),
            "w1": (self.n_layers, self.hidden_dim, self.dim),
            "w2": (self.n_layers, self.dim, self.hidden_dim),
            "w3": (self.n_layers, self.hidden_dim, self.dim),
            "rms_final_weight": (0, 1, self.dim),
        }
        if not self.shared_classifier:
            shapes["wcls"] = (0, self.vocab_size, self.dim)
        if self.qkv_bias:
            shapes |= {"bq": (self.n_layers, 1, self.att_dim)}
            shapes |= {name: (self.n_layers, 1, self.kv_dim) for name in ("bk", "bv")}
        if self.head_norms:
            shapes |= {name: (self.n_layers, 1, self.head_size) for name in ("rms_q_weight", "rms_k_weight")}
        if self.post_norms:
            shapes |= {name: (self.n_layers, 1, self.dim) for name in ("rms_post_att_weight", "rms_post_ffn_weight")}
        return shapes


def group_sizes(model: Model, largest: int = 64) -> list[int]:
    """Lists the group sizes up to `largest` that divide every quantised row of the model, largest first."""
    common = math.gcd(*model.row_lengths)
    return [size for size in range(min(largest, common), 0, -1) if common % size == 0]


def check_dims(model: Model, source: str) -> Model:
    """Returns the model when its dimensions make sense together; raises BakeError naming the field otherwise.

    `source` is the file's name, for the message.
    """
    for field, limit in LIMITS.items():
        value = getattr(model, field)
        least = 3 if field == "vocab_size" else 1  # llama2.c's ids of <unk>, BOS and EOS are fixed
        if not least <= value <= limit:
            raise BakeError(
                f"{source}: {field}: expected {least} to {limit}, found {shown(value)}; is this a llama2.c checkpoint?"
            )
    if model.n_heads % model.n_kv_heads:
        raise BakeError(
            f"{source}: n_kv_heads: expected a divisor of n_heads = {model.n_heads}, found {model.n_kv_heads}; "
            "export the model again"
        )
    if model.head_size % 2:
        raise BakeError(
            f"{source}: head size: expected an even number (RoPE rotates pairs), found {model.head_size}; "
            "export the model again"
        )
    if model.rope_factors and len(model.rope_factors) != model.head_size // 2:
        raise BakeError(
            f"{source}: RoPE: expected a factor a pair of a head, {model.head_size // 2}, found {len(model.rope_factors)}; "
            "export the model again"
        )
    for weight_type in (model.weight_type, model.classifier_type or model.weight_type):
        if weight_type not in WEIGHT_TYPES:
            raise BakeError(f"{source}: weight type: expected one of {', '.join(WEIGHT_TYPES)}, found {weight_type!r}")
    if model.quantized:
        if model.group_size < 1:
            raise BakeError(f"{source}: group_size: expected 1 or more, found {model.group_size}; export again")
        for length in model.row_lengths:
            if length % model.group_size:
                sizes = ", ".join(str(size) for size in group_sizes(model, largest=max(model.row_lengths)))
                raise BakeError(
                    f"{source}: group_size: found {model.group_size}, which does not divide rows of {length}, so the "
                    f"file's scales are misplaced; export again with one of: {sizes}"
                )
    return model
