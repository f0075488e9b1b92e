"""Reads a model of the llama architecture from GGUF.

Keys and tensor names: https://github.com/ggml-org/ggml, docs/gguf.md. llama.cpp's converter has already put the rows
of wq and wk into llama2.c's order (it rotates neighbours for this architecture, LLAMA_ROPE_TYPE_NORM), so they are
taken as they are.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from codegen.errors import BakeError, shown
from codegen.formats.gguf_file import Gguf, read_gguf
from codegen.formats.stored import StoredCheckpoint, match_tensors
from codegen.model import NORMS, Model, check_dims, check_name

NAMES = {
    "token_embedding_table": "token_embd.weight",
    "rms_att_weight": "blk.{}.attn_norm.weight",
    "wq": "blk.{}.attn_q.weight",
    "wk": "blk.{}.attn_k.weight",
    "wv": "blk.{}.attn_v.weight",
    "wo": "blk.{}.attn_output.weight",
    "rms_ffn_weight": "blk.{}.ffn_norm.weight",
    "w1": "blk.{}.ffn_gate.weight",
    "w2": "blk.{}.ffn_down.weight",
    "w3": "blk.{}.ffn_up.weight",
    "rms_final_weight": "output_norm.weight",
    "wcls": "output.weight",
}
# What makes another model of a llama when it is not one of these values.
NEUTRAL: dict[str, tuple[int | float | bytes, ...]] = {
    "split.count": (0, 1),
    "llama.expert_count": (0,),
    "llama.rope.scaling.type": (b"none",),
    "llama.rope.scaling.factor": (0.0, 1.0),
    "llama.rope.scale_linear": (1.0,),
    "llama.attention.sliding_window": (0,),
    "llama.attention.causal": (True,),
    "llama.logit_scale": (1.0,),
    "llama.residual_scale": (1.0,),
    "llama.embedding_scale": (1.0,),
}


def read_model(path: Path) -> StoredCheckpoint:
    """Opens a GGUF file. A file whose matrices are all Q8_0 is a q8 model of groups of 32, any other one is f32."""
    gguf = read_gguf(path)
    architecture = gguf.metadata.get("general.architecture")
    if architecture != b"llama":
        raise BakeError(
            f"{path.name}: general.architecture: expected 'llama', found {shown(architecture)}; can't be baked"
        )
    for key, neutral in NEUTRAL.items():
        value = gguf.metadata.get(key)
        if isinstance(value, np.float32):
            value = float(value)
        if value is not None and (not isinstance(value, (int, float, bytes)) or value not in neutral):
            raise BakeError(
                f"{path.name}: {key}: expected {shown(neutral[-1])} or none, found {shown(value)}; can't be baked"
            )
    dim = _integer(gguf, "llama.embedding_length")
    n_heads = _integer(gguf, "llama.attention.head_count")
    if n_heads < 1 or dim % n_heads and "llama.attention.key_length" not in gguf.metadata:
        raise BakeError(f"{path.name}: llama.attention.head_count: expected a divisor of {dim}, found {n_heads}")
    embedding = gguf.tensors.get(NAMES["token_embedding_table"])
    if embedding is None:
        raise BakeError(f"{path.name}: tensor {NAMES['token_embedding_table']}: found none; convert the model again")
    head_size = _integer(gguf, "llama.attention.key_length", dim // n_heads)
    for key in ("llama.attention.value_length", "llama.rope.dimension_count"):
        if _integer(gguf, key, head_size) != head_size:
            raise BakeError(f"{path.name}: {key}: expected the head size {head_size}, found {_integer(gguf, key)}")
    model = Model(
        name=check_name(path.stem.replace(".", "_")),
        dim=dim,
        hidden_dim=_integer(gguf, "llama.feed_forward_length"),
        n_layers=_integer(gguf, "llama.block_count"),
        n_heads=n_heads,
        n_kv_heads=_integer(gguf, "llama.attention.head_count_kv", n_heads),
        vocab_size=_integer(gguf, "llama.vocab_size", embedding.shape[0]),
        seq_len=_integer(gguf, "llama.context_length"),
        head_size=head_size,
        shared_classifier=NAMES["wcls"] not in gguf.tensors,
        rope_theta=_number(gguf, "llama.rope.freq_base", 10000.0),
        norm_eps=_number(gguf, "llama.attention.layer_norm_rms_epsilon", 1e-5),
    )
    tensors = match_tensors(path.name, check_dims(model, path.name), NAMES, gguf.tensors)
    if all(stored.encoding == "Q8_0" for (name, _), stored in tensors.items() if name not in NORMS):
        model = check_dims(replace(model, weight_type="q8", group_size=32), path.name)
    return StoredCheckpoint(path, model, tensors)


def _integer(gguf: Gguf, key: str, default: int | None = None) -> int:
    value = gguf.metadata.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int:
        found = "none" if value is None else shown(value)
        raise BakeError(f"{gguf.name}: {key}: expected an integer, found {found}; convert the model again")
    return value


def _number(gguf: Gguf, key: str, default: float) -> float:
    """A float above 0: the decimal number that was meant (1e-05), not its float32 neighbour (9.99999974e-06)."""
    value = gguf.metadata.get(key)
    if value is None:
        return default
    if not isinstance(value, (np.float32, float)) or not math.isfinite(value) or not 0 < value < 1e30:
        raise BakeError(f"{gguf.name}: {key}: expected a float above 0, found {shown(value)}; convert the model again")
    return float(str(value))
