"""Reads the tokenizer inside a GGUF file (tokenizer.ggml.*), of the kind "llama": SentencePiece's BPE."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codegen.errors import BakeError, shown
from codegen.formats.gguf_file import read_gguf
from codegen.formats.vocabulary import SPECIAL, Piece, check_special, to_llama2c
from codegen.tokenizer import TokenizerData


def read_vocabulary(path: Path) -> TokenizerData:
    """llama2.c's vocabulary of the tokenizer in a GGUF file. Raises BakeError naming the key at fault."""
    gguf = read_gguf(path)
    metadata = gguf.metadata
    kind = metadata.get("tokenizer.ggml.model")
    if kind != b"llama":
        found = "none" if kind is None else shown(kind)
        raise BakeError(f"{path.name}: tokenizer.ggml.model: expected 'llama' (SentencePiece), found {found}")
    for key, needed in {"add_space_prefix": True, "add_bos_token": True}.items():
        value = metadata.get(f"tokenizer.ggml.{key}", needed)
        if value is not needed:
            raise BakeError(f"{path.name}: tokenizer.ggml.{key}: expected {needed}, found {shown(value)}")
    for key, name in {"unknown_token_id": "unk", "bos_token_id": "bos", "eos_token_id": "eos"}.items():
        found_id = metadata.get(f"tokenizer.ggml.{key}", SPECIAL[name])
        check_special(path.name, name, found_id if type(found_id) is int else None)
    texts, scores, kinds = (metadata.get(f"tokenizer.ggml.{key}") for key in ("tokens", "scores", "token_type"))
    if not isinstance(texts, list) or not isinstance(scores, np.ndarray) or not isinstance(kinds, np.ndarray):
        raise BakeError(f"{path.name}: tokenizer.ggml: expected tokens, scores and token_type; convert the model again")
    if not len(texts) == scores.size == kinds.size or scores.dtype != np.float32 or kinds.dtype.kind not in "iu":
        raise BakeError(
            f"{path.name}: tokenizer.ggml: expected a float score and an integer type a token, found {len(texts)} "
            f"tokens, {scores.size} {scores.dtype} scores and {kinds.size} {kinds.dtype} types; convert the model again"
        )
    pieces = []
    for at, text in enumerate(texts):
        try:
            pieces.append(Piece(text.decode("utf-8"), float(scores[at]), int(kinds[at])))
        except UnicodeDecodeError as error:
            raise BakeError(f"{path.name}: piece {at}: expected UTF-8, found {shown(text)}") from error
    return to_llama2c(pieces, path.name)
