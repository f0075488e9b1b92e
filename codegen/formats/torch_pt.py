"""Reads the .pt files of llama2.c's train.py: a zip of one pickle and raw tensors, without PyTorch.

Layout: `<any>/data.pkl`, `<any>/data/<key>` (one a storage, not compressed), `<any>/byteorder` in newer files; see
torch.save in https://github.com/pytorch/pytorch. Names are those of llama2.c's model.py (commit 350e04f).
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from codegen.errors import MISSING_FILE, BakeError, shown
from codegen.formats.json_file import integer, number
from codegen.formats.pickled import STORAGES, TensorRef, load
from codegen.formats.stored import Stored, StoredCheckpoint, match_tensors
from codegen.input import read_span
from codegen.model import Model, check_dims
from codegen.names import file_name

NAMES = {
    "token_embedding_table": "tok_embeddings.weight",
    "rms_att_weight": "layers.{}.attention_norm.weight",
    "wq": "layers.{}.attention.wq.weight",
    "wk": "layers.{}.attention.wk.weight",
    "wv": "layers.{}.attention.wv.weight",
    "wo": "layers.{}.attention.wo.weight",
    "rms_ffn_weight": "layers.{}.ffn_norm.weight",
    "w1": "layers.{}.feed_forward.w1.weight",
    "w2": "layers.{}.feed_forward.w2.weight",
    "w3": "layers.{}.feed_forward.w3.weight",
    "rms_final_weight": "norm.weight",
    "wcls": "output.weight",
}
# Matches buffers of old versions of model.py: RoPE tables, and the causal mask of attention without flash.
IGNORED = re.compile(r"freqs_(cos|sin|cis)|layers\.\d+\.attention\.mask")
LARGEST_PICKLE = 1 << 21  # limits the bytes; stories110M's takes less than 100000, the optimizer's state included


def read_pt(path: Path) -> StoredCheckpoint:
    """Opens a checkpoint as train.py saves it: model_args for the dimensions, model for the weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename: info for info in archive.infolist()}
            if len(records) != len(archive.infolist()):
                raise BakeError(f"{path.name}: expected every record once, found one twice; save the model again")
    except OSError as error:
        raise BakeError(f"{path}: can't be read: {error.strerror}", MISSING_FILE) from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise BakeError(f"{path.name}: expected a zip file: {shown(str(error))}; copy the file again") from error
    pickles = [name for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        raise BakeError(f"{path.name}: expected one data.pkl, found {len(pickles)}; is it a file of torch.save?")
    prefix = pickles[0].removesuffix("data.pkl")
    order = records.get(f"{prefix}byteorder")
    if order is not None and _record(path, order, 16) != b"little":
        raise BakeError(f"{path.name}: byteorder: expected little; save the model on a little-endian machine")
    saved = load(_record(path, records[pickles[0]], LARGEST_PICKLE), f"{path.name}: data.pkl")
    if not isinstance(saved, dict) or not {"model", "model_args"} <= saved.keys():
        raise BakeError(
            f"{path.name}: expected 'model' and 'model_args' as llama2.c's train.py saves them, found neither or one; "
            "for a Hugging Face model give its folder with model.safetensors"
        )
    state, args = saved["model"], saved["model_args"]
    if not isinstance(state, dict) or not isinstance(args, dict):
        raise BakeError(f"{path.name}: model, model_args: expected dicts; save the model with llama2.c's train.py")
    found: dict[str, Stored] = {}
    references: dict[str, TensorRef] = {}
    for key, tensor in state.items():
        name = str(key).removeprefix("_orig_mod.")  # torch.compile puts it there
        if not isinstance(tensor, TensorRef) or name in found:
            raise BakeError(f"{path.name}: model: {shown(key)}: expected one tensor; save the model again")
        if IGNORED.fullmatch(name):
            continue
        references[name] = tensor
        found[name] = _stored(path, prefix, records, name, tensor)
    model = _model(path, args, found, _shared(path, found, references))
    if model.shared_classifier:
        found.pop(NAMES["wcls"], None)
    return StoredCheckpoint(path, model, match_tensors(path.name, model, NAMES, found))


def _record(path: Path, info: zipfile.ZipInfo, largest: int) -> bytes:
    label = f"{path.name}: record {shown(info.filename)}"
    if info.file_size > largest:
        raise BakeError(
            f"{label}: expected at most {largest} bytes, found {info.file_size}; is it a file of torch.save?"
        )
    return read_span(path, _data_offset(path, info), info.file_size, label)


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Finds where a record's bytes begin; BakeError unless they lie in the file uncompressed."""
    label = f"{path.name}: record {shown(info.filename)}"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
        raise BakeError(f"{label}: expected it stored, found it compressed or encrypted; save it with torch.save")
    local = read_span(path, info.header_offset, 30, label) if info.header_offset >= 0 else b""
    if local[:4] != b"PK\3\4":
        raise BakeError(f"{label}: expected a zip record at byte {info.header_offset}, found none; copy the file again")
    name_length, extra_length = struct.unpack_from("<HH", local, 26)
    begin: int = info.header_offset + 30 + name_length + extra_length
    if begin + info.file_size > path.stat().st_size:
        raise BakeError(f"{label}: expected {info.file_size} bytes at {begin}, the file ends before; copy it again")
    return begin


def _stored(path: Path, prefix: str, records: dict[str, zipfile.ZipInfo], name: str, tensor: TensorRef) -> Stored:
    """Finds where a tensor's bytes lie. Takes only contiguous float tensors that their storage holds whole."""
    label = f"{path.name}: tensor {shown(name)}"
    encoding, item = STORAGES[tensor.storage.kind]
    if encoding is None:
        raise BakeError(f"{label}: expected float32, float16 or bfloat16, found {tensor.storage.kind}; convert it")
    stride = 1
    for length, found in zip(reversed(tensor.shape), reversed(tensor.stride), strict=True):
        if length != 1 and found != stride:
            raise BakeError(f"{label}: expected a contiguous tensor, found strides {tensor.stride}; save a copy of it")
        stride *= length
    info = records.get(f"{prefix}data/{tensor.storage.key}")
    if info is None or info.file_size != tensor.storage.items * item:
        size = "none" if info is None else str(info.file_size)
        raise BakeError(f"{label}: expected {tensor.storage.items * item} bytes of storage, found {size}")
    if tensor.offset + math.prod(tensor.shape) > tensor.storage.items:
        raise BakeError(f"{label}: expected {tensor.storage.items} items at most, found shape {shown(tensor.shape)}")
    whole = math.prod(tensor.shape) == tensor.storage.items
    begin = _data_offset(path, info) + tensor.offset * item
    return Stored(path, begin, encoding, tensor.shape, crc=info.CRC if whole else None)


def _shared(path: Path, found: dict[str, Stored], references: dict[str, TensorRef]) -> bool:
    """Tells whether the classifier is the embedding: the same storage, or, as export.py compares them, the same values."""
    embedding, classifier = NAMES["token_embedding_table"], NAMES["wcls"]
    if classifier not in found or embedding not in found:
        return classifier not in found
    if references[embedding] == references[classifier]:
        return True
    a, b = found[embedding], found[classifier]
    if a.shape != b.shape or a.encoding != b.encoding:
        return False
    return read_span(path, a.offset, a.bytes, embedding) == read_span(path, b.offset, b.bytes, classifier)


def _model(path: Path, args: dict[str, Any], found: dict[str, Stored], shared: bool) -> Model:
    """Reads the dimensions: from model_args, and hidden_dim, which it may leave out, from the weights."""
    source = f"{path.name}: model_args"
    dim, n_heads = integer(args, "dim", source), integer(args, "n_heads", source)
    w1 = found.get(NAMES["w1"].format(0))
    if n_heads < 1 or dim % n_heads:
        raise BakeError(f"{source}: n_heads: expected a divisor of dim = {dim}, found {n_heads}")
    if w1 is None or len(w1.shape) != 2:
        raise BakeError(f"{path.name}: tensor {NAMES['w1'].format(0)}: expected (hidden_dim, dim), found none such")
    model = Model(
        name=file_name(path),
        dim=dim,
        hidden_dim=w1.shape[0],
        n_layers=integer(args, "n_layers", source),
        n_heads=n_heads,
        n_kv_heads=integer(args, "n_kv_heads", source, n_heads),
        vocab_size=integer(args, "vocab_size", source),
        seq_len=integer(args, "max_seq_len", source),
        head_size=dim // n_heads,
        shared_classifier=shared,
        norm_eps=number(args, "norm_eps", source, 1e-5),
    )
    return check_dims(model, source)
