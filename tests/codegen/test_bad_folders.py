"""Malformed safetensors and Hugging Face folders: the exit code, one line, and the words that tell what is wrong."""
from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_files as files
import pytest
from conftest import Refused

Case = tuple[str, Callable[[Path], object], str]
MODEL, TENSORS = files.tiny()
ENTRIES = files.hf_entries(MODEL, TENSORS)
pytestmark = pytest.mark.filterwarnings("error")


def ids(cases: list[Case]) -> Any:
    return pytest.mark.parametrize(("make", "words"), [pytest.param(*case[1:], id=case[0]) for case in cases])


# --- safetensors ---


def header(text: Any, data: bytes = b"") -> bytes:
    raw = text if isinstance(text, bytes) else json.dumps(text).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(begin: int, end: int, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def weights(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(data)


def without(name: str) -> bytes:
    return files.safetensors({key: value for key, value in ENTRIES.items() if key != name})


CONFIG = files.hf_config(MODEL)
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
GEMMA = {"model_type": "gemma3_text", "architectures": None}
GEMMA2 = {"model_type": "gemma2", "architectures": None}
SMOLLM3 = {"model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"]}
Q = "model.layers.0.self_attn.q_proj"
WHOLE = files.safetensors(ENTRIES)
SAFETENSORS: list[Case] = [
    ("named_twice", weights(files.safetensors(ENTRIES | {f"{Q}.weight".removeprefix("model."): ENTRIES[f"{Q}.weight"]})),
     "expected once, found it with and without 'model.'"),
    ("empty", weights(b""), "expected at least 8 bytes, found 0"),
    ("header_of_2_63", weights(struct.pack("<Q", 1 << 63) + b"{}"), "expected at most 33554432 bytes"),
    ("header_of_101_mb", weights(struct.pack("<Q", 101 << 20) + b"{}"), "expected at most 33554432 bytes"),
    ("header_beyond_end", weights(struct.pack("<Q", 64) + b"{}"), "header: expected 64 bytes, found 2"),
    ("not_utf8", weights(header(b'{"\xff":1}')), "expected JSON in UTF-8"),
    ("not_json", weights(header(b"{{{{")), "expected JSON in UTF-8"),
    ("deep", weights(header(b'{"a":' + b"[" * 100000)), "expected JSON in UTF-8"),
    ("deep_but_whole", weights(header(b'{"a":' + b"[" * 900 + b"]" * 900 + b"}")), "tensor 'a'"),
    ("long_number", weights(header(b'{"a":' + b"9" * 5000 + b"}")), "expected JSON in UTF-8"),
    ("nan", weights(header(b'{"a":NaN}')), "expected JSON numbers, found NaN"),
    ("list", weights(header([])), "expected a JSON object, found a list"),
    ("metadata_numbers", weights(header({"__metadata__": {"a": 1}})), "__metadata__: expected strings"),
    ("metadata_list", weights(header({"__metadata__": []})), "__metadata__: expected strings by name, found []"),
    ("duplicate_key", weights(header(b'{"a":1,"a":2}')), "key 'a': expected once"),
    ("duplicate_dtype", weights(header(b'{"a":{"dtype":"F32","dtype":"F16"}}')), "key 'dtype': expected once"),
    ("overlap", weights(header({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12))), "overlaps the tensor before it"),
    ("twice", weights(header({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8))), "overlaps the tensor before it"),
    ("gap", weights(header({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20))), "leaves a gap before it"),
    ("gap_at_start", weights(header({"a": entry(4, 12)}, bytes(12))), "leaves a gap before it"),
    ("reversed", weights(header({"a": entry(8, 0)}, bytes(8))), "data_offsets: expected a begin and an end"),
    ("negative_offset", weights(header({"a": entry(-8, 0)}, bytes(8))), "data_offsets: expected"),
    ("offset_text", weights(header({"a": {**entry(0, 8), "data_offsets": "08"}}, bytes(8))), "data_offsets: expected"),
    ("offset_true", weights(header({"a": entry(True, 8)}, bytes(8))), "data_offsets: expected"),
    ("offsets_of_three", weights(header({"a": {**entry(0, 8), "data_offsets": [0, 4, 8]}}, bytes(8))), "data_offsets: expected"),
    ("past_end", weights(header({"a": entry(0, 8)}, bytes(7))), "with all tensors, found"),
    ("trailing", weights(WHOLE + b"x"), "with all tensors, found"),
    ("truncated", weights(WHOLE[:-1]), "with all tensors, found"),
    ("half", weights(WHOLE[: len(WHOLE) // 2]), "with all tensors, found"),
    ("shape_mismatch", weights(header({"a": entry(0, 8, (3,))}, bytes(8))), "takes 12 bytes, found offsets 0 to 8"),
    ("shape_negative", weights(header({"a": entry(0, 8, (-2,))}, bytes(8))), "shape: expected"),
    ("shape_float", weights(header({"a": entry(0, 8, (2.0,))}, bytes(8))), "shape: expected"),
    ("shape_wraps_to_8", weights(header({"a": entry(0, 8, (1 << 47, 1 << 16, 2))}, bytes(8))), "takes"),
    ("shape_text", weights(header({"a": entry(0, 8, "2")}, bytes(8))), "shape: expected at most 8 sizes"),
    ("shape_of_nine", weights(header({"a": entry(0, 4, [1] * 9)}, bytes(4))), "shape: expected at most 8"),
    ("dtype_unknown", weights(header({"a": entry(0, 8, (2,), "Q9")}, bytes(8))), "dtype: expected one of F32, F16"),
    ("dtype_list", weights(header({"a": entry(0, 8, (2,), ["F32"])}, bytes(8))), "dtype: expected one of"),
    ("dtype_double", weights(header({"a": entry(0, 16, (2,), "F64")}, bytes(16))), "found F64; convert it first"),
    ("entry_missing_key", weights(header({"a": {"dtype": "F32"}})), "expected dtype, shape and data_offsets"),
    ("entry_with_more", weights(header({"a": {**entry(0, 8), "x": 1}}, bytes(8))), "expected dtype, shape and"),
    ("many_entries", weights(header({f"t{i}": entry(0, 0, (0,)) for i in range(100000)})), "model.embed_tokens.weight"),
    ("too_many_entries", weights(header({f"t{i}": 1 for i in range(100001)})), "at most 100000 tensors, found 100001"),
    ("missing", weights(without(f"{Q}.weight")), f"tensor {Q}.weight: expected (32, 32) (wq), found none"),
    ("bias", weights(files.safetensors({**ENTRIES, f"{Q}.bias": ("F32", (32,), bytes(128))})), "has no biases"),
    ("left_over", weights(files.safetensors({**ENTRIES, "extra": ("F32", (1,), bytes(4))})),
     "tensor 'extra': this kind of model has no tensor of this name"),
    ("escape_in_name", weights(files.safetensors({**ENTRIES, "\x1b[2J\u202e\n": ("F32", (1,), bytes(4))})), "\\x1b[2J"),
    ("surrogate", weights(header(b'{"\\ud800":{}}')), "\\ud800"),
    ("transposed", weights(files.safetensors({**ENTRIES, "model.norm.weight": ("F32", (32, 1), bytes(128))})),
     "tensor model.norm.weight: expected shape (32,), found (32, 1)"),
    ("tied_but_different", weights(files.safetensors({**ENTRIES, "lm_head.weight": ("F32", (40, 32), bytes(5120))})),
     "differs from model.embed_tokens.weight though tie_word_embeddings is true"),
    ("tied_to_another_shape", weights(files.safetensors({**ENTRIES, "lm_head.weight": ("F32", (1,), bytes(4))})),
     "differs from model.embed_tokens.weight though tie_word_embeddings is true"),
    ("nan_weight", weights(files.safetensors({**ENTRIES, "model.norm.weight": ("BF16", (32,), b"\xc0\x7f" * 32)})),
     "rms_final_weight: expected finite numbers, found 32 NaN or infinity of 32"),
]  # fmt: skip


@ids(SAFETENSORS)
def test_safetensors(make: Callable[[Path], object], words: str, tmp_path: Path, refused: Refused) -> None:
    folder = files.hf_folder(tmp_path / "folder", MODEL, TENSORS)
    make(folder)
    refused(folder, words)


# --- config.json and the folder ---


def config(**changes: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(files.hf_config(MODEL, **changes)))


def raw_config(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(text)


def index(where: Any) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "part.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))

    return make


PARTS = dict.fromkeys(ENTRIES, "part.safetensors")
FOLDERS: list[Case] = [
    ("adapter", lambda folder: (folder / "adapter_config.json").write_text("{}"), "adapter_config.json: expected a whole model, found an"),
    ("hidden_size_of_400_digits", config(hidden_size=10**400), "dim: expected 1 to 32768, found a number of 1329 bits"),
    ("layers_of_400_digits", config(num_hidden_layers=-(10**400)), "n_layers: expected 1 to 1024, found a number of 1329 bits"),
    ("rope_scaling", config(rope_scaling={"rope_type": "llama3", "factor": 8.0}),
     "rope_scaling: low_freq_factor: expected a number above 0"),
    ("llama3_factor_0", config(rope_scaling=LLAMA3 | {"factor": 0}), "rope_scaling: factor: expected a number above 0"),
    ("llama3_factor_1e300", config(rope_scaling=LLAMA3 | {"factor": 1e300}), "rope_scaling: factor: expected a number above 0"),
    ("llama3_low_above_high", config(rope_scaling=LLAMA3 | {"low_freq_factor": 4.0}),
     "low_freq_factor below high_freq_factor, found 32, 4.0 and 4.0"),
    ("llama3_of_a_huge_head", config(rope_scaling=LLAMA3, head_dim=1 << 40), "head_size: expected 1 to 4096, found 1099511627776"),
    ("llama3_no_positions", config(rope_scaling=LLAMA3 | {"original_max_position_embeddings": 0}), "of 1 or more and low_freq_factor"),
    ("two_scalings", config(rope_scaling=LLAMA3, rope_parameters={"rope_type": "linear", "factor": 2.0}),
     "expected one scaling, found two"),
    ("linear_0", config(rope_scaling={"rope_type": "linear", "factor": 0}), "rope_scaling: factor: expected a number above 0"),
    ("linear_1e300", config(rope_scaling={"rope_type": "linear", "factor": 1e300}), "factor: expected a number above 0, 1e-20 to 1e20, "
     "found 1e+300"),
    ("theta_1e300", config(rope_theta=1e300), "rope_theta: expected a number above 0, 1e-20 to 1e20, found 1e+300"),
    ("linear_nan", raw_config(json.dumps(CONFIG | {"rope_scaling": {"type": "linear", "factor": float("nan")}})),
     "expected JSON numbers, found NaN"),
    ("rope_layers_llama", config(no_rope_layers=[1, 0]), "no_rope_layers: expected none of a llama, found some"),
    ("rope_layers_short", config(**SMOLLM3, no_rope_layers=[1]), "no_rope_layers: expected 2 times 0 or 1, found [1]"),
    ("rope_layers_two", config(**SMOLLM3, no_rope_layers=[1, 2]), "no_rope_layers: expected 2 times 0 or 1, found [1, 2]"),
    ("rope_layers_text", config(**SMOLLM3, no_rope_layers=[1, "0"]), "no_rope_layers: expected 2 times 0 or 1, found [1, '0']"),
    ("rope_layers_true", config(**SMOLLM3, no_rope_layers=[1, True]), "no_rope_layers: expected 2 times 0 or 1, found [1, true]"),
    ("rope_interval_llama", config(no_rope_layer_interval=4), "no_rope_layers: expected none of a llama, found some"),
    ("rope_interval_0", config(**SMOLLM3, no_rope_layer_interval=0), "no_rope_layer_interval: expected 1 or more, found 0"),
    ("qwen2_as_llama", config(model_type="qwen2"), "architectures: expected a qwen2 that tells the next token (Qwen2ForCausalLM)"),
    ("class_text", config(architectures="LlamaForCausalLM"), "architectures: expected a llama that tells the next token"),
    ("class_number", config(architectures=[1]), "architectures: expected a llama that tells the next token"),
    ("classes", config(architectures=["LlamaForCausalLM"] * 2), "architectures: expected a llama that tells the next token"),
    ("qwen3_heads", config(model_type="qwen3", architectures=None, head_dim=None),
     "q_proj.weight: expected shape (512, 32), found (32, 32)"),
    ("heads_of_nothing", config(num_attention_heads=64, head_dim=8), "q_proj.weight: expected shape (512, 32), found (32, 32)"),
    ("llama_window", config(use_sliding_window=True), "sliding_window: expected none of a llama, found none"),
    ("qwen2_window_0", config(model_type="qwen2", architectures=None, use_sliding_window=True, sliding_window=0),
     "sliding_window: expected 1 position or more, found 0"),
    ("qwen2_no_window", config(model_type="qwen2", architectures=None, use_sliding_window=True), "sliding_window: expected 1 position or"),
    ("mistral_window_text", config(model_type="mistral", architectures=None, sliding_window="8"), "sliding_window: expected an integer"),
    ("mistral_window_negative", config(model_type="mistral", architectures=None, sliding_window=-1), "1 position or more, found -1"),
    ("layer_types_llama", config(layer_types=["full_attention", "sliding_attention"]),
     "layer_types: expected 2 times full_attention, found"),
    ("layer_types_short", config(layer_types=["full_attention"]), "layer_types: expected 2 times full_attention, found"),
    ("layer_types_chunked", config(model_type="qwen3", architectures=None, use_sliding_window=True, sliding_window=4,
                                   layer_types=["chunked_attention", {}]), "expected 2 times full_attention or sliding_attention, found"),
    ("layer_types_mistral", config(model_type="mistral", architectures=None, layer_types=["full_attention"] * 2),
     "layer_types: expected 2 times sliding_attention, found"),
    ("gemma_activation", config(**GEMMA, hidden_act=None, hidden_activation="gelu"),
     "hidden_activation: expected the tanh form of GELU, found 'gelu'"),
    ("gemma_silu", config(**GEMMA), "hidden_act: expected the tanh form of GELU, found 'silu'"),
    ("gemma_both_ways", config(**GEMMA, hidden_act=None, use_bidirectional_attention=True), "use_bidirectional_attention: expected every"),
    ("gemma_cap", config(**GEMMA, hidden_act=None, final_logit_softcapping=30.0), "final_logit_softcapping: expected none, found 30.0"),
    ("gemma_cap_0", config(**GEMMA2, hidden_act=None, final_logit_softcapping=0), "final_logit_softcapping: expected a number above 0"),
    ("gemma_cap_huge", config(**GEMMA2, hidden_act=None, attn_logit_softcapping=1e300),
     "attn_logit_softcapping: expected a number above 0"),
    ("gemma_scalar", config(**GEMMA, hidden_act=None, query_pre_attn_scalar=0), "query_pre_attn_scalar: expected a number above 0"),
    ("gemma_scalar_huge", config(**GEMMA, hidden_act=None, query_pre_attn_scalar=1e300),
     "query_pre_attn_scalar: expected a number above 0"),
    ("gemma_window_0", config(**GEMMA, hidden_act=None, sliding_window=0), "sliding_window: expected 1 position or more, found 0"),
    ("gemma_pattern", config(**GEMMA, hidden_act=None, sliding_window_pattern=-6),
     "sliding_window_pattern: expected 1 or more, found -6"),
    ("gemma_base", config(**GEMMA, hidden_act=None, rope_local_base_freq=0), "rope_local_base_freq: expected a number"),
    ("gemma_base_1e300", config(**GEMMA, hidden_act=None, rope_local_base_freq=1e300), "rope_local_base_freq: expected a number"),
    ("gemma_window_half", config(**GEMMA, hidden_act=None, sliding_window=2.5), "sliding_window: expected an integer, found 2.5"),
    ("gemma_rope", config(**GEMMA, hidden_act=None, rope_parameters={"sliding_attention": {"rope_type": "linear"}}),
     "expected full_attention, and a sliding_attention without scaling"),
    ("gemma_rope_more", config(**GEMMA, hidden_act=None, rope_parameters={"full_attention": {}, "factor": 2.0}),
     "expected full_attention, and a sliding_attention without scaling, found {full_attention: {}, factor: 2.0}"),
    ("gemma_of_a_llama", config(query_pre_attn_scalar=256), "'query_pre_attn_scalar': an unknown key, found 256"),
    ("max_window_layers", config(model_type="qwen2", architectures=None, max_window_layers=-1), "max_window_layers: expected 0 or more"),
    ("rope_parameters", config(rope_parameters={"rope_type": "yarn"}),
     "rope_parameters: expected no scaling, linear or llama3, found yarn"),
    ("rope_factor", config(rope_scaling={"rope_type": "default", "factor": 2.0}), "'factor': expected no scaling by it, found 2.0"),
    ("rope_positions_text", config(rope_scaling={"type": "linear", "factor": 2.0, "original_max_position_embeddings": "32"}),
     "'original_max_position_embeddings': expected no scaling by it, found '32'"),
    ("attention_bias", config(attention_bias=True), "attention_bias: expected no biases, found true"),
    ("attention_bias_1", config(attention_bias=1), "attention_bias: expected no biases, found 1"),
    ("mlp_bias", config(mlp_bias=True), "mlp_bias: expected no biases"),
    ("activation", config(hidden_act="gelu"), "hidden_act: expected silu, found 'gelu'"),
    ("another_model", config(model_type="gpt2"), "model_type: expected one of llama, mistral, qwen2, qwen3, smollm3, "
     "gemma, gemma2, gemma3_text, found 'gpt2'"),
    ("first_gemma_exact", config(model_type="gemma", architectures=None, hidden_act="gelu", hidden_activation="gelu"),
     "hidden_activation: expected the tanh form of GELU, found 'gelu'"),
    ("first_gemma_silu", config(model_type="gemma", architectures=None), "hidden_act: expected the tanh form of GELU, which gelu means "
     "here, found 'silu'"),
    ("first_gemma_window", config(model_type="gemma", architectures=None, hidden_act=None, sliding_window=4),
     "sliding_window: expected none of a gemma, found 4"),
    ("first_gemma_cap", config(model_type="gemma", architectures=None, hidden_act=None, attn_logit_softcapping=50.0),
     "'attn_logit_softcapping': an unknown key, found 50.0"),
    ("sliding_window", config(sliding_window=4096), "sliding_window: expected none of a llama, found 4096"),
    ("partial_rope", config(partial_rotary_factor=0.5), "partial_rotary_factor: expected RoPE on the whole head"),
    ("quantized", config(quantization_config={"bits": 4}), "quantization_config: expected float weights"),
    ("no_hidden_size", config(hidden_size=None), "hidden_size: expected an integer, found none"),
    ("hidden_size_text", config(hidden_size="32"), "hidden_size: expected an integer, found '32'"),
    ("layers_true", config(num_hidden_layers=True), "num_hidden_layers: expected an integer, found true"),
    ("layers_float", config(num_hidden_layers=2.0), "num_hidden_layers: expected an integer, found 2.0"),
    ("layers_0", config(num_hidden_layers=0), "n_layers: expected 1 to"),
    ("layers_negative", config(num_hidden_layers=-2), "n_layers: expected 1 to"),
    ("vocabulary_2_63", config(vocab_size=1 << 63), "vocab_size: expected 3 to"),
    ("positions_2_40", config(max_position_embeddings=1 << 40), "seq_len: expected 1 to"),
    ("heads_0", config(num_attention_heads=0), "num_attention_heads: expected a divisor"),
    ("heads_3", config(num_attention_heads=3, head_dim=None), "num_attention_heads: expected a divisor of hidden_size"),
    ("kv_heads_0", config(num_key_value_heads=0), "n_kv_heads: expected 1 to"),
    ("kv_heads_3", config(num_key_value_heads=3), "n_kv_heads: expected a divisor of n_heads = 4, found 3"),
    ("head_dim_odd", config(head_dim=7), "head size: expected an even number"),
    ("head_dim_other", config(head_dim=16), "q_proj.weight: expected shape (64, 32), found (32, 32)"),
    ("tied_text", config(tie_word_embeddings="yes"), "tie_word_embeddings: expected true or false"),
    ("untied_without_head", config(tie_word_embeddings=False), "tensor lm_head.weight: expected (40, 32) (wcls)"),
    ("eps_0", config(rms_norm_eps=0), "rms_norm_eps: expected a number above 0"),
    ("eps_text", config(rms_norm_eps="1e-5"), "rms_norm_eps: expected a number above 0"),
    ("theta_negative", config(rope_theta=-1.0), "rope_theta: expected a number above 0"),
    ("theta_infinite", raw_config('{"model_type":"llama","rope_theta":1e999}'), "hidden_size: expected an integer"),
    ("config_not_json", raw_config("dim: 32"), "config.json: expected JSON"),
    ("config_twice", raw_config('{"hidden_size":1,"hidden_size":2}'), "key 'hidden_size': expected once"),
    ("index_leaves", index(PARTS | {"model.norm.weight": "../x"}), "expected the name of a file in the folder"),
    ("index_hidden", index(PARTS | {"model.norm.weight": ".x"}), "expected the name of a file in the folder"),
    ("index_number", index(PARTS | {"model.norm.weight": 1}), "expected the name of a file in the folder"),
    ("index_list", index([]), "weight_map: expected file names by tensor, found []"),
    ("index_empty", index({}), "weight_map: expected file names by tensor"),
    ("index_more", index(PARTS | {"more": "part.safetensors"}), "'more': expected in part.safetensors, found nowhere"),
    ("index_of_1001", index({f"t{i}": f"f{i}" for i in range(1001)}), "expected at most 1000 files, found 1001"),
    ("index_less", index({k: v for k, v in PARTS.items() if "norm" not in k}), "the index says none"),
]  # fmt: skip


@ids(FOLDERS)
def test_folder(make: Callable[[Path], object], words: str, tmp_path: Path, refused: Refused) -> None:
    folder = files.hf_folder(tmp_path / "folder", MODEL, TENSORS)
    make(folder)
    refused(folder, words)


@pytest.mark.parametrize("name", ["empty_folder", "no_weights", "no_part", "config_is_a_folder"])
def test_missing_files_are_66(name: str, tmp_path: Path, refused: Refused) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    words = "a folder without config.json"
    if name != "empty_folder":
        files.hf_folder(folder, MODEL, TENSORS)
        words = "expected model.safetensors or model.safetensors.index.json, found neither"
    if name == "no_weights":
        (folder / "model.safetensors").unlink()
    if name == "config_is_a_folder":
        (folder / "config.json").unlink()
        (folder / "config.json").mkdir()
        words = "config.json: is not a regular file"
    if name == "no_part":
        index(dict.fromkeys(ENTRIES, "other.safetensors"))(folder)
        words = "other.safetensors: no such file"
    refused(folder, words, 66)
