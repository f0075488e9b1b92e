"""Reads a model of the llama architecture from GGUF.

Keys and tensor names: https://github.com/ggml-org/ggml, docs/gguf.md. llama.cpp's converter has already put the rows
of wq and wk into llama2.c's order (it rotates neighbours for this architecture, LLAMA_ROPE_TYPE_NORM), so they are
taken as they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from codegen.errors import BakeError, shown
from codegen.formats.gguf_file import Gguf, read_gguf
from codegen.formats.json_file import LEAST, MOST
from codegen.formats.keys import Tell, check_keys, ignore
from codegen.formats.stored import BLOCKS, StoredCheckpoint, match_tensors
from codegen.model import NORMS, Model, check_dims
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
}


def read_model(path: Path, tell: Tell = ignore) -> StoredCheckpoint:
    """Opens a GGUF file. A file whose matrices are all Q8_0 is a q8 model of groups of 32, any other one is f32."""
    gguf = read_gguf(path)
    architecture = gguf.metadata.get("general.architecture")
    if architecture != b"llama":
        raise BakeError(
            f"{path.name}: general.architecture: expected 'llama', found {shown(architecture)}; can't be baked"
        )
    check_keys("GGUF", gguf.metadata, path.name, tell)
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
            raise BakeError(f"{path.name}: {key}: expected the head size {head_size}, found {_integer(gguf, key)}; can't be baked")
    model = Model(
        name=file_name(path),
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
        norm_eps=_number(gguf, "llama.attention.layer_norm_rms_epsilon"),
    )
    tensors = match_tensors(path.name, check_dims(model, path.name), NAMES, gguf.tensors)
    if all(stored.encoding == "Q8_0" for (name, _), stored in tensors.items() if name not in NORMS):
        model = check_dims(replace(model, weight_type=Q8.name, group_size=BLOCKS["Q8_0"][0]), path.name)
    return StoredCheckpoint(path, model, tensors)


def _integer(gguf: Gguf, key: str, default: int | None = None) -> int:
    """An integer; one a layer is taken where all are equal."""
    value = gguf.metadata.get(key)
    if value is None and default is not None:
        return default
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size and (value == value[0]).all():
        value = int(value[0])
    if type(value) is not int:
        raise BakeError(f"{gguf.name}: {key}: expected an integer, found {shown(value)}; convert the model again")
    return value


def _number(gguf: Gguf, key: str, default: float | None = None) -> float:
    """A float above 0: the decimal number that was meant (1e-05), not its float32 neighbour (9.99999974e-06)."""
    value = gguf.metadata.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, (np.float32, float)) or not LEAST <= value <= MOST:
        raise BakeError(f"{gguf.name}: {key}: expected a float above 0, found {shown(value)}; convert the model again")
    return float(str(value))
