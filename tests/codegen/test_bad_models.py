"""Malformed .pt files, and files that are no model at all: exit code, one line, words that tell what is wrong."""
from __future__ import annotations

import os
import struct
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import at_hand
import model_files as files
import numpy as np
import pytest
from conftest import Refused

from codegen.errors import BakeError
from codegen.formats.pickled import load
from codegen.formats.torch_pt import read_pt

MODEL, TENSORS = files.tiny()
pytestmark = pytest.mark.filterwarnings("error")

SAVED, DATA = files.pt_saved(MODEL, TENSORS)
EMBEDDING = "_orig_mod.tok_embeddings.weight"


def pt(changes: dict[str, Any] | None = None, args: dict[str, Any] | None = None, **records: bytes) -> bytes:
    """The tiny model's file with other tensors of the state, other arguments or more records."""
    saved = {"model": SAVED["model"] | (changes or {}), "model_args": SAVED["model_args"] | (args or {})}
    return files.pt_zip(saved, DATA, **records)


def pt_pickle(code: bytes) -> bytes:
    """A file whose pickle is this code."""
    return files.pt_zip(code, {})


def tensor(**changes: Any) -> dict[str, Any]:
    return {EMBEDDING: files.PtTensor(**({"key": "0", "shape": (40, 32), "items": 1280} | changes))}


def state_without(part: str) -> dict[str, Any]:
    return {name: value for name, value in SAVED["model"].items() if part not in name}


def compressed() -> bytes:
    return files.pt_zip(SAVED, DATA, zipfile.ZIP_DEFLATED)


def twice() -> bytes:
    out = files.io.BytesIO(pt())
    with zipfile.ZipFile(out, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("archive/version", b"4")
    return out.getvalue()


def directory(offset: int, form: str, *values: int) -> bytes:
    """A file whose directory says something else of its pickle."""
    data = bytearray(pt())
    entry = data.index(b"PK\1\2")
    while not data[entry + 46 :].startswith(b"archive/data.pkl"):
        entry = data.index(b"PK\1\2", entry + 4)
    struct.pack_into(form, data, entry + offset, *values)
    return bytes(data)


def beyond() -> bytes:
    """A file whose directory says that its pickle is longer than the file."""
    return directory(20, "<II", 2 << 20, 2 << 20)


def two_pickles() -> bytes:
    out = files.io.BytesIO(pt())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("other/data.pkl", b"\x80\x02N.")
    return out.getvalue()


DATA_ONLY = "expected tensors, numbers and text only (no code is run)"
WHOLE_PT = pt()
PTS: list[tuple[str, bytes, str]] = [
    ("runs_system", pt_pickle(b"cos\nsystem\n(X\4\0\0\0echotR"), f"found 'os system', {DATA_ONLY}"),
    ("runs_eval", pt_pickle(b"cbuiltins\neval\n(X\1\0\0\0001tR"), "found 'builtins eval'"),
    ("nested_name", pt_pickle(b"ctorch\nstorage._load_from_bytes\n)R"), "found 'torch storage._load_from_bytes'"),
    ("stack_global", pt_pickle(b"X\2\0\0\0osX\6\0\0\0system\x93)R"), f"STACK_GLOBAL, {DATA_ONLY}"),
    ("inst", pt_pickle(b"(ios\nsystem\n"), "found opcode INST"),
    ("newobj", pt_pickle(b"ccollections\nOrderedDict\n)\x81"), "found opcode NEWOBJ"),
    ("odd_escape", pt_pickle(b"S'\\ '\n"), "found opcode STRING"),
    ("extension", pt_pickle(b"\x82\1"), "found opcode EXT1"),
    ("call_of_text", pt_pickle(b"X\1\0\0\0a)R"), "found a call of ''"),
    ("call_of_storage", pt_pickle(b"ctorch\nFloatStorage\n)R"), "found a call of 'torch FloatStorage'"),
    ("dict_of_items", pt_pickle(b"ccollections\nOrderedDict\n(]tR"), "found a call of 'collections OrderedDict'"),
    ("build_on_list", pt_pickle(b"]}b"), "found list, expected a dict to add to"),
    ("list_as_key", pt_pickle(b"}]Ns"), "found a key of type list"),
    ("odd_items", pt_pickle(b"}(Nu"), "found 1 keys and values, expected an even number"),
    ("huge_memo", pt_pickle(b"Nr\xff\xff\xff\xff"), "expected 'model' and 'model_args'"),
    ("memo_unknown", pt_pickle(b"h\7"), "found memo 7, expected one that was stored"),
    ("huge_text", pt_pickle(b"X\xff\xff\xff\xffabc"), "expected a pickle, found a damaged one"),
    ("empty_stack", pt_pickle(b"s"), "expected a pickle, found a damaged one"),
    ("no_mark", pt_pickle(b"t"), "expected a pickle, found a damaged one"),
    ("pair_of_one", pt_pickle(b"N\x86."), "expected a pickle, found a damaged one"),
    ("storage_none", pt_pickle(b"NQ."), "torch's description of one"),
    ("two_objects", pt_pickle(b"NN"), "expected a pickle of one object, found 2"),
    ("deep", pt_pickle(b"]" * 200000 + b"a" * 199999), "expected 'model' and 'model_args'"),
    ("bad_storage", pt_pickle(files.pickled(("storage", 1, "0", "cpu", 4)) + b"Q"), "torch's description of one"),
    ("storage_path", pt(tensor(key="../0")), "torch's description of one"),
    ("no_arguments", files.pt_zip({"model": SAVED["model"]}, DATA), "expected 'model' and 'model_args'"),
    ("state_list", files.pt_zip({"model": [], "model_args": {}}, {}), "model, model_args: expected dicts"),
    ("arguments_list", files.pt_zip({"model": {}, "model_args": []}, {}), "model, model_args: expected dicts"),
    ("hugging_face", files.pt_zip(SAVED["model"], DATA), "for a Hugging Face model give its folder"),
    ("dim_text", pt(args={"dim": "32"}), "model_args: dim: expected an integer, found '32'"),
    ("dim_missing", pt(args={"dim": None}), "model_args: dim: expected an integer, found none"),
    ("heads_0", pt(args={"n_heads": 0}), "n_heads: expected a divisor of dim = 32, found 0"),
    ("heads_3", pt(args={"n_heads": 3}), "n_heads: expected a divisor of dim = 32, found 3"),
    ("layers_3", pt(args={"n_layers": 3}), "tensor layers.2.attention_norm.weight: expected (32,) (rms_att_weight)"),
    ("layers_1", pt(args={"n_layers": 1}), "'layers.1.attention_norm.weight': this kind of model has no tensor of this name"),
    ("positions_0", pt(args={"max_seq_len": 0}), "seq_len: expected 1 to"),
    ("not_a_tensor", pt({EMBEDDING: 1}), "expected one tensor"),
    ("name_twice", pt({"tok_embeddings.weight": SAVED["model"][EMBEDDING]}), "expected one tensor"),
    ("shape", pt(tensor(shape=(32, 40))), "tensor tok_embeddings.weight: expected shape (40, 32), found (32, 40)"),
    ("strided", pt(tensor(stride=(1, 40))), "expected a contiguous tensor, found strides (1, 40)"),
    ("one_row", pt(tensor(shape=(1, 1280), stride=(7, 1))), "tensor tok_embeddings.weight: expected shape (40, 32), found (1, 1280)"),
    ("strides_missing", pt(tensor(stride=(1,))), "torch's own way to save a tensor"),
    ("offset", pt(tensor(offset=1)), "expected 1280 items at most, found shape (40, 32)"),
    ("offset_negative", pt(tensor(offset=-1)), "torch's own way to save a tensor"),
    ("storage_missing", pt(tensor(key="99")), "expected 5120 bytes of storage, found none"),
    ("storage_short", pt(tensor(items=1279)), "expected 5116 bytes of storage, found 5120"),
    ("doubles", pt(tensor(kind="DoubleStorage")), "expected float32, float16 or bfloat16, found DoubleStorage"),
    ("big_endian", pt(byteorder=b"big"), "byteorder: expected little"),
    ("compressed", compressed(), "expected it stored, found it compressed or encrypted"),
    ("another_length", directory(20, "<I", 7), "data.pkl': expected it stored, found it compressed or encrypted"),
    ("encrypted", directory(8, "<H", 1), "data.pkl': expected it stored, found it compressed or encrypted"),
    ("no_pickle", files.pt_zip(SAVED, DATA).replace(b"data.pkl", b"data.pcl"), "expected one data.pkl, found 0"),
    ("record_twice", twice(), "expected every record once, found one twice"),
    ("pickle_of_3_mb", pt_pickle(bytes(3 << 20)), "data.pkl': expected at most 2097152 bytes"),
    ("long_key", pt(tensor(key="0" * 21)), "torch's description of one"),
    ("nine_sizes", pt(tensor(shape=(1,) * 9)), "torch's own way to save a tensor"),
    ("no_embedding", files.pt_zip({**SAVED, "model": state_without("tok_")}, DATA),
     "tensor tok_embeddings.weight: expected (40, 32)"),
    ("no_w1", files.pt_zip({**SAVED, "model": state_without("w1")}, DATA),
     "tensor layers.0.feed_forward.w1.weight: expected (hidden_dim, dim), found none such"),
    ("w1_in_a_row", pt({"_orig_mod.layers.0.feed_forward.w1.weight": files.PtTensor("0", (1280,), 1280)}),
     "tensor layers.0.feed_forward.w1.weight: expected (hidden_dim, dim), found none such"),
    ("parameter_of_text", pt_pickle(b"ctorch._utils\n_rebuild_parameter\n(X\1\0\0\0atR"), "torch's own way to save"),
    ("record_beyond", beyond(), "bytes at 46, the file ends before; copy it again"),
    ("two_pickles", two_pickles(), "expected one data.pkl, found 2"),
    ("truncated", WHOLE_PT[:-1], "expected a zip file"),
    ("half", WHOLE_PT[: len(WHOLE_PT) // 2], "expected a zip file"),
    ("local_header", b"PK\3\4" + WHOLE_PT[4:].replace(b"PK\3\4", b"PK\3\5"), "expected a zip record at byte"),
    ("bare_pickle", b"\x80\x02}q\0.", "a bare pickle, which runs code when it is loaded"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), [pytest.param(*case[1:], id=case[0]) for case in PTS])
def test_pt(data: bytes, words: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(data)
    refused(path, words)


def test_what_train_py_saves_beside_its_tensors_is_left_out(tmp_path: Path) -> None:
    """Tables that a model of its time had as buffers."""
    buffers = {name: files.PtTensor("0", (40, 32), 1280) for name in ("freqs_cos", "_orig_mod.freqs_sin", "layers.0.attention.mask")}
    for name, changes in (("plain", None), ("buffers", buffers)):
        (tmp_path / name).write_bytes(pt(changes))
    assert read_pt(tmp_path / "buffers").model == replace(read_pt(tmp_path / "plain").model, name="buffers")


def test_a_classifier_of_another_type_is_not_the_embedding(tmp_path: Path) -> None:
    half = {"_orig_mod.output.weight": files.PtTensor("half", (40, 32), 1280, "HalfStorage")}
    (tmp_path / "model.pt").write_bytes(files.pt_zip({**SAVED, "model": SAVED["model"] | half}, DATA | {"half": bytes(2560)}))
    assert not read_pt(tmp_path / "model.pt").model.shared_classifier


# --- what is not a model at all, and llama2.c's own files ---


def v2(group_size: int = 32, version: int = 2, scale: float = 1.0) -> bytes:
    head = struct.pack("<Ii7iBi", 0x616B3432, version, 32, 64, 2, 4, 2, 40, 16, 1, group_size).ljust(256, b"\0")
    body = b"".join(values.astype("<f4").tobytes() for key, values in TENSORS.items() if key[0].startswith("rms"))
    for key, values in TENSORS.items():
        if not key[0].startswith("rms"):
            body += bytes(values.size) + np.full(values.size // 32, scale, "<f4").tobytes()
    return head + body


PLAIN: list[tuple[str, bytes, str]] = [
    ("empty", b"", "expected at least 28 bytes of header, found 0"),
    ("random", bytes(range(256)) * 4, "expected"),
    ("lone_safetensors", files.safetensors(files.hf_entries(MODEL, TENSORS)),
     "safetensors holds no dimensions; give the folder with its config.json"),
    ("group_0", v2(0), "group_size: expected 1 or more, found 0"),
    ("group_negative", v2(-32), "group_size: expected 1 or more, found -32"),
    ("group_48", v2(48), "group_size: found 48, which does not divide rows of 32"),
    ("version_3", v2(version=3), "version: expected 1 (float32) or 2 (int8), found 3"),
    ("nan_scale", v2(scale=float("nan")), "scales: expected finite numbers, found 40 NaN or infinity of 40"),
    ("trailing", v2() + b"\0", "too long"),
    ("half", v2()[:9000], "truncated"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), [pytest.param(*case[1:], id=case[0]) for case in PLAIN])
def test_llama2c(data: bytes, words: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    refused(path, words)


def test_group_48_names_the_divisors(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "model.bin").write_bytes(v2(48))
    refused(tmp_path / "model.bin", "export again with one of: 32, 16, 8, 4, 2, 1")


def test_more_than_4_gigabytes(tmp_path: Path, refused: Refused) -> None:
    """Sizes are not cut to 32 bits: a file that is right but for 2^32 bytes too many is not taken."""
    path = tmp_path / "model.bin"
    path.write_bytes(v2())
    with path.open("r+b") as file:
        file.truncate(len(v2()) + (1 << 32))
    refused(path, f"found {len(v2()) + (1 << 32)}")


@pytest.mark.parametrize("name", ["none", "fifo", "/dev/zero", "unreadable", "n" * 300])
def test_missing_files_are_66(name: str, tmp_path: Path, refused: Refused) -> None:
    path, words = tmp_path / name, "is not a regular file"
    if name == "none":
        words = "no such file"
    elif name == "n" * 300:
        words = "File name too long"
    elif name == "fifo":
        at_hand.silent_pipe(path)
    elif name == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root reads every file")
        path.write_bytes(v2())
        path.chmod(0)
        words = "Permission denied"
    else:
        path = Path(name)
    refused(path, words, 66)


def test_a_file_that_is_gone_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(BakeError, match="can't be read: No such file or directory") as caught:
        read_pt(tmp_path / "none.pt")
    assert caught.value.exit_code == 66


def test_a_parameter_is_the_tensor_in_it() -> None:
    """As torch saves what was not detached."""
    storage = b"(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\4tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\0(K\4t(K\1ttR"
    found = load(b"ctorch._utils\n_rebuild_parameter\n(" + tensor + b"\x88}tR.", "x")
    assert (found.storage.key, found.offset, found.shape, found.stride) == ("0", 0, (4,), (1,))


def called(function: str, arguments: object) -> bytes:
    """A pickle of what a function of torch makes of its arguments."""
    return b"\x80\x02" + f"c{function.replace(' ', chr(10))}\n".encode() + files.pickled(arguments) + b"R."


def storage(*parts: object) -> bytes:
    return files.pickled(tuple(parts)) + b"Q"


FLOATS = b"ctorch\nFloatStorage\n"
GOOD = storage("storage", FLOATS, "0", "cpu", 4)
TENSOR, PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
STORAGES = {
    "no tuple": files.pickled("storage") + b"Q", "four parts": storage("storage", FLOATS, "0", "cpu"),
    "another name": storage("store", FLOATS, "0", "cpu", 4), "a text for a type": storage("storage", "torch FloatStorage", "0", "cpu", 4),
    "a number for a name": storage("storage", FLOATS, 0, "cpu", 4), "a path for a name": storage("storage", FLOATS, "../0", "cpu", 4),
    "a text for a size": storage("storage", FLOATS, "0", "cpu", "4"), "less than nothing": storage("storage", FLOATS, "0", "cpu", -1),
    "a truth for a size": storage("storage", FLOATS, "0", "cpu", True), "too much": storage("storage", FLOATS, "0", "cpu", 1 << 48),
    "no storage": storage("storage", b"ccollections\nOrderedDict\n", "0", "cpu", 4),
}  # fmt: skip
CALLS = {
    "arguments in a list": called(TENSOR, [GOOD, 0, (2, 2), (2, 1)]), "three arguments": called(TENSOR, (GOOD, 0, (2, 2))),
    "a text for a storage": called(TENSOR, ("x", 0, (2, 2), (2, 1))), "a shape in a list": called(TENSOR, (GOOD, 0, [2, 2], (2, 1))),
    "strides in a list": called(TENSOR, (GOOD, 0, (2, 2), [2, 1])), "nine dimensions": called(TENSOR, (GOOD, 0, (1,) * 9, (1,) * 9)),
    "a stride too few": called(TENSOR, (GOOD, 0, (2, 2), (2,))), "before the beginning": called(TENSOR, (GOOD, -1, (2, 2), (2, 1))),
    "a shape of text": called(TENSOR, (GOOD, 0, ("2", 2), (2, 1))), "a parameter of nothing": called(PARAMETER, ()),
    "a parameter in a list": called(PARAMETER, [GOOD]), "a parameter of a number": called(PARAMETER, (1,)),
    "an OrderedDict of something": called("collections OrderedDict", (1,)),
    "a text that is called": b"\x80\x02" + files.pickled("x") + b")R.",
}  # fmt: skip


@pytest.mark.parametrize("name", [*STORAGES, *CALLS])
def test_what_torch_does_not_write_is_no_tensor(name: str) -> None:
    """Each condition on what a pickle says of a tensor, by the one input that fails it alone."""
    whole = load(called(TENSOR, (GOOD, 0, (2, 2), (2, 1))), "x")
    assert (whole.shape, whole.stride, whole.storage.key) == ((2, 2), (2, 1), "0")
    data = CALLS[name] if name in CALLS else b"\x80\x02" + STORAGES[name] + b"."
    with pytest.raises(BakeError, match="torch's own way to save a tensor" if name in CALLS else "torch's description of one"):
        load(data, "x")
