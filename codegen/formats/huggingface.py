"""Reads a Hugging Face folder of a llama model: config.json with model.safetensors, in one file or several.

Names, defaults and the order of wq's and wk's rows are those of transformers' LlamaConfig and LlamaForCausalLM
(https://github.com/huggingface/transformers, models/llama).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.formats.json_file import Object, integer, number, read_object, typed
from codegen.formats.keys import Tell, check_keys, ignore
from codegen.formats.safetensors import read_safetensors
from codegen.formats.stored import Stored, StoredCheckpoint, decode, match_tensors
from codegen.input import LARGEST, read_span
from codegen.model import Model, check_dims
from codegen.names import folder_name

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

# Where a tensor may be called otherwise: a model saved without the class around it has no "model." in front.
PREFIX = "model."


def read_folder(folder: Path, tell: Tell = ignore) -> StoredCheckpoint:
    """Opens a folder with config.json and safetensors. Refuses by name what llama2.c's transformer can't do."""
    source = f"{folder.name}/config.json"
    config = read_object(folder / "config.json")
    check_keys("config.json", {"model_type": "none", **config}, source, tell)
    found = _named(folder.name, _tensors(folder))
    tied = config.get("tie_word_embeddings", False)
    if not isinstance(tied, bool):
        raise BakeError(f"{source}: tie_word_embeddings: expected true or false, found {shown(tied)}")
    dim = integer(config, "hidden_size", source)
    n_heads = integer(config, "num_attention_heads", source)
    if n_heads < 1 or (config.get("head_dim") is None and dim % n_heads):
        raise BakeError(f"{source}: num_attention_heads: expected a divisor of hidden_size = {dim}, found {n_heads}")
    model = Model(
        name=folder_name(folder),
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
    head, embedding = (found.get(NAMES[name]) for name in ("wcls", "token_embedding_table"))
    if tied and head is not None and embedding is None:
        found[NAMES["token_embedding_table"]] = head  # which of the two is stored is the writer's choice
    tensors = match_tensors(
        folder.name, model, NAMES, found, re.compile(r"lm_head\.weight|" + IGNORED.pattern) if tied else IGNORED, True
    )
    if tied and head is not None:
        _check_tied(folder.name, head, tensors["token_embedding_table", 0])
    return StoredCheckpoint(folder, model, tensors)


def _named(source: str, found: dict[str, Stored]) -> dict[str, Stored]:
    """The tensors by the names of LlamaForCausalLM, whether or not they were saved from there."""
    named: dict[str, Stored] = {}
    for name, stored in found.items():
        full = name if name.startswith((PREFIX, "lm_head.")) or PREFIX + name not in _BARE and not _LAYER.match(name) else PREFIX + name
        if full in named:
            raise BakeError(f"{source}: tensor {shown(full)}: expected once, found it with and without {shown(PREFIX)}")
        named[full] = stored
    return named


_BARE = {NAMES["token_embedding_table"], NAMES["rms_final_weight"]}
_LAYER = re.compile(r"layers\.\d+\.")


def _rope_theta(config: Object, source: str) -> float:
    """The base of RoPE: rope_theta, or that of rope_parameters, where transformers 5 moved it. A scaling that is one is
    refused by its name, under either name of its type and of its place."""
    theta = {number(config, "rope_theta", source, 10000.0)} if config.get("rope_theta") is not None else set()
    for place in ("rope_parameters", "rope_scaling"):
        rope = typed(config, place, dict, source) or {}
        label = f"{source}: {place}"
        kinds = {shown(rope[key]).strip("'") for key in ("rope_type", "type") if rope.get(key) is not None}
        factor = rope.get("factor")
        neutral = kinds <= {"default"} or (kinds <= {"default", "linear"} and type(factor) in (int, float) and factor == 1)
        if not neutral:
            raise BakeError(f"{label}: expected no scaling, found {' and '.join(sorted(kinds))}; this model can't be baked")
        for key, value in rope.items():
            about = key in ("rope_type", "type", "rope_theta") or (key.startswith("original_max") and type(value) is int)
            if not about and value is not None and not (key in ("factor", "partial_rotary_factor") and value in (1, 1.0)):
                raise BakeError(f"{label}: {shown(key)}: expected no scaling, found {shown(value)}; this model can't be baked")
        if rope.get("rope_theta") is not None:
            theta.add(number(rope, "rope_theta", label, None))
    if len(theta) > 1:
        raise BakeError(f"{source}: rope_theta: expected one base of RoPE, found {' and '.join(map(str, sorted(theta)))}")
    return theta.pop() if theta else 10000.0


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
    where = read_object(index, LARGEST).get("weight_map")
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
