"""Reads the tokenizer inside a GGUF file (tokenizer.ggml.*): "llama", SentencePiece's BPE, or "gpt2", byte-level BPE."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from codegen.byte_level import ByteLevelData, make
from codegen.chat_template import Template
from codegen.errors import BakeError, shown
from codegen.formats.gguf_file import Value, read_gguf, text_of
from codegen.formats.json_parts import named_ends, pair_of, with_flag
from codegen.formats.keys import Tell, check_keys, ignore
from codegen.formats.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, Piece, to_llama2c
from codegen.frame import Added, Frame
from codegen.tokenizer import TokenizerData, Vocabulary

Metadata = dict[str, Value]

# Says for llama.cpp's names in tokenizer.ggml.pre how words are cut, whether they are taken whole, and whether BOS comes first
# unless add_bos_token says otherwise.
PRE = {
    b"gpt-2": ("gpt2", False, False),
    b"smollm": ("gpt2 with single digits", False, False),
    b"llama-bpe": ("llama3", True, True),
    b"llama3": ("llama3", True, True),
    b"llama-v3": ("llama3", True, True),
    b"qwen2": ("qwen2", False, False),
}
LLAMA_PRE = (None, b"default", b"llama")
IDS = ("bos", "eos", "eot", "eom", "unknown")


def read_vocabulary(path: Path, tell: Tell = ignore) -> Vocabulary:
    """Reads the tokenizer in a GGUF file. Raises BakeError naming the key at fault."""
    metadata = read_gguf(path).metadata
    check_keys("GGUF", {key: value for key, value in metadata.items() if key.startswith("tokenizer.")}, path.name, tell)
    kind = text_of(metadata, "tokenizer.ggml.model", path.name)
    if kind == b"gpt2":
        return _byte_level(metadata, path.name)
    if kind != b"llama":
        raise BakeError(
            f"{path.name}: tokenizer.ggml.model: expected 'llama' (SentencePiece) or 'gpt2' (byte-level BPE), found {shown(kind)}"
        )
    return _llama(metadata, path.name)


def _llama(metadata: Metadata, source: str) -> TokenizerData:
    pre = text_of(metadata, "tokenizer.ggml.pre", source)
    if pre not in LLAMA_PRE:
        raise BakeError(f"{source}: tokenizer.ggml.pre: expected none or 'default', found {shown(pre)}; can't be baked")
    texts, scores, kinds = _lists(metadata, source, "tokens", "scores", "token_type")
    if not len(texts) == len(scores) == len(kinds) or scores.dtype != np.float32 or kinds.dtype.kind not in "iu":
        raise BakeError(
            f"{source}: tokenizer.ggml: expected a float score and an integer type a token, found {len(texts)} tokens, "
            f"{len(scores)} scores, {len(kinds)} types; convert the model again"
        )
    pieces = [Piece(text, score, kind) for text, score, kind in
              zip(_decoded(texts, source), scores.tolist(), kinds.tolist(), strict=True)]  # fmt: skip
    spaces = _flag(metadata, "add_space_prefix", True, source)
    frame = _frame(metadata, dict(enumerate(piece.text for piece in pieces)), kinds, source, add_bos=True, bos=1, eos=2)
    return to_llama2c(pieces, frame.with_spaces("each" if spaces else "none", strip=spaces), source)


def _byte_level(metadata: Metadata, source: str) -> ByteLevelData:
    pre = text_of(metadata, "tokenizer.ggml.pre", source)
    if pre is None or pre not in PRE:
        known = ", ".join(shown(name) for name in PRE)
        raise BakeError(f"{source}: tokenizer.ggml.pre: expected one of {known}, found {shown(pre)}; can't be baked")
    rule, whole_words, add_bos = PRE[pre]
    texts, kinds, merges = _lists(metadata, source, "tokens", "token_type", "merges")
    if len(texts) != len(kinds) or kinds.dtype.kind not in "iu":
        raise BakeError(
            f"{source}: tokenizer.ggml: expected an integer type a token, found {len(texts)} tokens and {len(kinds)} types; convert "
            "the model again"
        )
    decoded = dict(enumerate(_decoded(texts, source)))
    for at, kind in enumerate(kinds.tolist()):
        if kind not in (NORMAL, CONTROL, USER_DEFINED, UNUSED):
            raise BakeError(
                f"{source}: piece {at}: {shown(decoded[at])}: expected a normal, control, user-defined or unused piece, "
                f"found type {kind}; can't be baked"
            )
    frame = _frame(metadata, decoded, kinds, source, add_bos=add_bos, bos=None, eos=None)
    if _flag(metadata, "add_space_prefix", False, source):
        frame = frame.with_spaces("each without", strip=False)
    # A piece that merges make may be an added token as well; where two have one text, the normal one is merged.
    order = sorted((at for at in decoded if kinds[at] not in (CONTROL, UNUSED)), key=lambda at: bool(kinds[at] != NORMAL))
    vocabulary: dict[int, str] = {}
    taken: set[str] = set()
    for at in order:
        if kinds[at] == NORMAL or decoded[at] not in taken:
            vocabulary[at] = decoded[at]
            taken.add(decoded[at])
    pairs = [pair_of(text, source) for text in _decoded(merges, source, "merge")]
    return make(vocabulary, len(texts), pairs, rule, frame, source,
                unk=_id(metadata, "unknown", source), whole_words=whole_words)  # fmt: skip


def _lists(metadata: Metadata, source: str, *keys: str) -> list[Any]:
    """Reads the arrays of a vocabulary: texts as a list of bytes, numbers as NumPy's."""
    found = [metadata.get(f"tokenizer.ggml.{key}") for key in keys]
    for key, value in zip(keys, found, strict=True):
        if not isinstance(value, list if key in ("tokens", "merges") else np.ndarray):
            raise BakeError(
                f"{source}: tokenizer.ggml: expected {', '.join(keys[:-1])} and {keys[-1]}, found {shown(value)} for {key}; "
                "convert the model again"
            )
    return found


def _frame(
    metadata: Metadata, texts: dict[int, str], kinds: Any, source: str, *, add_bos: bool, bos: int | None, eos: int | None
) -> Frame:
    """Finds what is around the words. llama.cpp finds control and user-defined pieces in a text as they are."""
    ids = {name: _id(metadata, name, source) for name in IDS}
    ids |= {name: default for name, default in (("bos", bos), ("eos", eos)) if ids[name] is None}
    added = {at: Added(texts[at].encode("utf-8", "replace"), special=int(kind) == CONTROL)
             for at, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED) and texts[at]}  # fmt: skip
    ends = [at for name in ("eos", "eot", "eom") if (at := ids[name]) is not None]
    ends = list(dict.fromkeys([*ends, *named_ends(added)]))
    begin = ids["bos"]
    if begin is None and ends:
        begin = ends[0]
    if begin is None:
        raise BakeError(f"{source}: bos, eos: expected the id of a token that begins or ends a text, found none; convert it again")
    first = [begin] if _flag(metadata, "add_bos_token", add_bos, source) else []
    last = with_flag([], _flag(metadata, "add_eos_token", False, source), ends[:1], at_end=True)
    never = tuple(at for at, kind in enumerate(kinds) if kind == UNUSED)
    names = {f"{name}_token": texts[at] for name, at in ids.items() if at is not None and at in texts}
    return Frame(begin, tuple(ends), tuple(first), tuple(last), added, never, template=_template(metadata, names, source))


def _template(metadata: Metadata, names: dict[str, str], source: str) -> Template | None:
    key = "tokenizer.chat_template"
    value = text_of(metadata, key, source)
    return None if value is None else Template(f"{source}: {key}", value.decode("utf-8", "replace"), names)


def _decoded(texts: Iterable[bytes], source: str, what: str = "piece") -> list[str]:
    decoded = []
    for at, text in enumerate(texts):
        try:
            decoded.append(text.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BakeError(f"{source}: {what} {at}: expected UTF-8, found {shown(text)}; convert the model again") from error
    return decoded


def _id(metadata: Metadata, name: str, source: str) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{name}_token_id")
    if value is not None and type(value) is not int:
        raise BakeError(f"{source}: tokenizer.ggml.{name}_token_id: expected an integer, found {shown(value)}; convert it again")
    return value


def _flag(metadata: Metadata, key: str, default: bool, source: str) -> bool:
    value = metadata.get(f"tokenizer.ggml.{key}", default)
    if not isinstance(value, bool):
        raise BakeError(f"{source}: tokenizer.ggml.{key}: expected true or false, found {shown(value)}; convert it again")
    return value
