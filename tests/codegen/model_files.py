"""Writers of the formats that codegen.formats reads, made for its tests from the formats' descriptions alone."""
from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from codegen.checkpoint import open_checkpoint
from codegen.formats.families import FAMILIES, embed_scale, local_layers, without_rope
from codegen.model import Model

ROOT = Path(__file__).resolve().parents[2]

Tensors = dict[tuple[str, int], np.ndarray]


def keys(model: Model) -> list[tuple[str, int]]:
    return [(name, at) for name, (layers, _, _) in model.tensor_shapes().items() for at in range(max(layers, 1))]


def load(path: Path) -> tuple[Model, Tensors]:
    """A float32 llama2.c checkpoint, whole."""
    checkpoint = open_checkpoint(path)
    return checkpoint.model, {key: checkpoint.tensor(*key) for key in keys(checkpoint.model)}


def tiny(shared: bool = True, family: str = "llama", **changes: Any) -> tuple[Model, Tensors]:
    """A model of random weights whose rows are multiples of 32; 2 layers, 4 heads, 2 key/value heads, or what is changed; of a family."""
    dims = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 40, "seq_len": 16}
    own = FAMILIES[family]
    model = Model(**{"name": "tiny", "head_size": 8, "shared_classifier": shared} | own.kind | dims | changes)
    model = replace(model, no_rope=without_rope(own.rope_step, model.n_layers), embed_scale=embed_scale(own, model.dim))
    if own.slides == "mostly":
        model = replace(model, att_cap=own.caps[0], logit_cap=own.caps[1])
        model = replace(model, window=model.window or 5, local=local_layers(own, model.n_layers, 0, ()), local_theta=own.local_theta)
    random = np.random.default_rng(1)
    shapes = model.tensor_shapes()
    return model, {key: random.standard_normal(shapes[key[0]][1:]).astype("<f4") for key in keys(model)}


def encode(values: np.ndarray, encoding: str) -> bytes:
    """Values in an encoding that can hold them; rounds towards zero where it can't."""
    if encoding == "F32":
        return values.astype("<f4").tobytes()
    if encoding == "F16":
        return values.astype("<f2").tobytes()
    if encoding == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    blocks = values.reshape(-1, 32).astype("<f4")
    scales = (np.abs(blocks).max(axis=1) / {"Q8_0": 127, "Q4_0": 7}[encoding]).astype("<f2")
    divisors = np.where(scales == 0, 1, scales).astype("<f4")[:, None]
    rounded = np.rint(blocks / divisors)
    if encoding == "Q8_0":
        quants = np.clip(rounded, -127, 127).astype("i1").view("u1")
    else:
        nibbles = (np.clip(rounded, -8, 7) + 8).astype("u1")
        quants = nibbles[:, :16] | nibbles[:, 16:] << 4
    return np.concatenate([scales.view("u1").reshape(-1, 2), quants], axis=1).tobytes()


def decoded(values: np.ndarray, encoding: str) -> np.ndarray:
    """What `encode` keeps of the values, worked out one by one where the encoding is ggml's."""
    raw = encode(values, encoding)
    if encoding in ("F32", "F16"):
        return np.frombuffer(raw, "<f4" if encoding == "F32" else "<f2").astype("<f4").reshape(values.shape)
    if encoding == "BF16":
        return np.array([struct.unpack("<f", b"\0\0" + raw[i : i + 2]) for i in range(0, len(raw), 2)], "<f4").reshape(
            values.shape
        )
    size, out = {"Q8_0": 34, "Q4_0": 18}[encoding], []
    for at in range(0, len(raw), size):
        (scale,) = struct.unpack_from("<e", raw, at)
        body = raw[at + 2 : at + size]
        if encoding == "Q8_0":
            out += [scale * q for q in struct.unpack("32b", body)]
        else:
            out += [scale * ((byte & 15) - 8) for byte in body] + [scale * ((byte >> 4) - 8) for byte in body]
    return np.array(out, "<f4").reshape(values.shape)


# --- safetensors and Hugging Face ---

HF_NAMES = {
    "token_embedding_table": "model.embed_tokens", "rms_att_weight": "model.layers.{}.input_layernorm",
    "wq": "model.layers.{}.self_attn.q_proj", "wk": "model.layers.{}.self_attn.k_proj",
    "wv": "model.layers.{}.self_attn.v_proj", "wo": "model.layers.{}.self_attn.o_proj",
    "rms_ffn_weight": "model.layers.{}.post_attention_layernorm", "w1": "model.layers.{}.mlp.gate_proj",
    "w2": "model.layers.{}.mlp.down_proj", "w3": "model.layers.{}.mlp.up_proj", "rms_final_weight": "model.norm",
    "wcls": "lm_head", "bq": "model.layers.{}.self_attn.q_proj", "bk": "model.layers.{}.self_attn.k_proj",
    "bv": "model.layers.{}.self_attn.v_proj", "rms_q_weight": "model.layers.{}.self_attn.q_norm",
    "rms_k_weight": "model.layers.{}.self_attn.k_norm",
}  # fmt: skip
HF_POST_NORMS = {
    "rms_ffn_weight": "model.layers.{}.pre_feedforward_layernorm", "rms_post_att_weight": "model.layers.{}.post_attention_layernorm",
    "rms_post_ffn_weight": "model.layers.{}.post_feedforward_layernorm",
}  # fmt: skip
VECTORS = ("rms", "b")  # what the names of tensors of one row begin with


def full_name(names: dict[str, str], name: str, layer: int) -> str:
    return names[name].format(layer) + (".bias" if name.startswith("b") else ".weight")


def safetensors(entries: dict[str, tuple[str, tuple[int, ...], bytes]], header: Any = None) -> bytes:
    """A safetensors file of name -> (dtype, shape, bytes); `header` replaces the one that belongs to it."""
    made, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, raw) in entries.items():
        made[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = header if isinstance(header, bytes) else json.dumps(header or made).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def heads_of(model: Model, name: str) -> int:
    """The heads of q or k that a tensor has rows, or elements, of; 0 for other tensors."""
    return {"q": model.n_heads, "k": model.n_kv_heads}.get(name[-1], 0) if name[0] in "wb" else int(name[4:] in ("q_weight", "k_weight"))


def to_halves(values: np.ndarray, heads: int) -> np.ndarray:
    """llama2.c's rows of wq or wk, or of what belongs to them, in Hugging Face's order, row by row."""
    if heads and values.shape[0] == 1:
        return to_halves(values.T, heads).T
    half = values.shape[0] // heads // 2
    order = [h * 2 * half + 2 * i + part for h in range(heads) for part in (0, 1) for i in range(half)]
    return values[order]


def hf_entries(model: Model, tensors: Tensors, dtype: str = "F32") -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    entries = {}
    names = HF_NAMES | (HF_POST_NORMS if model.post_norms else {})
    for (name, layer), values in tensors.items():
        heads = heads_of(model, name)
        values = values - np.float32(1) if model.embed_scale != 1 and name.startswith("rms") else values
        values = to_halves(values, heads) if heads else values
        shape = values.shape[1:] if name.startswith(VECTORS) else values.shape
        entries[full_name(names, name, layer)] = (dtype, shape, encode(values, dtype))
    return entries


def hf_config(model: Model, **changes: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": model.dim,
        "intermediate_size": model.hidden_dim, "num_hidden_layers": model.n_layers,
        "num_attention_heads": model.n_heads, "num_key_value_heads": model.n_kv_heads, "vocab_size": model.vocab_size,
        "max_position_embeddings": model.seq_len, "rms_norm_eps": model.norm_eps, "rope_theta": model.rope_theta,
        "tie_word_embeddings": model.shared_classifier, "attention_bias": False, "rope_scaling": None,
        "head_dim": model.head_size, "torch_dtype": "float32",
    } | changes  # fmt: skip


def hf_family(family: str, scaling: tuple[float, float, float, int] | None = None) -> dict[str, Any]:
    """What config.json says of a family other than llama, and of Llama 3's scaling of RoPE."""
    classes = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "smollm3": "SmolLM3",
               "mistral": "Mistral", "gemma": "Gemma", "gemma2": "Gemma2", "gemma3_text": "Gemma3"}  # fmt: skip
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    rope = {"rope_type": "llama3", **dict(zip(names, scaling, strict=True))} if scaling else None
    own = {"hidden_act": None, "hidden_activation": "gelu_pytorch_tanh"} if FAMILIES[family].gemma else {}
    return {"model_type": family, "architectures": [f"{classes[family]}ForCausalLM"], "rope_scaling": rope} | own


def hf_window(model: Model) -> dict[str, Any]:
    """What config.json says of a sliding window, layer by layer."""
    kinds = ["sliding_attention" if layer in model.local else "full_attention" for layer in range(model.n_layers)]
    gemma = {"query_pre_attn_scalar": model.score_size or model.head_size}
    gemma |= {"rope_local_base_freq": model.local_theta} if model.local_theta else {}
    own = gemma if model.post_norms else {"use_sliding_window": True}
    return {"sliding_window": model.window, "layer_types": kinds} | own


def hf_folder(folder: Path, model: Model, tensors: Tensors, dtype: str = "F32", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(hf_config(model, **changes)))
    (folder / "model.safetensors").write_bytes(safetensors(hf_entries(model, tensors, dtype)))
    return folder


# --- GGUF ---

GGUF_NAMES = {
    "token_embedding_table": "token_embd", "rms_att_weight": "blk.{}.attn_norm", "wq": "blk.{}.attn_q",
    "wk": "blk.{}.attn_k", "wv": "blk.{}.attn_v", "wo": "blk.{}.attn_output", "rms_ffn_weight": "blk.{}.ffn_norm",
    "w1": "blk.{}.ffn_gate", "w2": "blk.{}.ffn_down", "w3": "blk.{}.ffn_up", "rms_final_weight": "output_norm",
    "wcls": "output", "bq": "blk.{}.attn_q", "bk": "blk.{}.attn_k", "bv": "blk.{}.attn_v",
    "rms_q_weight": "blk.{}.attn_q_norm", "rms_k_weight": "blk.{}.attn_k_norm",
    "rms_post_att_weight": "blk.{}.post_attention_norm", "rms_post_ffn_weight": "blk.{}.post_ffw_norm",
}  # fmt: skip
GGUF_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30}
U32, F32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
KV = dict[str, tuple[int, Any]]


def gguf_string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return gguf_string(value)
    if kind == ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(gguf_value(inner, item) for item in items)
    return struct.pack(
        "<" + {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}[kind], value
    )


@dataclass
class GgufTensor:
    """One entry of a GGUF file: its data, and what the entry claims about them."""

    name: str
    dims: tuple[int, ...]  # row length first
    kind: int
    data: bytes
    offset: int | None = None


def gguf(
    kv: KV,
    tensors: list[GgufTensor],
    *,
    version: int = 3,
    alignment: int = 32,
    counts: tuple[int, int] | None = None,
    pad_end: bool = True,
    filler: bytes = b"\0",
) -> bytes:
    """A GGUF file. `counts` replaces the numbers of tensors and values, `filler` is the padding."""
    out = io.BytesIO()
    out.write(b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(tensors), len(kv)))))
    for key, (kind, value) in kv.items():
        out.write(gguf_string(key) + struct.pack("<I", kind) + gguf_value(kind, value))
    data = b""
    for at, tensor in enumerate(tensors):
        offset = len(data) if tensor.offset is None else tensor.offset
        out.write(gguf_string(tensor.name) + struct.pack(f"<I{len(tensor.dims)}Q", len(tensor.dims), *tensor.dims))
        out.write(struct.pack("<IQ", tensor.kind, offset))
        data += tensor.data
        if pad_end or at + 1 < len(tensors):
            data += filler * (-len(data) % alignment)
    out.write(filler * (-out.tell() % alignment) if tensors else b"")
    return out.getvalue() + data


def gguf_kv(model: Model, family: str = "llama", **changes: tuple[int, Any] | None) -> KV:
    family = FAMILIES[family].gguf or family
    if model.local and model.post_norms:
        changes = {f"{family}__attention__sliding_window": (U32, model.window), **changes}
    kv: dict[str, tuple[int, Any] | None] = {
        "general.architecture": (STRING, family),
        f"{family}.context_length": (U32, model.seq_len),
        f"{family}.embedding_length": (U32, model.dim),
        f"{family}.block_count": (U32, model.n_layers),
        f"{family}.feed_forward_length": (U32, model.hidden_dim),
        f"{family}.attention.head_count": (U32, model.n_heads),
        f"{family}.attention.head_count_kv": (U32, model.n_kv_heads),
        f"{family}.attention.key_length": (U32, model.head_size),
        f"{family}.attention.value_length": (U32, model.head_size),
        f"{family}.rope.dimension_count": (U32, model.head_size),
        f"{family}.rope.freq_base": (F32, model.rope_theta),
        f"{family}.attention.layer_norm_rms_epsilon": (F32, model.norm_eps),
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in kv.items() if value is not None}


def gguf_tensors(tensors: Tensors, encoding: str = "F32", halves: Model | None = None) -> list[GgufTensor]:
    """llama.cpp's converter leaves llama2.c's rows as they are, and vectors in float32. `halves`: a model of a family whose
    rows of wq and wk it leaves in Hugging Face's order."""
    entries = []
    for (name, layer), values in tensors.items():
        vector = name.startswith(VECTORS)
        kind = "F32" if vector else encoding
        if halves and (heads := heads_of(halves, name)):
            values = to_halves(values, heads)
        dims = values.shape[1:] if vector else values.shape[::-1]
        entries.append(GgufTensor(full_name(GGUF_NAMES, name, layer), dims, GGUF_TYPES[kind], encode(values, kind)))
    return entries


def gguf_of(model: Model, tensors: Tensors, family: str, keys: KV | None = None, encoding: str = "F32") -> bytes:
    """The file of a family as llama.cpp's converter writes it."""
    entries = gguf_tensors(tensors, encoding, model if FAMILIES[family].halves else None)
    scaling: KV = {}
    if model.rope_factors and FAMILIES[family].gemma:
        scaling = {"gemma3.rope.scaling.type": (STRING, "linear"), "gemma3.rope.scaling.factor": (F32, model.rope_factors[0])}
    elif model.rope_factors:
        entries.append(rope_freqs(model.rope_factors))
    return gguf(gguf_kv(model, family) | scaling | (keys or {}), entries)


def rope_freqs(factors: Sequence[float]) -> GgufTensor:
    """What RoPE's frequencies are divided by."""
    return GgufTensor("rope_freqs.weight", (len(factors),), 0, np.array(factors, "<f4").tobytes())


# --- .pt ---

PT_NAMES = {
    "token_embedding_table": "tok_embeddings", "rms_att_weight": "layers.{}.attention_norm",
    "wq": "layers.{}.attention.wq", "wk": "layers.{}.attention.wk", "wv": "layers.{}.attention.wv",
    "wo": "layers.{}.attention.wo", "rms_ffn_weight": "layers.{}.ffn_norm", "w1": "layers.{}.feed_forward.w1",
    "w2": "layers.{}.feed_forward.w2", "w3": "layers.{}.feed_forward.w3", "rms_final_weight": "norm", "wcls": "output",
}  # fmt: skip


@dataclass
class PtTensor:
    """A tensor as torch pickles it: a view of a storage."""

    key: str
    shape: tuple[int, ...]
    items: int
    kind: str = "FloatStorage"
    offset: int = 0
    stride: tuple[int, ...] | None = None


def pickled(value: Any) -> bytes:
    """The opcodes (protocol 2) that make a value; PtTensor as torch.save writes it, bytes as opcodes themselves."""
    if isinstance(value, bytes):
        return value
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return (
            b"J" + struct.pack("<i", value)
            if -(2**31) <= value < 2**31
            else b"\x8a\x09" + value.to_bytes(9, "little")
        )
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, tuple):
        return b"(" + b"".join(map(pickled, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(pickled, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(pickled(part) for item in value.items() for part in item) + b"u"
    stride = value.stride
    if stride is None:
        stride = tuple(int(np.prod(value.shape[at + 1 :], dtype=int)) for at in range(len(value.shape)))
    storage = pickled(("storage", f"ctorch\n{value.kind}\n".encode(), value.key, "cpu", value.items)) + b"Q"
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n"
        + pickled((storage, value.offset, value.shape, stride, False, hooks))
        + b"R"
    )


def pt_args(model: Model) -> dict[str, Any]:
    dims = {name: getattr(model, name) for name in ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size")}
    return dims | {"multiple_of": 32, "max_seq_len": model.seq_len, "dropout": 0.0, "norm_eps": model.norm_eps}


def pt_saved(model: Model, tensors: Tensors, prefix: str = "_orig_mod.") -> tuple[dict[str, Any], dict[str, bytes]]:
    """What train.py saves, and the storages by key. A shared classifier is in it twice, as one storage."""
    state: dict[str, Any] = {}
    data: dict[str, bytes] = {}
    for (name, layer), values in tensors.items():
        key = str(len(data))
        data[key] = encode(values, "F32")
        shape = values.shape[1:] if name.startswith("rms") else values.shape
        state[prefix + PT_NAMES[name].format(layer) + ".weight"] = PtTensor(key, shape, values.size)
    if model.shared_classifier:
        state[f"{prefix}output.weight"] = state[f"{prefix}tok_embeddings.weight"]
    args = pt_args(model)
    return {
        "model": state,
        "model_args": args,
        "iter_num": 7,
        "best_val_loss": 1.25,
        "config": {"out_dir": "out"},
    }, data


def pt_zip(saved: Any, data: dict[str, bytes], compression: int = zipfile.ZIP_STORED, **records: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickled(saved) + b".")
        archive.writestr("archive/version", b"3\n")
        for name, raw in records.items():
            archive.writestr(f"archive/{name}", raw)
        for key, raw in data.items():
            archive.writestr(f"archive/data/{key}", raw)
    return out.getvalue()
