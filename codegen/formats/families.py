"""Lists the families of models that bake: what each computes beside llama2.c's transformer, under the names that files have.

A family's `name` is config.json's model_type and, unless `gguf` says otherwise, GGUF's general.architecture.
Sources: transformers' modeling_*.py
(https://github.com/huggingface/transformers, models/) and llama.cpp's llama-arch.cpp and llama-model.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.errors import BakeError, shown
from codegen.formats.json_file import LEAST, MOST


@dataclass(frozen=True)
class Family:
    """Describes a family. `classes`: what config.json calls a model that tells the next token. `qkv_bias`: wq, wk and wv have
    biases. `head_norms`: each head of q and k is normed. `rope_step`: the last of so many layers has no RoPE; 0: all have. `halves`: its
    GGUF files have wq's and wk's rows in Hugging Face's order, which rotates the halves of a head. `head_size`, `norm_eps`,
    `seq_len`, `rope_theta`, `tied`, `window`: config.json's defaults; 0: dim / n_heads. `slides`: the layers that have the
    window where a file does not list them: none, all, late (from max_window_layers on), those without RoPE, or all but every
    `global_step`-th; `local_theta`: the base of RoPE in these. `caps`: of scores and logits, where there are any; `layers_27b`: how many
    make llama.cpp divide scores by the root of dim / n_heads. `gguf`: its name there, none for a Mistral, which llama.cpp
    writes as a llama. `gemma`: norms are stored less one, the gate is GELU, and the embedding is scaled by the root of its length.
    `post_norms`: there are norms behind attention and ffn. `keys`: whose files' keys of their own codegen.formats.keys lists.
    """

    name: str
    classes: tuple[str, ...]
    qkv_bias: bool = False
    head_norms: bool = False
    rope_step: int = 0
    halves: bool = False
    head_size: int = 0
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    seq_len: int = 2048
    tied: bool = False
    gguf: str | None = ""
    window: int = 0
    slides: str = "none"
    global_step: int = 0
    caps: tuple[float, float] = (0.0, 0.0)
    layers_27b: int = 0
    local_theta: float = 0.0
    gemma: bool = False
    post_norms: bool = False
    keys: str = ""

    @property
    def gguf_name(self) -> str:
        """Returns its name in GGUF, of a family that has one there."""
        return self.gguf if self.gguf else self.name

    @property
    def kind(self) -> dict[str, Any]:
        """Returns what every model of the family computes, as fields of codegen.model.Model."""
        glu = "geglu" if self.gemma else "swiglu"
        return {"qkv_bias": self.qkv_bias, "head_norms": self.head_norms, "post_norms": self.post_norms, "glu": glu}


FAMILIES = {
    family.name: family
    for family in (
        Family("llama", ("LlamaForCausalLM",)),
        Family("mistral", ("MistralForCausalLM",), seq_len=131072, gguf=None, window=4096, slides="all"),
        Family("qwen2", ("Qwen2ForCausalLM",), qkv_bias=True, halves=True, seq_len=32768, slides="late"),
        Family("qwen3", ("Qwen3ForCausalLM",), head_norms=True, halves=True, head_size=128, seq_len=32768, slides="late"),
        Family("smollm3", ("SmolLM3ForCausalLM",), rope_step=4, rope_theta=2000000.0, seq_len=32768, tied=True, slides="without RoPE"),
        Family("gemma", ("GemmaForCausalLM",), halves=True, head_size=256, seq_len=8192, tied=True, gemma=True, keys="the first Gemma"),
        Family("gemma2", ("Gemma2ForCausalLM",), halves=True, head_size=256, seq_len=8192, tied=True, window=4096, slides="mostly",
               global_step=2, caps=(50.0, 30.0), layers_27b=46, gemma=True, post_norms=True, keys="a Gemma"),
        Family("gemma3_text", ("Gemma3ForCausalLM",), head_norms=True, halves=True, head_size=256, rope_theta=1000000.0, seq_len=131072,
               tied=True, gguf="gemma3", window=4096, slides="mostly", global_step=6, local_theta=10000.0, layers_27b=62, gemma=True,
               post_norms=True, keys="a Gemma"),
    )
}


def find_family(name: Any, label: str, gguf: bool = False) -> Family:
    """Finds the family of a file, of GGUF or not; BakeError naming `label` for one that does not bake."""
    known = {family.gguf_name if gguf else key: family for key, family in FAMILIES.items() if family.gguf is not None or not gguf}
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    if not isinstance(text, str) or text not in known:
        raise BakeError(f"{label}: expected one of {', '.join(known)}, found {shown(text)}; can't be baked")
    return known[text]


def without_rope(step: int, n_layers: int) -> tuple[int, ...]:
    """Lists the layers that have no RoPE where every `step`-th has none."""
    return tuple(range(step - 1, n_layers, step)) if step else ()


def local_layers(family: Family, n_layers: int, first: int, no_rope: tuple[int, ...], step: int = 0) -> tuple[int, ...]:
    """Returns the layers of a family whose attention has a window; `first`: the first of those that have it late; `step`: all
    but every so many-th have it, 0: as is the family's habit."""
    every, step = tuple(range(n_layers)), step or family.global_step
    mostly = tuple(layer for layer in every if step and (layer + 1) % step)
    return {"none": (), "all": every, "late": every[first:], "without RoPE": no_rope, "mostly": mostly}[family.slides]


def embed_scale(family: Family, dim: int) -> float:
    """Returns what the embedding of a family is multiplied with, a float32."""
    return float(np.float32(math.sqrt(dim))) if family.gemma else 1.0


def llama3_factors(theta: float, head_size: int, factor: float, low: float, high: float, positions: int) -> tuple[float, ...]:
    """Computes Llama 3's scaling: waves that are shorter than positions / high stay, those longer than positions / low are
    stretched by `factor`, and between them it is a mixture, as transformers' _compute_llama3_parameters has it."""
    factors = []
    for i in range(head_size // 2):
        wave = 2 * math.pi * theta ** (2 * i / head_size)
        if wave < positions / high:
            factors.append(1.0)
        elif wave > positions / low:
            factors.append(factor)
        else:
            smooth = (positions / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return tuple(factors)


def check_factors(factors: Sequence[float], label: str) -> tuple[float, ...]:
    """Returns the factors in float32 when each is a number that a frequency can be divided by; BakeError otherwise."""
    for factor in factors:
        if not LEAST <= factor <= MOST:
            raise BakeError(f"{label}: expected factors above 0, 1e-20 to 1e20, found {factor}; can't be baked")
    return tuple(float(np.float32(factor)) for factor in factors)
