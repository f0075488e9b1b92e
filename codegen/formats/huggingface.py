"""Reads a Hugging Face folder of a llama model: config.json with model.safetensors, in one file or several.

Names, defaults and the order of wq's and wk's rows are those of transformers' LlamaConfig and LlamaForCausalLM
(https://github.com/huggingface/transformers, models/llama).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.formats.json_file import Object, integer, number, read_object
from codegen.formats.safetensors import read_safetensors
from codegen.formats.stored import Stored, StoredCheckpoint, decode, match_tensors, read_span
from codegen.model import Model, check_dims, check_name

NAMES = {
    "token_embedding_table": "model.embed_tokens.weight",
    "rms_att_weight": "model.layers.{}.input_layernorm.weight",
    "wq": "model.layers.{}.self_attn.q_proj.weight",
    "wk": "model.layers.{}.self_attn.k_proj.weight",
    "wv": "model.layers.{}.self_attn.v_proj.weight",
    "wo": "model.layers.{}.self_attn.o_proj.weight",
    "rms_ffn_weight": "model.layers.{}.post_attention_layernorm.weight",
    "w1": "model.layers.{}.mlp.gate_proj.weight",
    "w2": "model.layers.{}.mlp.down_proj.weight",
    "w3": "model.layers.{}.mlp.up_proj.weight",
    "rms_final_weight": "model.norm.weight",
    "wcls": "lm_head.weight",
}
# A table that old versions stored; transformers computes it from rope_theta, as we do.
IGNORED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")

# What makes another model of a llama: key, the values that don't, in words.
NEUTRAL: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("model_type", ("llama",), "llama"),
    ("hidden_act", (None, "silu"), "silu"),
    ("attention_bias", (None, False), "no biases"),
    ("mlp_bias", (None, False), "no biases"),
    ("rope_scaling", (None,), "no scaling"),
    ("partial_rotary_factor", (None, 1, 1.0), "RoPE on the whole head"),
    ("sliding_window", (None,), "attention to all positions"),
    ("quantization_config", (None,), "float weights"),
)


def read_folder(folder: Path) -> StoredCheckpoint:
    """Opens a folder with config.json and safetensors. Refuses by name what llama2.c's transformer can't do."""
    source = f"{folder.name}/config.json"
    config = read_object(folder / "config.json")
    for key, neutral, words in NEUTRAL:
        if not any(type(config.get(key)) is type(value) and config.get(key) == value for value in neutral):
            raise BakeError(
                f"{source}: {key}: expected {words}, found {shown(config.get(key))}; this model can't be baked"
            )
    found = _tensors(folder)
    tied = config.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise BakeError(f"{source}: tie_word_embeddings: expected true or false, found {shown(tied)}")
    dim = integer(config, "hidden_size", source)
    n_heads = integer(config, "num_attention_heads", source)
    if n_heads < 1 or (config.get("head_dim") is None and dim % n_heads):
        raise BakeError(f"{source}: num_attention_heads: expected a divisor of hidden_size = {dim}, found {n_heads}")
    model = Model(
        name=check_name(folder.name.replace(".", "_")),
        dim=dim,
        hidden_dim=integer(config, "intermediate_size", source),
        n_layers=integer(config, "num_hidden_layers", source),
        n_heads=n_heads,
        n_kv_heads=integer(config, "num_key_value_heads", source, n_heads),
        vocab_size=integer(config, "vocab_size", source),
        seq_len=integer(config, "max_position_embeddings", source, 2048),
        head_size=integer(config, "head_dim", source, dim // n_heads),
        shared_classifier=tied,
        rope_theta=_rope_theta(config, source),
        norm_eps=number(config, "rms_norm_eps", source, 1e-6),
    )
    check_dims(model, source)
    head = found.get(NAMES["wcls"])
    tensors = match_tensors(
        folder.name, model, NAMES, found, re.compile(r"lm_head\.weight|" + IGNORED.pattern) if tied else IGNORED, True
    )
    if tied and head is not None:
        _check_tied(folder.name, head, tensors["token_embedding_table", 0])
    return StoredCheckpoint(folder, model, tensors)


def _rope_theta(config: Object, source: str) -> float:
    """rope_theta, or that of rope_parameters, where transformers 5 moved it."""
    parameters = config.get("rope_parameters")
    if parameters is None:
        return number(config, "rope_theta", source, 10000.0)
    if not isinstance(parameters, dict) or parameters.get("rope_type", "default") != "default":
        raise BakeError(
            f"{source}: rope_parameters: expected rope_type 'default', found {shown(parameters)}; can't be baked"
        )
    return number(parameters, "rope_theta", f"{source}: rope_parameters", 10000.0)


def _tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of the folder: of model.safetensors, or of the files that its index names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return read_safetensors(single)
    if not index.exists():
        raise BakeError(
            f"{folder}: expected model.safetensors or model.safetensors.index.json, found neither; "
            "save the model with safe_serialization=True",
            MISSING_FILE,
        )
    where = read_object(index).get("weight_map")
    source = f"{folder.name}/{index.name}"
    if not isinstance(where, dict) or not where:
        raise BakeError(f"{source}: weight_map: expected file names by tensor, found {shown(where)}")
    files = set()
    for name, file in where.items():
        # A plain name: never a way out of the folder.
        if not isinstance(file, str) or not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", file):
            raise BakeError(f"{source}: {shown(name)}: expected the name of a file in the folder, found {shown(file)}")
        files.add(file)
    if len(files) > 1000:
        raise BakeError(f"{source}: expected at most 1000 files, found {len(files)}")
    found: dict[str, Stored] = {}
    for file in sorted(files):
        part = read_safetensors(folder / file)
        for name in part:
            if where.get(name) != file:
                raise BakeError(f"{source}: {shown(name)}: found in {file}, the index says {shown(where.get(name))}")
        found |= part
    for name, file in where.items():
        if name not in found:
            raise BakeError(f"{source}: {shown(name)}: expected in {file}, found nowhere; download the file again")
    return found


def _check_tied(source: str, head: Stored, embedding: Stored) -> None:
    """A tied model may store its classifier as well, but only as the embedding again."""
    label = f"{source}: lm_head.weight"
    if head.shape != embedding.shape or not np.array_equal(
        decode(read_span(head.path, head.offset, head.bytes, label), head.encoding),
        decode(read_span(embedding.path, embedding.offset, embedding.bytes, label), embedding.encoding),
    ):
        raise BakeError(
            f"{label}: differs from model.embed_tokens.weight though tie_word_embeddings is true; "
            "set it to false or leave lm_head.weight out"
        )
