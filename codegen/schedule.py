"""Lists what a token goes through, as data: the steps of the embedding, of every layer and of the classifier.

    Model -> Schedule

The printed forward pass, the self-test, the order of the packed weights, the layers' offsets, the rows of the profile
and which vectors are quantised are walks over it (codegen.plan). A kind of layer is a function that lists its steps,
in the order and the names of llama2.c's forward(); a model whose layers differ has several. codegen.golden_run and the
oracle of the tests know nothing of this page: they judge it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from codegen.model import Model


@dataclass(frozen=True)
class Vector:
    """Names a vector of one position. What begins with "s." is in the State, which all threads share, with "own." in a thread's
    own Scratch. `dim` names the model's dimension that is its length; `positions`: there are so many of it, 0 being one for
    each position of a batch.
    """

    name: str
    dim: str
    about: str
    positions: int = 0


GLU = {"swiglu": "silu", "geglu": "gelu"}  # names the gate of each kernel
DRAWN = 2  # counts the positions at the end of a batch that the classifier may be computed for

VECTORS = (
    Vector("s.x", "dim", "activation at the current positions"),
    Vector("s.q", "att_dim", "query"),
    Vector("s.k", "kv_dim", "key"),
    Vector("s.v", "kv_dim", "value"),
    Vector("s.xb", "att_dim", "output of the attention"),
    Vector("s.xb2", "dim", "output of wo and w2"),
    Vector("s.hb", "hidden_dim", "hidden dimension of the ffn"),
    Vector("s.hb2", "hidden_dim", "the same, of w3"),
    Vector("s.logits", "vocab_size", "of the last positions", DRAWN),
    Vector("s.ordered", "vocab_size", "those of one by token, where the classifier's rows are packed in another order", 1),
    Vector("own.xb", "dim", "after an rmsnorm"),
)


@dataclass(frozen=True)
class Step:
    """Calls a kernel: what it writes and reads, and the tensor that it takes its weights from.

    `out` and `x` are arguments in C++, separated by ", ". `weight` is llama2.c's name, or that of a table of cosines and
    sines, empty for none. `at_pos`: the kernel has to know the first position of the batch. `window`: positions that attention
    goes back to, and that a ring is made for, 0 for all.
    """

    op: str
    out: str
    x: str = ""
    weight: str = ""
    at_pos: bool = False
    window: int = 0

    @property
    def outs(self) -> tuple[str, ...]:
        """Returns what it writes."""
        return tuple(self.out.split(", "))

    @property
    def operands(self) -> tuple[str, ...]:
        """Returns what it writes, then what it reads."""
        return self.outs + tuple(self.x.split(", ") if self.x else ())


@dataclass(frozen=True)
class Wait:
    """Lets every thread finish what the next step reads."""


@dataclass(frozen=True)
class Layer:
    """Lists what a layer does, line by line, a text being a comment on the steps behind it; and the name of its kind: layers of
    one kind differ in their weights and caches alone."""

    kind: str
    lines: tuple[Step | Wait | str, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Returns its calls, in order."""
        return tuple(line for line in self.lines if isinstance(line, Step))


@dataclass(frozen=True)
class Schedule:
    """Holds all steps of a forward pass; those of `classifier` are for the last position of a batch alone, or the last two."""

    embed: Step
    layers: tuple[Layer, ...]
    classifier: Layer

    @property
    def steps(self) -> tuple[Step, ...]:
        """Returns the calls of the whole pass, in order."""
        return (self.embed, *chain.from_iterable(layer.steps for layer in self.layers), *self.classifier.steps)

    @property
    def examples(self) -> tuple[int, ...]:
        """Returns the first layer of every kind."""
        kinds = [layer.kind for layer in self.layers]
        return tuple(kinds.index(kind) for kind in dict.fromkeys(kinds))


def llama_layer(
    layer: int, bias: bool = False, head_norms: bool = False, rope: str = "rope", window: int = 0, post_norms: bool = False,
    glu: str = "swiglu",
) -> Layer:
    """Lists a layer of llama2.c's, with what others add to it: biases of q, k and v (Qwen 2), norms of their heads (Qwen 3), a
    window that slides (Mistral), norms of what is added to x and another gate (Gemma); rotated by the table `rope`, or by none
    (SmolLM 3)."""
    keys, values = f"s.key_cache[{layer}]", f"s.value_cache[{layer}]"
    seen = f"last {window} positions" if window else "positions so far"
    kind = "llama" + ", biases" * bias + ", head norms" * head_norms + f", {rope or 'no RoPE'}, window {window}"
    biases = [Step("bias", out=f"s.{vector}", weight=f"b{vector}") for vector in "qkv"]
    norms = [Step("rmsnorm_heads", out=f"s.{vector}", weight=f"rms_{vector}_weight") for vector in "qk"]
    normed: list[Step | Wait | str] = ["rmsnorm of each head", *norms]

    def connect(weight: str) -> tuple[Step | Wait, ...]:
        """Adds s.xb2 to x, normed where these layers do that."""
        if not post_norms:
            return (Step("add", out="s.x", x="s.xb2"),)
        return Wait(), Step("rmsnorm", out="own.xb", x="s.xb2", weight=weight), Step("add", out="s.x", x="own.xb")

    return Layer(
        kind,
        (
            "attention rmsnorm, qkv",
            Step("rmsnorm", out="own.xb", x="s.x", weight="rms_att_weight"),
            Step("matmul", out="s.q", x="own.xb", weight="wq"),
            Step("matmul", out="s.k", x="own.xb", weight="wk"),
            Step("matmul", out="s.v", x="own.xb", weight="wv"),
            *(biases if bias else ()),
            Wait(),
            *(normed if head_norms else ()),
            ("RoPE, then m" if rope else "M") + f"ultihead attention over the {seen}",
            *([Step("rope", out="s.q, s.k", weight=rope, at_pos=True)] if rope else ()),
            Step("cache_kv", out=f"{keys}, {values}", x="s.k, s.v", at_pos=True),
            Step("attention", out="s.xb", x=f"s.q, {keys}, {values}, own.att", at_pos=True, window=window),
            Wait(),
            "its output, and the residual connection back into x",
            Step("matmul", out="s.xb2", x="s.xb", weight="wo"),
            *connect("rms_post_att_weight"),
            Wait(),
            f"ffn rmsnorm, then w2({GLU[glu]}(w1(x)) * w3(x)) and the residual connection",
            Step("rmsnorm", out="own.xb", x="s.x", weight="rms_ffn_weight"),
            Step("matmul", out="s.hb", x="own.xb", weight="w1"),
            Step("matmul", out="s.hb2", x="own.xb", weight="w3"),
            Step(glu, out="s.hb", x="s.hb2"),
            Wait(),
            Step("matmul", out="s.xb2", x="s.hb", weight="w2"),
            *connect("rms_post_ffn_weight"),
            Wait(),
        ),
    )


CLASSIFIER = Layer(
    "classifier",
    (
        "final rmsnorm and the classifier, for the last positions alone",
        Step("rmsnorm", out="own.xb", x="s.x + (c.n - last.n) * kDimStride", weight="rms_final_weight"),
        Step("matmul", out="s.logits", x="own.xb", weight="wcls"),
    ),
)
SOFTCAP = Step("softcap", out="s.logits")


def kinds(model: Model) -> tuple[Callable[[int], Layer], ...]:
    """Chooses what makes each layer of a model, told its number."""
    return tuple(
        partial(llama_layer, bias=model.qkv_bias, head_norms=model.head_norms, rope=model.rope_of(layer), window=model.window_of(layer),
                post_norms=model.post_norms, glu=model.glu)
        for layer in range(model.n_layers)
    )


def make_schedule(model: Model, rings: bool = False) -> Schedule:
    """Lists the steps of a model, vectors being quantised where a matrix of integers multiplies them; `rings`: layers with a window
    keep no more positions than that needs."""
    table = "wcls" if model.shared_classifier else "token_embedding_table"
    layers = [kind(layer) for layer, kind in enumerate(kinds(model))]
    return Schedule(
        embed=Step("embed", out="s.x", x="rows" if model.shared_classifier else "tokens", weight=table),
        layers=tuple(quantize_inputs(layer, model) for layer in (keep_rings(layers) if rings else layers)),
        classifier=quantize_inputs(replace(CLASSIFIER, lines=(*CLASSIFIER.lines, *([SOFTCAP] if model.logit_cap else ()))), model),
    )


def keep_rings(layers: list[Layer]) -> list[Layer]:
    """Has layers with a window keep their positions in rings, and numbers the caches of both kinds, each from 0 on."""
    counts = {"cache": 0, "ring": 0}
    placed = []
    for number, layer in enumerate(layers):
        window = next((step.window for step in layer.steps if step.op == "attention"), 0)
        name = "ring" if window else "cache"
        before, behind = f"_cache[{number}]", f"_{name}[{counts[name]}]"
        counts[name] += 1
        placed.append(replace(layer, lines=tuple(
            replace(line, out=line.out.replace(before, behind), x=line.x.replace(before, behind), window=window)
            if isinstance(line, Step) and line.op in ("cache_kv", "attention") else line for line in layer.lines
        )))  # fmt: skip
    return placed


def quantize_inputs(layer: Layer, model: Model) -> Layer:
    """Has every product of a quantised matrix read own.xq, and fills that first unless it holds the vector already."""
    held = ""
    lines: list[Step | Wait | str] = []
    for line in layer.lines:
        if isinstance(line, Step):
            if line.op == "matmul" and model.type_of(line.weight).quantized:
                if held != line.x:
                    lines.append(Step("quantize", out="own.xq", x=line.x))
                    held = line.x
                line = replace(line, x="own.xq")
            held = "" if held in line.outs else held
        lines.append(line)
    return replace(layer, lines=tuple(lines))
