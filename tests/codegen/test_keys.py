"""Every key of a model's files is honoured, harmless, neutral, or refused by name; unknown ones are told once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
import vocabulary_files as given
from byte_level_files import ByteLevel
from byte_level_files import tokenizer_json as byte_level_json
from model_files import ARRAY, F32, STRING, U32

from codegen.errors import BakeError
from codegen.formats import open_model, open_tokenizer
from codegen.formats.beside import read_beside
from codegen.formats.keys import RULES, check_keys, table

MODEL, TENSORS = files.tiny()


def test_the_page_has_the_table() -> None:
    assert table().rstrip() in (files.ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def test_no_key_has_two_rules() -> None:
    for kind, rules in RULES.items():
        names = [name for rule in rules for name in rule.names]
        assert len(names) == len(set(names)), kind


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_interleaved", True), ("rope_local_base_freq", 1e4), ("attention_multiplier", 0.5), ("use_qk_norm", True),
        ("attn_logit_softcapping", 30.0), ("embedding_multiplier", 12.0), ("logits_scaling", 8.0), ("layer_types", ["sliding_attention"]),
        ("num_local_experts", 8), ("image_token_id", 5), ("final_norm_bias", 1), ("architectures", ["LlamaForSequenceClassification"]),
        ("suppress_tokens", [1]), ("rope_theta", "1e4"), ("hidden_activation", "gelu"),
        ("clip_qkv", 8.0), ("quantization", {"bits": 4}), ("tie_embeddings", False), ("num_nextn_predict_layers", 1), ("multi_query", True),
    ],
)  # fmt: skip
def test_what_would_change_the_model_is_refused_by_name(key: str, value: Any, tmp_path: Path) -> None:
    folder = files.hf_folder(tmp_path / "m", MODEL, TENSORS, **{key: value})
    with pytest.raises(BakeError) as caught:
        open_model(folder)
    message = str(caught.value)
    assert key in message and caught.value.exit_code == 65 and len(message) <= 200, message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope_interleaved", False), ("layer_types", ["full_attention"] * 2), ("num_local_experts", 0), ("sliding_window", None),
        ("attention_multiplier", None), ("rope_scaling", {}), ("rope_scaling", {"type": "linear", "factor": 1.0}),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 10000.0}), ("rope_scaling", {"rope_type": "default"}),
        ("pretraining_tp", 2), ("temperature", 0.7), ("_attn_implementation_autoset", True), ("partial_rotary_factor", 1),
    ],
)  # fmt: skip
def test_neutral_and_harmless_values_change_nothing(key: str, value: Any, tmp_path: Path) -> None:
    told: list[str] = []
    folder = files.hf_folder(tmp_path / "tiny", MODEL, TENSORS, **{key: value})
    assert open_model(folder, told.append).model == MODEL and not told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"rope_scaling": None, "rope_parameters": {"type": "dynamic", "factor": 2.0}},
            "rope_parameters: expected no scaling, linear or llama3, found dynamic",
        ),
        ({"rope_scaling": {"type": "default", "rope_type": "yarn"}},
         "rope_scaling: expected no scaling, linear or llama3, found default and yarn"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling: factor: expected a number above 0"),
        ({"rope_scaling": {"rope_type": "default", "low_freq_factor": 1.0}}, "'low_freq_factor': expected no scaling by it"),
        ({"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 500000.0}}, "one base of RoPE, found 10000.0 and 500000.0"),
        ({"rope_theta": 5e-324}, "rope_theta: expected a number above 0, 1e-20 to 1e20, found 5e-324"),
        ({"rms_norm_eps": 1e-320}, "rms_norm_eps: expected a number above 0, 1e-20 to 1e20, found 1e-320"),
        ({"rms_norm_eps": int("9" * 4000)}, "found a number of 13288 bits"),
    ],
)  # fmt: skip
def test_rope_and_constants(changes: Any, words: str, tmp_path: Path) -> None:
    folder = files.hf_folder(tmp_path / "m", MODEL, TENSORS, **changes)
    with pytest.raises(BakeError) as caught:
        open_model(folder)
    assert words in str(caught.value)


def test_other_unknown_keys_are_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    open_model(files.hf_folder(tmp_path / "m", MODEL, TENSORS, wandb="x", hello=1, author=[], zoo={}, empty=None), told.append)
    assert told == ["m/config.json: unknown keys, taken as harmless: 'wandb', 'hello', 'author' and 1 more"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.rope.scaling.attn_factor", (F32, 1.5)), ("llama.rope.scaling.type", (STRING, "yarn")),
        ("llama.attention.q_norm", (U32, 1)), ("llama.expert_used_count", (U32, 2)), ("llama.attention.sliding_window", (U32, 64)),
        ("tokenizer.ggml.token_type_count", (U32, 2)), ("tokenizer.ggml.precompiled_charsmap", (STRING, "x")),
        ("llama.residual_scale", (F32, 0.5)), ("llama.attention.head_count_kv", (ARRAY, (U32, [2, 1]))),
    ],
)  # fmt: skip
def test_keys_of_gguf(key: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(files.gguf(files.gguf_kv(MODEL) | {key: value}, files.gguf_tensors(TENSORS)))
    with pytest.raises(BakeError) as caught:
        open_model(path)
    assert key in str(caught.value) and len(str(caught.value)) <= 200


def test_harmless_keys_of_gguf(tmp_path: Path) -> None:
    kv = {"general.name": (STRING, "x"), "general.file_type": (U32, 0), "llama.rope.scaling.attn_factor": (F32, 1.0),
          "quantize.imatrix.file": (STRING, "x"), "tokenizer.ggml.padding_token_id": (U32, 0)}  # fmt: skip
    told: list[str] = []
    (tmp_path / "m.gguf").write_bytes(files.gguf(files.gguf_kv(MODEL) | kv, files.gguf_tensors(TENSORS)))
    open_model(tmp_path / "m.gguf", told.append)
    assert not told
    (tmp_path / "m.gguf").write_bytes(files.gguf(files.gguf_kv(MODEL) | {"my.note": (STRING, "x")}, files.gguf_tensors(TENSORS)))
    open_model(tmp_path / "m.gguf", told.append)
    assert told == ["m.gguf: unknown keys, taken as harmless: 'my.note'"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tokenizer_config.json", {"split_special_tokens": True}, "split_special_tokens: expected off, found true"),
        ("tokenizer_config.json", {"remove_space_prefix": 1}, "'remove_space_prefix': an unknown key"),
        ("tokenizer_config.json", {"add_bos_token": "no"}, "add_bos_token: expected true or false, found 'no'"),
        ("generation_config.json", {"stop_strings": ["x"]}, "stop_strings: expected no stop texts"),
        ("generation_config.json", {"suppress_tokens": [3]}, "suppress_tokens: expected nothing forced, found [3]"),
        ("generation_config.json", {"eos_token_id": [True]}, "eos_token_id: expected an id or at most 64, found [true]"),
        ("special_tokens_map.json", {"eos_token": []}, "eos_token: expected the text of a token, found []"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {}}}, "added_tokens_decoder: expected tokens by id, found 'x'"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"5": {"content": "y", "rstrip": 1}}}, "rstrip: expected true or false"),
        ("chat_template.jinja", b"\xff", "chat_template.jinja: expected UTF-8; download the file again"),
    ],
)  # fmt: skip
def test_files_beside_a_tokenizer(name: str, value: Any, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    with pytest.raises(BakeError) as caught:
        read_beside(tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "beside", "words"),
    [
        ("llama", {"add_prefix_space": False}, "add_prefix_space: found false, but tokenizer.json says otherwise"),
        ("byte level", {"add_prefix_space": True}, "add_prefix_space: expected false with this pre_tokenizer, found true"),
        ("llama", {"added_tokens_decoder": {"5": {"content": "y"}}}, "added_tokens_decoder: 5: expected '"),
        ("byte level", {"added_tokens_decoder": {"5": {"content": "y"}}}, "added_tokens_decoder: 5: expected '"),
    ],
)  # fmt: skip
def test_files_beside_that_say_another_thing_than_the_tokenizer(kind: str, beside: Any, words: str, tmp_path: Path) -> None:
    byte_level = ByteLevel("llama3", [bytes([byte]) for byte in range(256)], [], {"<|endoftext|>": True})
    root = given.tokenizer_json(given.tiny_pieces()) if kind == "llama" else byte_level_json(byte_level)
    (tmp_path / "tokenizer.json").write_text(json.dumps(root))
    open_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(beside))
    with pytest.raises(BakeError) as caught:
        open_tokenizer(tmp_path / "tokenizer.json")
    assert words in str(caught.value)


def test_neutral_values_of_ggufs_own_types() -> None:
    """Bytes are a text, an array is a list."""
    check_keys("config.json", {"num_experts": np.zeros(2, np.int32), "hidden_act": b"silu"}, "x", pytest.fail)
    for values in ({"num_experts": np.ones(2, np.int32)}, {"hidden_act": b"relu"}):
        with pytest.raises(BakeError, match="this model can't be baked"):
            check_keys("config.json", values, "x", lambda _: None)


def test_a_boolean_is_no_number() -> None:
    check_keys("config.json", {"num_experts": [0, 0.0]}, "x", lambda _: None)
    for value in (True, False, "0", [[]], {}):
        with pytest.raises(BakeError, match="num_experts: expected no experts"):
            check_keys("config.json", {"num_experts": value}, "x", lambda _: None)
