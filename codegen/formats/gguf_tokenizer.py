"""Reads the tokenizer inside a GGUF file (tokenizer.ggml.*): "llama", SentencePiece's BPE, or "gpt2", byte-level BPE."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codegen.byte_level import ByteLevelData, make
from codegen.errors import BakeError, shown
from codegen.formats.gguf_file import Value, read_gguf
from codegen.formats.tokenizer_json import pair_of
from codegen.formats.vocabulary import CONTROL, NORMAL, SPECIAL, UNUSED, USER_DEFINED, Piece, check_special, to_llama2c
from codegen.tokenizer import TokenizerData, Vocabulary

# tokenizer.ggml.pre, llama.cpp's names: how words are cut, whether words are taken whole, whether BOS comes first
# unless add_bos_token says otherwise.
PRE = {
    b"gpt-2": ("gpt2", False, False),
    b"smollm": ("gpt2 with single digits", False, False),
    b"llama-bpe": ("llama3", True, True),
    b"llama3": ("llama3", True, True),
    b"llama-v3": ("llama3", True, True),
    b"qwen2": ("qwen2", False, False),
}


def read_vocabulary(path: Path) -> Vocabulary:
    """The tokenizer in a GGUF file. Raises BakeError naming the key at fault."""
    metadata = read_gguf(path).metadata
    kind = metadata.get("tokenizer.ggml.model")
    if kind == b"gpt2":
        return _byte_level(metadata, path.name)
    if kind != b"llama":
        found = "none" if kind is None else shown(kind)
        raise BakeError(
            f"{path.name}: tokenizer.ggml.model: expected 'llama' (SentencePiece) or 'gpt2' (byte-level BPE), found {found}"
        )
    return _llama(metadata, path.name)


def _llama(metadata: dict[str, Value], source: str) -> TokenizerData:
    for key, needed in {"add_space_prefix": True, "add_bos_token": True}.items():
        value = metadata.get(f"tokenizer.ggml.{key}", needed)
        if value is not needed:
            raise BakeError(f"{source}: tokenizer.ggml.{key}: expected {needed}, found {shown(value)}")
    for key, name in {"unknown_token_id": "unk", "bos_token_id": "bos", "eos_token_id": "eos"}.items():
        found_id = metadata.get(f"tokenizer.ggml.{key}", SPECIAL[name])
        check_special(source, name, found_id if type(found_id) is int else None)
    texts, scores, kinds = (metadata.get(f"tokenizer.ggml.{key}") for key in ("tokens", "scores", "token_type"))
    if not isinstance(texts, list) or not isinstance(scores, np.ndarray) or not isinstance(kinds, np.ndarray):
        raise BakeError(f"{source}: tokenizer.ggml: expected tokens, scores and token_type; convert the model again")
    if not len(texts) == scores.size == kinds.size or scores.dtype != np.float32 or kinds.dtype.kind not in "iu":
        raise BakeError(
            f"{source}: tokenizer.ggml: expected a float score and an integer type a token, found {len(texts)} "
            f"tokens, {scores.size} {scores.dtype} scores and {kinds.size} {kinds.dtype} types; convert the model again"
        )
    return to_llama2c(
        [Piece(text, float(scores[at]), int(kinds[at])) for at, text in enumerate(_decoded(texts, source))], source
    )


def _byte_level(metadata: dict[str, Value], source: str) -> ByteLevelData:
    pre = metadata.get("tokenizer.ggml.pre")
    if not isinstance(pre, bytes) or pre not in PRE:
        known = ", ".join(shown(name.decode()) for name in PRE)
        found = "none" if pre is None else shown(pre)
        raise BakeError(f"{source}: tokenizer.ggml.pre: expected one of {known}, found {found}; can't be baked")
    rule, whole_words, add_bos = PRE[pre]
    texts, kinds, merges = (metadata.get(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type", "merges"))
    if not isinstance(texts, list) or not isinstance(kinds, np.ndarray) or not isinstance(merges, list):
        raise BakeError(f"{source}: tokenizer.ggml: expected tokens, token_type and merges; convert the model again")
    if len(texts) != kinds.size or kinds.dtype.kind not in "iu":
        raise BakeError(
            f"{source}: tokenizer.ggml: expected an integer type a token, found {len(texts)} tokens and {kinds.size} "
            f"{kinds.dtype} types; convert the model again"
        )
    decoded = _decoded(texts, source)
    for at, kind in enumerate(kinds):
        if kind not in (NORMAL, CONTROL, USER_DEFINED, UNUSED):
            raise BakeError(
                f"{source}: piece {at}: {shown(decoded[at])}: expected a normal, control, user-defined or unused piece, "
                f"found type {kind}; can't be baked"
            )
    if _flag(metadata, "add_space_prefix", False, source):
        raise BakeError(f"{source}: tokenizer.ggml.add_space_prefix: expected False, found True; can't be baked")
    ends = [_id(metadata, key, source) for key in ("eos", "eot")]
    return make(
        decoded,
        [pair_of(text, source) for text in _decoded(merges, source, "merge")],
        {at: kind == CONTROL for at, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)},
        rule,
        {"bos": _id(metadata, "bos", source), "unk": _id(metadata, "unknown", source)},
        [end for end in ends if end is not None],
        source,
        add_bos=_flag(metadata, "add_bos_token", add_bos, source),
        whole_words=whole_words,
    )


def _decoded(texts: list[bytes], source: str, what: str = "piece") -> list[str]:
    decoded = []
    for at, text in enumerate(texts):
        try:
            decoded.append(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BakeError(f"{source}: {what} {at}: expected UTF-8, found {shown(text)}") from error
    return decoded


def _id(metadata: dict[str, Value], name: str, source: str) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if value is not None and type(value) is not int:
        raise BakeError(f"{source}: tokenizer.ggml.{name}_token_id: expected an integer, found {shown(value)}")
    return value


def _flag(metadata: dict[str, Value], key: str, default: bool, source: str) -> bool:
    value = metadata.get(f"tokenizer.ggml.{key}", default)
    if not isinstance(value, bool):
        raise BakeError(f"{source}: tokenizer.ggml.{key}: expected True or False, found {shown(value)}")
    return value
