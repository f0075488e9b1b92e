"""Reads a Hugging Face folder: config.json with model.safetensors, in one file or several.

Names, defaults and the order of wq's and wk's rows are those of transformers' configurations and models
(https://github.com/huggingface/transformers, models/llama and those of codegen.formats.families).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.formats.blocks import decode
from codegen.formats.families import Family, check_factors, embed_scale, find_family, llama3_factors, local_layers, without_rope
from codegen.formats.json_file import Object, integer, number, read_object, typed
from codegen.formats.keys import Tell, check_keys, ignore
from codegen.formats.safetensors import read_safetensors
from codegen.formats.stored import Stored, StoredCheckpoint, match_tensors
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
    "bq": "model.layers.{}.self_attn.q_proj.bias",
    "bk": "model.layers.{}.self_attn.k_proj.bias",
    "bv": "model.layers.{}.self_attn.v_proj.bias",
    "rms_q_weight": "model.layers.{}.self_attn.q_norm.weight",
    "rms_k_weight": "model.layers.{}.self_attn.k_norm.weight",
}
# Replaces names where there are norms before and behind attention and ffn.
POST_NORMS = {
    "rms_ffn_weight": "model.layers.{}.pre_feedforward_layernorm.weight",
    "rms_post_att_weight": "model.layers.{}.post_attention_layernorm.weight",
    "rms_post_ffn_weight": "model.layers.{}.post_feedforward_layernorm.weight",
}
ADAPTER = "adapter_config.json"  # transformers loads what it describes on top of the model
# Matches a table that old versions stored; transformers computes it from rope_theta, as we do.
IGNORED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")

# May be missing before a tensor's name: a model saved without the class around it has no "model." in front.
PREFIX = "model."


def read_folder(folder: Path, tell: Tell = ignore) -> StoredCheckpoint:
    """Opens a folder with config.json and safetensors. Refuses by name what does not bake."""
    source = f"{folder.name}/config.json"
    if (folder / ADAPTER).exists():
        raise BakeError(f"{folder.name}/{ADAPTER}: expected a whole model, found an adapter beside it; merge it (PEFT: merge_and_unload)")
    config = read_object(folder / "config.json")
    family = find_family(config.get("model_type"), f"{source}: model_type")
    check_keys("config.json", config, source, tell, of=family.keys)
    config = _flat_rope(config, source) if family.gemma else config
    classes = config.get("architectures")
    if classes is not None and (not isinstance(classes, list) or len(classes) != 1 or classes[0] not in family.classes):
        raise BakeError(
            f"{source}: architectures: expected a {family.name} that tells the next token ({family.classes[0]}), "
            f"found {shown(classes)}; this model can't be baked"
        )
    found = _named(folder.name, _tensors(folder))
    tied = config.get("tie_word_embeddings", family.tied)
    if not isinstance(tied, bool):
        raise BakeError(f"{source}: tie_word_embeddings: expected true or false, found {shown(tied)}")
    dim = integer(config, "hidden_size", source)
    n_heads = integer(config, "num_attention_heads", source)
    own_head = config.get("head_dim") is not None or family.head_size
    if n_heads < 1 or (not own_head and dim % n_heads):
        raise BakeError(f"{source}: num_attention_heads: expected a divisor of hidden_size = {dim}, found {n_heads}")
    model = Model(
        name=folder_name(folder),
        dim=dim,
        hidden_dim=integer(config, "intermediate_size", source),
        n_layers=(n_layers := integer(config, "num_hidden_layers", source)),
        n_heads=n_heads,
        n_kv_heads=integer(config, "num_key_value_heads", source, n_heads),
        vocab_size=integer(config, "vocab_size", source),
        seq_len=integer(config, "max_position_embeddings", source, family.seq_len),
        head_size=(head_size := integer(config, "head_dim", source, family.head_size or dim // n_heads)),
        shared_classifier=tied,
        rope_theta=(theta := _rope_theta(config, source, family.rope_theta)),
        norm_eps=number(config, "rms_norm_eps", source, family.norm_eps),
        embed_scale=embed_scale(family, dim),
        score_size=_score_size(config, family, head_size, source),
        att_cap=_cap(config, "attn_logit_softcapping", family.caps[0], source),
        logit_cap=_cap(config, "final_logit_softcapping", family.caps[1], source),
        **family.kind,
    )
    check_dims(model, source)
    factors = _rope_factors(config, source, theta, head_size)
    model = replace(model, rope_factors=factors, no_rope=(no_rope := _no_rope(config, family, n_layers, source)))
    window, local = _windows(config, family, n_layers, no_rope, source)
    model = replace(model, window=window, local=local)
    if local and family.local_theta:
        model = replace(model, local_theta=number(config, "rope_local_base_freq", source, family.local_theta))
    head, embedding = (found.get(NAMES[name]) for name in ("wcls", "token_embedding_table"))
    if tied and head is not None and embedding is None:
        found[NAMES["token_embedding_table"]] = head  # the writer chooses which of the two is stored
    tensors = match_tensors(
        folder.name, model, NAMES | (POST_NORMS if family.post_norms else {}), found,
        re.compile(r"lm_head\.weight|" + IGNORED.pattern) if tied else IGNORED, True, float(family.gemma),
    )  # fmt: skip
    if tied and head is not None:
        _check_tied(folder.name, head, tensors["token_embedding_table", 0])
    return StoredCheckpoint(folder, model, tensors)


def _named(source: str, found: dict[str, Stored]) -> dict[str, Stored]:
    """Returns the tensors by the names of LlamaForCausalLM, whether or not they were saved from there."""
    named: dict[str, Stored] = {}
    for name, stored in found.items():
        full = name if name.startswith((PREFIX, "lm_head.")) or PREFIX + name not in _BARE and not _LAYER.match(name) else PREFIX + name
        if full in named:
            raise BakeError(f"{source}: tensor {shown(full)}: expected once, found it with and without {shown(PREFIX)}")
        named[full] = stored
    return named


_BARE = {NAMES["token_embedding_table"], NAMES["rms_final_weight"]}
_LAYER = re.compile(r"layers\.\d+\.")


ATTENTION = ("full_attention", "sliding_attention")  # lists what layer_types may say
WINDOWS_FROM = 28  # is max_window_layers of a Qwen whose configuration does not say it

# Name where the scaling of RoPE is told, and what its types take.
ROPE_PLACES = ("rope_parameters", "rope_scaling")
ROPE_KEYS = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


def _score_size(config: Object, family: Family, head_size: int, source: str) -> float:
    """Returns what scores are divided by the root of, where it is not the head size."""
    size = number(config, "query_pre_attn_scalar", source, family.head_size) if family.post_norms else head_size
    return 0.0 if size == head_size else size


def _cap(config: Object, key: str, usual: float, source: str) -> float:
    """Reads a cap of a family that has it; null is none. The others may say nothing else."""
    if key not in config:
        return usual
    if config[key] is not None and not usual:
        raise BakeError(f"{source}: {key}: expected none, found {shown(config[key])}; this model can't be baked")
    return 0.0 if config[key] is None else number(config, key, source, None)


def _flat_rope(config: Object, source: str) -> Object:
    """Returns the configuration of a Gemma with one RoPE in rope_parameters: transformers 5 has one for each kind of attention there."""
    rope = typed(config, "rope_parameters", dict, source) or {}
    kinds = {kind: typed(rope, kind, dict, f"{source}: rope_parameters") or {} for kind in ATTENTION if kind in rope}
    if not kinds:
        return config
    if set(rope) != set(kinds) or kinds.get(ATTENTION[1], {}).get("rope_type", "default") != "default":
        raise BakeError(f"{source}: rope_parameters: expected full_attention, and a sliding_attention without scaling, found {shown(rope)}")
    local = kinds.get(ATTENTION[1], {}).get("rope_theta") or config.get("rope_local_base_freq")
    return {**config, "rope_parameters": kinds.get(ATTENTION[0]), "rope_local_base_freq": local}


def _rope_theta(config: Object, source: str, default: float) -> float:
    """Reads the base of RoPE: rope_theta, or that of rope_parameters, where transformers 5 moved it."""
    theta = {number(config, "rope_theta", source, default)} if config.get("rope_theta") is not None else set()
    for place in ROPE_PLACES:
        rope = typed(config, place, dict, source) or {}
        if rope.get("rope_theta") is not None:
            theta.add(number(rope, "rope_theta", f"{source}: {place}", None))
    if len(theta) > 1:
        raise BakeError(f"{source}: rope_theta: expected one base of RoPE, found {' and '.join(map(str, sorted(theta)))}")
    return theta.pop() if theta else default


def _rope_factors(config: Object, source: str, theta: float, head_size: int) -> tuple[float, ...]:
    """Reads what RoPE's frequencies are divided by, under either name of the scaling's type and of its place. Any other scaling is
    refused by its name."""
    found = {_factors_of(typed(config, place, dict, source) or {}, f"{source}: {place}", theta, head_size) for place in ROPE_PLACES}
    found -= {()}
    if len(found) > 1:
        raise BakeError(f"{source}: rope_parameters and rope_scaling: expected one scaling, found two; this model can't be baked")
    return found.pop() if found else ()


def _factors_of(rope: Object, label: str, theta: float, head_size: int) -> tuple[float, ...]:
    kinds = {shown(rope[key]).strip("'") for key in ("rope_type", "type") if rope.get(key) is not None} or {"default"}
    if len(kinds) > 1 or not kinds <= set(ROPE_KEYS):
        raise BakeError(
            f"{label}: expected no scaling, linear or llama3, found {' and '.join(sorted(kinds))}; this model can't be baked"
        )
    (kind,) = kinds
    for key, value in rope.items():
        about = key in ("rope_type", "type", "rope_theta", *ROPE_KEYS[kind]) or (key.startswith("original_max") and type(value) is int)
        if not about and value is not None and not (key in ("factor", "partial_rotary_factor") and value in (1, 1.0)):
            raise BakeError(f"{label}: {shown(key)}: expected no scaling by it, found {shown(value)}; this model can't be baked")
    if kind == "default":
        return ()
    if kind == "linear":
        factor = number(rope, "factor", label, None)
        return check_factors([factor] * (head_size // 2), label) if factor != 1 else ()
    factor, low, high = (number(rope, key, label, None) for key in ROPE_KEYS["llama3"][:3])
    positions = integer(rope, "original_max_position_embeddings", label)
    if positions < 1 or low >= high:
        raise BakeError(
            f"{label}: expected original_max_position_embeddings of 1 or more and low_freq_factor below high_freq_factor, "
            f"found {positions}, {low} and {high}; this model can't be baked"
        )
    return check_factors(llama3_factors(theta, head_size, factor, low, high, positions), label)


def _no_rope(config: Object, family: Family, n_layers: int, source: str) -> tuple[int, ...]:
    """Reads the layers without RoPE: those that no_rope_layers has a 0 for, else every no_rope_layer_interval-th."""
    listed = typed(config, "no_rope_layers", list, source)
    interval = integer(config, "no_rope_layer_interval", source, family.rope_step)
    if not family.rope_step:
        if listed or interval:
            raise BakeError(f"{source}: no_rope_layers: expected none of a {family.name}, found some; this model can't be baked")
        return ()
    if listed:
        if len(listed) != n_layers or not all(type(one) is int and one in (0, 1) for one in listed):
            raise BakeError(
                f"{source}: no_rope_layers: expected {n_layers} times 0 or 1, found {shown(listed)}; this model can't be baked"
            )
        return tuple(layer for layer, rotates in enumerate(listed) if not rotates)
    if interval < 1:
        raise BakeError(f"{source}: no_rope_layer_interval: expected 1 or more, found {interval}; this model can't be baked")
    return without_rope(interval, n_layers)


def _windows(config: Object, family: Family, n_layers: int, no_rope: tuple[int, ...], source: str) -> tuple[int, tuple[int, ...]]:
    """Reads the positions of the sliding window and the layers that have it, those that layer_types lists or the family's
    own; 0 and none where it is not used: a Mistral's is unless it is null, those of the others only where use_sliding_window
    says so."""
    used = (typed(config, "use_sliding_window", bool, source) or family.window > 0) and config.get("sliding_window", 0) is not None
    if family.slides == "none" and (used or config.get("sliding_window")):
        raise BakeError(
            f"{source}: sliding_window: expected none of a {family.name}, found {shown(config.get('sliding_window'))}; "
            "this model can't be baked"
        )
    window = integer(config, "sliding_window", source, family.window) if used else 0
    if used and window < 1:
        raise BakeError(f"{source}: sliding_window: expected 1 position or more, found {window}; this model can't be baked")
    listed = typed(config, "layer_types", list, source)
    known = ATTENTION[int(used and family.slides == "all") : 1 + used]
    if listed is not None and (len(listed) != n_layers or any(kind not in known for kind in listed)):
        raise BakeError(
            f"{source}: layer_types: expected {n_layers} times {' or '.join(known)}, found {shown(listed)}; this model can't be baked"
        )
    first = integer(config, "max_window_layers", source, WINDOWS_FROM)
    if first < 0:
        raise BakeError(f"{source}: max_window_layers: expected 0 or more, found {first}; this model can't be baked")
    step = next((integer(config, key, source) for key in ("sliding_window_pattern", "_sliding_window_pattern") if config.get(key)), 0)
    if step < 0:
        raise BakeError(f"{source}: sliding_window_pattern: expected 1 or more, found {step}; this model can't be baked")
    if listed is not None:
        local = tuple(layer for layer, kind in enumerate(listed) if kind == "sliding_attention")
    else:
        local = local_layers(family, n_layers, first, no_rope, step) if used else ()
    return (window, local) if local else (0, ())


def _tensors(folder: Path) -> dict[str, Stored]:
    """Finds every tensor of the folder: of model.safetensors, or of the files that its index names."""
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
        # Take a plain name alone: never a way out of the folder.
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
    """Checks that a tied model which stores its classifier as well stores the embedding again."""
    label = f"{source}: lm_head.weight"
    if head.shape != embedding.shape or not np.array_equal(
        decode(read_span(head.path, head.offset, head.bytes, label), head.encoding),
        decode(read_span(embedding.path, embedding.offset, embedding.bytes, label), embedding.encoding),
    ):
        raise BakeError(
            f"{label}: differs from model.embed_tokens.weight though tie_word_embeddings is true; "
            "set it to false or leave lm_head.weight out"
        )
