"""Reads a model from GGUF.

Keys and tensor names: https://github.com/ggml-org/ggml, docs/gguf.md. For the families that rotate neighbours
(LLAMA_ROPE_TYPE_NORM), llama.cpp's converter has already put the rows of wq and wk into llama2.c's order, so they are
taken as they are; those of the others (LLAMA_ROPE_TYPE_NEOX) are in Hugging Face's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from codegen.errors import BakeError, shown
from codegen.formats.blocks import ENCODINGS, decode
from codegen.formats.families import Family, check_factors, embed_scale, find_family, local_layers, without_rope
from codegen.formats.gguf_file import Gguf, read_gguf, text_of
from codegen.formats.json_file import LEAST, MOST
from codegen.formats.keys import Tell, check_keys, ignore
from codegen.formats.stored import StoredCheckpoint, match_tensors
from codegen.input import read_span
from codegen.model import VECTOR_TENSORS, Model, check_dims
from codegen.names import file_name
from codegen.weight_types import Q8

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
    "bq": "blk.{}.attn_q.bias",
    "bk": "blk.{}.attn_k.bias",
    "bv": "blk.{}.attn_v.bias",
    "rms_q_weight": "blk.{}.attn_q_norm.weight",
    "rms_k_weight": "blk.{}.attn_k_norm.weight",
    "rms_post_att_weight": "blk.{}.post_attention_norm.weight",
    "rms_post_ffn_weight": "blk.{}.post_ffw_norm.weight",
}
FLOATS = ("F32", "F16", "BF16")
ROPE_FACTORS = "rope_freqs.weight"  # divides the frequency of each pair


def read_model(path: Path, tell: Tell = ignore) -> StoredCheckpoint:
    """Opens a GGUF file. A file whose matrices are all Q8_0 is a q8 model of groups of 32, any other one is f32."""
    gguf = read_gguf(path)
    family = find_family(gguf.metadata.get("general.architecture"), f"{path.name}: general.architecture", True)
    own = f"{family.gguf_name}."
    check_keys("GGUF", gguf.metadata, path.name, tell, own, family.keys)
    dim = _integer(gguf, own + "embedding_length")
    n_heads = _integer(gguf, own + "attention.head_count")
    if n_heads < 1 or dim % n_heads and own + "attention.key_length" not in gguf.metadata:
        raise BakeError(f"{path.name}: {own}attention.head_count: expected a divisor of {dim}, found {n_heads}")
    embedding = gguf.tensors.get(NAMES["token_embedding_table"])
    if embedding is None:
        raise BakeError(f"{path.name}: tensor {NAMES['token_embedding_table']}: found none; convert the model again")
    head_size = _integer(gguf, own + "attention.key_length", dim // n_heads)
    for key in (own + "attention.value_length", own + "rope.dimension_count"):
        if _integer(gguf, key, head_size) != head_size:
            raise BakeError(f"{path.name}: {key}: expected the head size {head_size}, found {_integer(gguf, key)}; can't be baked")
    model = Model(
        name=file_name(path),
        dim=dim,
        hidden_dim=_integer(gguf, own + "feed_forward_length"),
        n_layers=(layers := _integer(gguf, own + "block_count")),
        n_heads=n_heads,
        n_kv_heads=_integer(gguf, own + "attention.head_count_kv", n_heads),
        vocab_size=_integer(gguf, own + "vocab_size", embedding.shape[0]),
        seq_len=_integer(gguf, own + "context_length"),
        head_size=head_size,
        shared_classifier=NAMES["wcls"] not in gguf.tensors,
        rope_theta=_number(gguf, own + "rope.freq_base", 10000.0),
        norm_eps=_number(gguf, own + "attention.layer_norm_rms_epsilon"),
        embed_scale=embed_scale(family, dim),
        score_size=dim / n_heads if layers == family.layers_27b else 0.0,
        att_cap=_cap(gguf, own + "attn_logit_softcapping", family.caps[0]),
        logit_cap=_cap(gguf, own + "final_logit_softcapping", family.caps[1]),
        **family.kind,
    )
    check_dims(model, path.name)
    factors = _rope_factors(gguf, own, head_size)
    model = replace(model, rope_factors=factors, no_rope=without_rope(family.rope_step, model.n_layers))
    model = _with_windows(gguf, own, family, model)
    rest = {name: stored for name, stored in gguf.tensors.items() if name != ROPE_FACTORS}
    tensors = match_tensors(path.name, model, NAMES, rest, halves=family.halves)
    if all(stored.encoding == "Q8_0" for (name, _), stored in tensors.items() if name not in VECTOR_TENSORS):
        model = check_dims(replace(model, weight_type=Q8.name, group_size=ENCODINGS["Q8_0"].values), path.name)
    elif all(stored.encoding not in FLOATS for (name, _), stored in tensors.items() if name not in VECTOR_TENSORS):
        model = replace(model, nearest=Q8.name)  # they have 3 to 8 bits a weight, with offsets that no baked type has
    return StoredCheckpoint(path, model, tensors)


def _cap(gguf: Gguf, key: str, usual: float) -> float:
    """Reads a cap of a family that has it; 0 is none. The others may say nothing else."""
    value = gguf.metadata.get(key, usual)
    if value == 0 and not isinstance(value, bool):
        return 0.0
    if not usual:
        raise BakeError(f"{gguf.name}: {key}: expected none, found {shown(value)}; can't be baked")
    return _number(gguf, key, usual)


def _with_windows(gguf: Gguf, own: str, family: Family, model: Model) -> Model:
    """Returns the model with the window that slides in most layers, and their base of RoPE, where its family has one and the file
    says it."""
    key = own + "attention.sliding_window"
    if family.slides != "mostly" or (family.local_theta and key not in gguf.metadata):
        return model
    window = _integer(gguf, key, family.window)
    step = _integer(gguf, own + "attention.sliding_window_pattern", family.global_step)
    if window < 1 or step < 1:
        raise BakeError(
            f"{gguf.name}: {key}: expected 1 position or more, in all but every so many-th layer, found "
            f"{window} and {step}; can't be baked"
        )
    theta = _number(gguf, own + "rope.freq_base_swa", family.local_theta) if family.local_theta else 0.0
    return replace(model, window=window, local=local_layers(family, model.n_layers, 0, (), step), local_theta=theta)


def _integer(gguf: Gguf, key: str, default: int | None = None) -> int:
    """Reads an integer; one a layer is taken where all are equal."""
    value = gguf.metadata.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size and (value == value[0]).all():
        value = int(value[0])
    if type(value) is not int:
        raise BakeError(f"{gguf.name}: {key}: expected an integer, found {shown(value)}; convert the model again")
    return value


def _rope_factors(gguf: Gguf, own: str, head_size: int) -> tuple[float, ...]:
    """Reads what RoPE's frequencies are divided by: the file's tensor (Llama 3's scaling), or one factor for all (linear, which a
    file without a type means)."""
    kind = text_of(gguf.metadata, own + "rope.scaling.type", gguf.name) or b"linear"
    if kind not in (b"none", b"linear"):
        raise BakeError(f"{gguf.name}: {own}rope.scaling.type: expected none or linear, found {shown(kind)}; can't be baked")
    named = own + "rope.scaling.type" in gguf.metadata
    keys = (own + "rope.scaling.factor", own + "rope.scale_linear")
    found = [key for key in keys if named or isinstance(value := gguf.metadata.get(key, 0), np.ndarray) or value != 0]
    factor = _number(gguf, found[0]) if kind == b"linear" and found else 1.0
    stored = gguf.tensors.get(ROPE_FACTORS)
    if stored is None:
        return (factor,) * (head_size // 2) if factor != 1 else ()
    label = f"{gguf.name}: tensor {ROPE_FACTORS}"
    if stored.shape != (head_size // 2,) or stored.encoding != "F32" or factor != 1:
        raise BakeError(
            f"{label}: expected {head_size // 2} values of F32 and no other scaling, found {shown(stored.shape)} of "
            f"{stored.encoding} and a factor of {factor}; can't be baked"
        )
    values = decode(read_span(stored.path, stored.offset, stored.bytes, label), stored.encoding)
    return check_factors([float(value) for value in values.reshape(-1)], label)


def _number(gguf: Gguf, key: str, default: float | None = None) -> float:
    """Reads a float above 0: the decimal number that was meant (1e-05), not its float32 neighbour (9.99999974e-06)."""
    value = gguf.metadata.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, (np.float32, float)) or not LEAST <= value <= MOST:
        raise BakeError(f"{gguf.name}: {key}: expected a float above 0, found {shown(value)}; convert the model again")
    return float(str(value))
