"""Writers of the vocabularies that codegen.formats reads, made for its tests from the formats' descriptions alone."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import model_files as files
from model_files import ARRAY, BOOL, F32, STRING, U32

Pieces = list[tuple[str, float, int]]


def pieces_of(data: bytes, count: int) -> Pieces:
    """(text with "▁", score, SentencePiece's type) of each id of a llama2.c tokenizer.bin."""
    pieces, at = [], 4
    for index in range(count):
        score, length = struct.unpack_from("<fi", data, at)
        text = data[at + 8 : at + 8 + length].decode().replace(" ", "\u2581")
        kind = {0: 2, 1: 3, 2: 3}.get(index, 6 if index < 259 else 1)
        pieces.append((text.strip("\n") if index in (1, 2) else text, score, kind))
        at += 8 + length
    return pieces


def tiny_pieces() -> Pieces:
    """The smallest vocabulary of the kind: special pieces, bytes, a few characters and their merges."""
    special = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    merged = [("\u2581a", -0.0, 1), ("ab", -1.0, 1), ("\u2581ab", -2.0, 1)]
    return (
        special
        + [(f"<0x{b:02X}>", 0.0, 6) for b in range(256)]
        + merged
        + [("\u2581", -3.0, 1), ("a", -4.0, 1), ("b", -5.0, 1)]
    )


def gemma_pieces(pieces: Pieces) -> Pieces:
    """The pieces of a vocabulary of llama's kind as Gemma has them: other special ones, user-defined runs, bytes behind them."""
    special = [(text, 0.0, 3) for text in ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")]
    special[3] = ("<unk>", 0.0, 2)
    return [*special, ("\n\n", 0.0, 4), ("\u2581\u2581", 0.0, 4), *pieces[3:]]


def gemma_keys(pieces: Pieces) -> files.KV:
    """A Gemma's tokenizer in GGUF, where llama.cpp's converter has put spaces into the user-defined pieces."""
    texts = [(text.replace("\u2581", " ") if kind == 4 else text, score, kind) for text, score, kind in pieces]
    return gguf_keys(texts, bos_token_id=(U32, 2), eos_token_id=(U32, 1), unknown_token_id=(U32, 3), add_space_prefix=(BOOL, 0),
                     eot_token_id=(U32, 5), add_bos_token=(BOOL, 1), padding_token_id=(U32, 0))


def gemma_sentencepiece(pieces: Pieces) -> bytes:
    return sentencepiece_model(
        pieces, message((3, 2), (4, len(pieces)), (35, 1), (40, 3), (41, 2), (42, 1)), message((1, "identity"), (3, 0), (4, 0), (5, 1))
    )


def gemma_json(pieces: Pieces) -> dict[str, Any]:
    """Its tokenizer.json: no space in front, special and user-defined pieces as added tokens, runs by merges as well."""
    added = [{"id": at, "content": text, "special": kind != 4, "normalized": False}
             for at, (text, _, kind) in enumerate(pieces) if kind in (2, 3, 4)]  # fmt: skip
    template = {"type": "TemplateProcessing", "pair": [], "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}},
                "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}  # fmt: skip
    root = tokenizer_json(
        pieces, added_tokens=added, post_processor=template,
        normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        pre_tokenizer={"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                                                  {"type": "ByteFallback"}, {"type": "Fuse"}]},
    )  # fmt: skip
    root["model"]["merges"][:0] = [["\n", "\n"], ["\u2581", "\u2581"]]
    return root


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def message(*fields: tuple[int, Any]) -> bytes:
    """A protobuf message: integers as varints, floats as fixed32, text and bytes by length."""
    out = []
    for number, value in fields:
        if isinstance(value, int):
            out.append(varint(number << 3) + varint(value))
        elif isinstance(value, float):
            out.append(varint(number << 3 | 5) + struct.pack("<f", value))
        else:
            raw = value.encode() if isinstance(value, str) else value
            out.append(varint(number << 3 | 2) + varint(len(raw)) + raw)
    return b"".join(out)


def sentencepiece_model(pieces: Pieces, trainer: bytes | None = None, normalizer: bytes | None = None) -> bytes:
    """A tokenizer.model of llama's kind: BPE, byte fallback, identity, a space in front, spaces kept."""
    if trainer is None:
        trainer = message((3, 2), (4, len(pieces)), (35, 1))
    if normalizer is None:
        normalizer = message((1, "identity"), (3, 1), (4, 0), (5, 1))
    fields = [
        (1, message((1, text), (2, float(score)), *([(3, kind)] if kind != 1 else []))) for text, score, kind in pieces
    ]
    return message(*fields, (2, trainer), (3, normalizer))


def tokenizer_json(pieces: Pieces, old: bool = False, **changes: Any) -> dict[str, Any]:
    """A tokenizer.json as transformers makes it of SentencePiece's pieces: merges by the score of what they make, of
    equal ones the longest left part first; old versions kept the merges of a piece together."""
    vocab = {text: at for at, (text, _, _) in enumerate(pieces)}
    merges = []
    for text, score, kind in pieces:
        cuts = [(text[:cut], text[cut:]) for cut in range(1, len(text))] if kind == 1 else []
        found = [(a, b) for a, b in cuts if a in vocab and b in vocab]
        merges += [(score, len(a), len(b), f"{a} {b}") for a, b in found]
    merges.sort(key=lambda merge: merge[:1] if old else merge[:3], reverse=True)
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": vocab,
             "merges": [merge[3] for merge in merges]}  # fmt: skip
    added = [{"id": at, "content": pieces[at][0], "special": True, "normalized": False} for at in range(3)]
    normalizer = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}  # fmt: skip
    template = {"type": "TemplateProcessing", "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}  # fmt: skip
    root = {"version": "1.0", "added_tokens": added, "normalizer": normalizer, "pre_tokenizer": None,
            "post_processor": template, "decoder": None, "model": model}  # fmt: skip
    for key, value in changes.items():
        (root if key in root else model)[key] = value
    return root


def gguf_keys(pieces: Pieces, **changes: tuple[int, Any] | None) -> files.KV:
    kv: dict[str, Any] = {
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, [text for text, _, _ in pieces])),
        "tokenizer.ggml.scores": (ARRAY, (F32, [score for _, score, _ in pieces])),
        "tokenizer.ggml.token_type": (ARRAY, (5, [kind for _, _, kind in pieces])),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.eos_token_id": (U32, 2),
        "tokenizer.ggml.unknown_token_id": (U32, 0),
        "tokenizer.ggml.add_space_prefix": (BOOL, 1),
    } | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    return {key: value for key, value in kv.items() if value is not None}


def gguf_vocabulary(pieces: Pieces, **changes: tuple[int, Any] | None) -> bytes:
    return files.gguf(gguf_keys(pieces, **changes), [])


def dumped(root: Any) -> bytes:
    return json.dumps(root).encode()


WRITERS: dict[str, Callable[[Pieces], bytes]] = {
    "sentencepiece": sentencepiece_model,
    "json": lambda pieces: dumped(tokenizer_json(pieces)),
    "gguf": gguf_vocabulary,
}
