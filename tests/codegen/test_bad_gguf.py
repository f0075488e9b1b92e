"""Malformed GGUF files, llama.cpp's test-gguf kinds among them: exit code, one line, words that tell what is wrong."""
from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import model_files as files
import pytest
from conftest import Refused
from model_files import ARRAY, BOOL, F32, STRING, U32, GgufTensor

from codegen.errors import BakeError
from codegen.formats import gguf_file, open_model
from codegen.formats.gguf_file import read_gguf

MODEL, TENSORS = files.tiny()
pytestmark = pytest.mark.filterwarnings("error")

KV = files.gguf_kv(MODEL)
INFOS = files.gguf_tensors(TENSORS)


def gguf(kv: dict[str, Any] | None = None, tensors: list[GgufTensor] | None = None, **options: Any) -> bytes:
    return files.gguf(KV if kv is None else kv, INFOS if tensors is None else tensors, **options)


def with_kv(**changes: Any) -> bytes:
    return gguf(files.gguf_kv(MODEL, **changes))


def one(**changes: Any) -> bytes:
    """A file of one tensor, F32 of 8 values, with changes to its entry."""
    return gguf(tensors=[GgufTensor(**({"name": "t", "dims": (8,), "kind": 0, "data": bytes(32)} | changes))])


def replaced(at: int, **changes: Any) -> bytes:
    infos = list(INFOS)
    infos[at] = GgufTensor(**{**vars(infos[at]), **changes})
    return gguf(tensors=infos)


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


def rope_freqs(factors: list[float], kv: Any = None) -> bytes:
    return gguf(KV | (kv or {}), [*INFOS, files.rope_freqs(factors)])


def renamed(architecture: str) -> dict[str, Any]:
    """The keys of another family."""
    kv = {key.replace("llama.", f"{architecture}."): value for key, value in KV.items()}
    return kv | {"general.architecture": (STRING, architecture)}


def gemma(**changes: tuple[int, Any]) -> bytes:
    """A Gemma with other keys of its own."""
    model, tensors = files.tiny(family="gemma3_text")
    keys = files.gguf_kv(model, "gemma3_text") | {f"gemma3.{key}": value for key, value in changes.items()}
    return files.gguf(keys, files.gguf_tensors(tensors, halves=model))


LINEAR = {"llama.rope.scaling.type": (STRING, "linear")}
GGUF_FILE = gguf()
LAST = len(files.encode(TENSORS["rms_final_weight", 0], "F32"))
GGUFS: list[tuple[str, bytes, str]] = [
    ("magic_only", b"GGUF", "version: expected 4 bytes, found 0 left"),
    ("version_0", gguf(version=0), "version: expected 2 or 3, found 0"),
    ("version_1", gguf(version=1), "version: expected 2 or 3, found 1"),
    ("version_future", gguf(version=4), "version: expected 2 or 3, found 4"),
    ("big_endian", gguf(version=3 << 24), "found a big-endian file"),
    ("tensor_count_2_63", gguf(counts=(1 << 63, len(KV))), "expected at most 65536"),
    ("value_count_2_64", gguf(counts=(len(INFOS), (1 << 64) - 1)), "expected at most 65536"),
    ("value_count_more", gguf(counts=(len(INFOS), len(KV) + 1)), "left"),
    ("tensor_count_less", gguf(counts=(len(INFOS) - 1, len(KV))), "padding: expected zeros"),
    ("no_tensors", gguf(tensors=[]), "tensor token_embd.weight: found none"),
    ("no_values", gguf(kv={}), "general.architecture: expected one of llama, qwen2, qwen3, smollm3, gemma, gemma2, gemma3, found none"),
    ("key_length_2_64", patched(GGUF_FILE, files.gguf_string("llama.block_count"),
                                b"\xff" * 8 + b"llama.block_count"), "key: expected 18446744073709551615 bytes"),
    ("key_escaped", gguf({"\x1b[2J": (U32, 1)}, [])[:-1], "'\\x1b[2J': expected 4 bytes, found 3 left"),
    ("key_empty", gguf(KV | {"": (U32, 1)}), "key '': expected once and not empty"),
    ("key_not_utf8", patched(GGUF_FILE, b"llama.block_count", b"llama.block_coun\xff"), "expected UTF-8"),
    ("key_twice", patched(gguf(KV | {"llama.block_xount": (U32, 2)}), b"block_xount", b"block_count"), "expected once"),
    ("value_type_13", patched(GGUF_FILE, b"llama.block_count\4", b"llama.block_count\15"), "type: expected 0 to 12"),
    ("nested_array", gguf(KV | {"a": (ARRAY, (ARRAY, []))}), "arrays not nested"),
    ("array_of_2_62", patched(gguf({"a": (ARRAY, (U32, []))}, []), b"\4\0\0\0" + bytes(8),
                              b"\4\0\0\0" + struct.pack("<Q", 1 << 62)), "'a': expected 18446744073709551616 bytes"),
    ("strings_of_2_62", patched(gguf({"a": (ARRAY, (STRING, []))}, []), b"\10\0\0\0" + bytes(8),
                                b"\10\0\0\0" + struct.pack("<Q", 1 << 62)), "'a': expected at most 1048576 strings in all"),
    ("bool_2", gguf(KV | {"a": (BOOL, 2)}), "'a': expected 0 or 1, found 2"),
    ("bools_2", gguf(KV | {"a": (ARRAY, (BOOL, [0, 1, 2]))}), "'a': expected 0 or 1, found 2"),
    ("alignment_0", with_kv(general__alignment=(U32, 0)), "general.alignment: expected a power of 2"),
    ("alignment_13", with_kv(general__alignment=(U32, 13)), "general.alignment: expected a power of 2"),
    ("alignment_text", with_kv(general__alignment=(STRING, "32")), "general.alignment: expected a power of 2"),
    ("alignment_2_31", with_kv(general__alignment=(U32, 1 << 31)), "general.alignment: expected a power of 2"),
    ("alignment_other", with_kv(general__alignment=(U32, 4096)), "padding: expected zeros"),
    ("name_length", patched(GGUF_FILE, files.gguf_string("token_embd.weight"), struct.pack("<Q", 1 << 40) +
                            b"token_embd.weight"), "tensor name: expected 1099511627776 bytes"),
    ("name_twice", replaced(1, name="token_embd.weight"), "tensor 'token_embd.weight': expected once"),
    ("dimensions_0", one(dims=()), "dimensions: expected 1 to 4, found 0"),
    ("dimensions_5", one(dims=(1,) * 5), "dimensions: expected 1 to 4, found 5"),
    ("size_0", one(dims=(0,)), "expected sizes of 1 or more"),
    ("size_negative", one(dims=((1 << 64) - 1,)), "expected sizes of 1 or more"),
    ("wraps_to_0", one(dims=(1 << 32, 1 << 32)), "the file ends at"),
    ("wraps_to_8", one(dims=((1 << 39) + 8, 1 << 25)), "the file ends at"),
    ("type_removed", one(kind=4), "Q6_K, IQ4_NL, found number 4"),
    ("type_unknown", one(kind=0xFFFFFFFF), "found number 4294967295"),
    ("type_iq2_xxs", one(kind=16), "found IQ2_XXS; quantise the model to one of those with llama-quantize"),
    ("type_mxfp4", one(kind=39), "found MXFP4; quantise the model to one of those with llama-quantize"),
    ("type_q6_k", one(kind=14), "Q6_K takes rows of a multiple of 256, found 8"),
    ("block_cut", one(kind=8), "Q8_0 takes rows of a multiple of 32, found 8"),
    ("offset_unaligned", one(offset=1), "offset: expected 0, found 1"),
    ("offset_beyond", one(offset=1 << 63), "offset: expected 0, found 9223372036854775808"),
    ("offset_overlaps", replaced(1, offset=0), "offset: expected 5120, found 0"),
    ("truncated", GGUF_FILE[:-1], "the file ends at"),
    ("half", GGUF_FILE[: len(GGUF_FILE) // 2], "the file ends at"),
    ("trailing", GGUF_FILE + b"\0", "its tensors end at byte"),
    ("padding", gguf(filler=b"x"), "padding: expected zeros"),
    ("padding_at_end", gguf(kv=KV, tensors=[*INFOS[:-1], GgufTensor("x", (1,), 0, bytes(4) + b"x" * 28)]), "padding"),
    ("architecture", with_kv(general__architecture=(STRING, "gemma\x1b[2J")), "found 'gemma\\x1b[2J'"),
    ("gemma_window", gemma(**{"attention.sliding_window": (5, -1)}), "sliding_window: expected 1 position or more"),
    ("gemma_window_0", gemma(**{"attention.sliding_window": (U32, 0)}), "sliding_window: expected 1 position or more, in all but every "
     "so many-th layer, found 0 and 6"),
    ("gemma_local_base_0", gemma(**{"rope.freq_base_swa": (F32, 0.0)}), "rope.freq_base_swa: expected a float above 0, found 0.0"),
    ("gemma_local_base_nan", gemma(**{"rope.freq_base_swa": (F32, float("nan"))}), "freq_base_swa: expected a float above 0, found nan"),
    ("gemma_pattern", gemma(**{"attention.sliding_window_pattern": (U32, 0)}), "in all but every so many-th layer, found 5 and 0"),
    ("gemma_window_text", gemma(**{"attention.sliding_window": (STRING, "4")}),
     "gemma3.attention.sliding_window: expected an integer, found '4'"),
    ("gemma_cap", gemma(attn_logit_softcapping=(F32, 50.0)), "attn_logit_softcapping: expected none, found 50"),
    ("architecture_number", with_kv(general__architecture=(U32, 1)), "smollm3, gemma, gemma2, gemma3, found 1"),
    ("gemma_cap_false", gemma(attn_logit_softcapping=(BOOL, 0)), "attn_logit_softcapping: expected none, found false"),
    ("experts", with_kv(llama__expert_count=(U32, 8)), "llama.expert_count: expected no experts, found 8"),
    ("rope_scaling", gguf(KV | {"llama.rope.scaling.type": (STRING, "yarn")}), "scaling.type: expected none or linear, found 'yarn'"),
    ("rope_linear", gguf(KV | {"llama.rope.scaling.type": (STRING, "linear")}), "scaling.factor: expected a float above 0, found none"),
    ("rope_factor_0", gguf(KV | LINEAR | {"llama.rope.scaling.factor": (F32, 0.0)}), "scaling.factor: expected a float above 0, found 0.0"),
    ("rope_factor_nan", gguf(KV | {"llama.rope.scaling.factor": (F32, float("nan"))}),
     "scaling.factor: expected a float above 0, found nan"),
    ("rope_factor_1e30", gguf(KV | {"llama.rope.scale_linear": (F32, 1e30)}), "scale_linear: expected a float above 0, found 1e+30"),
    ("rope_factor_of_a_huge_head", gguf(KV | {"llama.rope.scale_linear": (F32, 2.0)} | {
        f"llama.{key}": (U32, 1 << 31) for key in ("attention.key_length", "attention.value_length", "rope.dimension_count")}),
     "head_size: expected 1 to 4096, found 2147483648"),
    ("rope_factor_negative", gguf(KV | LINEAR | {"llama.rope.scaling.factor": (F32, -1.0)}), "expected a float above 0, found -1.0"),
    ("rope_factor_infinite", gguf(KV | LINEAR | {"llama.rope.scaling.factor": (F32, float("inf"))}), "a float above 0, found inf"),
    ("rope_factors", gguf(KV | {"llama.rope.scale_linear": (ARRAY, (F32, [1.0]))}), "scale_linear: expected a float above 0, found"),
    ("rope_freqs_halves", gguf(KV, [*INFOS, GgufTensor("rope_freqs.weight", (4,), 1, bytes(8))]),
     "rope_freqs.weight: expected 4 values of F32 and no other scaling, found (4) of F16"),
    ("rope_freqs_0", rope_freqs([1, 1, 0, 1]), "rope_freqs.weight: expected factors above 0, 1e-20 to 1e20, found 0.0"),
    ("rope_freqs_nan", rope_freqs([1, 1, float("nan"), 1]), "rope_freqs.weight: expected factors above 0, 1e-20 to 1e20, found nan"),
    ("rope_freqs_short", rope_freqs([1, 1]), "rope_freqs.weight: expected 4 values of F32 and no other scaling, found (2) of F32"),
    ("rope_freqs_twice", rope_freqs([1, 2, 3, 4], {"llama.rope.scaling.factor": (F32, 2.0)}), "of F32 and a factor of 2.0"),
    ("no_biases", gguf(renamed("qwen2")), "tensor blk.0.attn_q.bias: expected (32,) (bq), found none"),
    ("no_head_norms", gguf(renamed("qwen3")), "tensor blk.0.attn_q_norm.weight: expected (8,) (rms_q_weight), found none"),
    ("split", gguf(KV | {"split.count": (2, 2)}), "split.count: expected one file, found 2"),
    ("heads_per_layer", gguf(KV | {"llama.attention.head_count": (ARRAY, (U32, [4, 2]))}), "expected an integer"),
    ("heads_floats", gguf(KV | {"llama.attention.head_count": (ARRAY, (F32, [4.0, 4.0]))}), "head_count: expected an integer"),
    ("heads_none", gguf(KV | {"llama.attention.head_count": (ARRAY, (U32, []))}), "head_count: expected an integer"),
    ("heads_3", with_kv(llama__attention__head_count=(U32, 3), llama__attention__key_length=None), "expected a divisor of 32, found 3"),
    ("heads_3_of_8", with_kv(llama__attention__head_count=(U32, 3)), "n_kv_heads: expected a divisor of n_heads = 3, found 2"),
    ("heads_0", gguf(KV | {"llama.attention.head_count": (U32, 0)}), "head_count: expected a divisor of 32, found 0"),
    ("kv_heads_3", gguf(KV | {"llama.attention.head_count_kv": (U32, 3)}), "n_kv_heads: expected a divisor"),
    ("rope_part", gguf(KV | {"llama.rope.dimension_count": (U32, 4)}), "expected the head size 8, found 4"),
    ("no_layers", with_kv(llama__block_count=None), "llama.block_count: expected an integer, found none"),
    ("layers_2_31", with_kv(llama__block_count=(U32, 1 << 31)), "n_layers: expected 1 to"),
    ("layers_float", with_kv(llama__block_count=(F32, 2.0)), "llama.block_count: expected an integer"),
    ("vocabulary", with_kv(llama__vocab_size=(U32, 41)), "tensor token_embd.weight: expected shape (41, 32)"),
    ("eps_nan", gguf(KV | {"llama.attention.layer_norm_rms_epsilon": (F32, float("nan"))}), "expected a float above 0"),
    ("theta_0", gguf(KV | {"llama.rope.freq_base": (F32, 0.0)}), "llama.rope.freq_base: expected a float above 0"),
    ("theta_integer", gguf(KV | {"llama.rope.freq_base": (U32, 1)}), "llama.rope.freq_base: expected a float above 0"),
    ("missing", gguf(tensors=INFOS[:-1]), "tensor output_norm.weight: expected (32,) (rms_final_weight), found none"),
    ("bias", gguf(tensors=[*INFOS, GgufTensor("blk.0.attn_q.bias", (32,), 0, bytes(128))]), "has no biases"),
    ("transposed", replaced(-1, dims=(1, 32)), "tensor output_norm.weight: expected shape (32,), found (32, 1)"),
    ("infinite_scale", replaced(0, kind=8, data=b"\x00\x7c" + bytes(32 + 34 * 39)), "found 32 NaN or infinity"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), [pytest.param(*case[1:], id=case[0]) for case in GGUFS])
def test_gguf(data: bytes, words: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    refused(path, words)


def test_q8_infinite_scale_is_refused(tmp_path: Path, refused: Refused) -> None:
    tensors = {key: values.copy() for key, values in TENSORS.items()}
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf(tensors=files.gguf_tensors(tensors, "Q8_0")))
    raw = bytearray(path.read_bytes())
    at = raw.index(files.encode(TENSORS["w3", 1], "Q8_0"))
    raw[at : at + 2] = b"\xff\x7f"
    path.write_bytes(raw)
    refused(path, "w3[1]: scales: expected finite numbers, found 1 NaN or infinity of 64")


def test_another_file_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGML" + bytes(60))
    with pytest.raises(BakeError, match="magic: expected 'GGUF', found 'GGML'"):
        read_gguf(tmp_path / "model.gguf")


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    """After it was opened: short reads are found, nothing is mapped."""
    path = tmp_path / "model.gguf"
    path.write_bytes(GGUF_FILE)
    source = open_model(path)
    path.write_bytes(GGUF_FILE[:-200])
    with pytest.raises(BakeError, match=r"rms_final_weight: expected 128 bytes, found 0; the file shrank"):
        source.tensor("rms_final_weight")
    path.unlink()
    with pytest.raises(BakeError, match="rms_final_weight: can't be read: No such file or directory") as caught:
        source.tensor("rms_final_weight")
    assert caught.value.exit_code == 66


def test_what_may_be_left_out_and_what_may_not(tmp_path: Path) -> None:
    """RoPE's base has a default, the norms' epsilon has none; heads may be listed by layer, if all are equal."""
    kv = {key: value for key, value in KV.items() if "freq_base" not in key}
    kv["llama.attention.head_count"] = (ARRAY, (U32, [4, 4]))
    (tmp_path / "model.gguf").write_bytes(gguf(kv))
    model = open_model(tmp_path / "model.gguf").model
    assert (model.n_heads, model.norm_eps, model.rope_theta) == (4, 1e-5, 10000.0)
    (tmp_path / "model.gguf").write_bytes(gguf({key: value for key, value in kv.items() if "epsilon" not in key}))
    with pytest.raises(BakeError, match="layer_norm_rms_epsilon: expected a float above 0, found none"):
        open_model(tmp_path / "model.gguf")


def test_a_file_that_shrinks_or_goes_while_its_values_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BakeError, match="x: key: the file shrank while it was read"):
        gguf_file._Cursor(io.BytesIO(b"ab"), 4, "x").take(4, "key")
    monkeypatch.setattr(gguf_file, "read_bytes", lambda path, count: gguf_file.MAGIC)  # it was there a moment ago
    with pytest.raises(BakeError, match="can't be read: No such file or directory") as caught:
        read_gguf(tmp_path / "model.gguf")
    assert caught.value.exit_code == 66


def test_an_array_of_no_truths_is_one(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(gguf({"a": (ARRAY, (BOOL, []))}, []))
    (value,) = read_gguf(tmp_path / "model.gguf").metadata.values()
    assert len(value) == 0  # type: ignore[arg-type]


def test_a_gemma_3_that_says_no_window_has_none(tmp_path: Path) -> None:
    model, tensors = files.tiny(family="gemma3_text")
    kv = {key: value for key, value in files.gguf_kv(model, "gemma3_text").items() if "sliding_window" not in key}
    (tmp_path / "model.gguf").write_bytes(files.gguf(kv, files.gguf_tensors(tensors, halves=model)))
    found = open_model(tmp_path / "model.gguf").model
    assert (found.window, found.local) == (0, ()) and model.window == 5
