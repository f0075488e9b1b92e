"""Byte-level BPE for the tests: a small trainer, the files of other programs, and the encoder as their documents have
it: the published regular expressions with Unicode's classes written out, and the best pair searched for anew after
every merge. Nothing here is shared with codegen or the runtime."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import model_files as files
from model_files import ARRAY, BOOL, STRING, U32

SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
# rule: the expression, whether digits are cut out first, the name in GGUF
RULES = {
    "gpt2": (GPT2, False, "gpt-2"),
    "gpt2 with single digits": (GPT2, True, "smollm"),
    "llama3": (LLAMA3, False, "llama-bpe"),
    "qwen2": (QWEN2, False, "qwen2"),
}


@functools.cache
def letters(major: str) -> str:
    """The characters whose Unicode category begins so, as the inside of a class of Python's re."""
    codes = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == major]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@functools.cache
def expression(pattern: str) -> re.Pattern[str]:
    """A published expression for Python's re, which has no \\p and another \\s."""
    pattern = pattern.replace(r"[^\s\p{L}\p{N}]", f"[^{SPACE}{letters('L')}{letters('N')}]")
    pattern = pattern.replace(r"[^\r\n\p{L}\p{N}]", f"[^\\r\\n{letters('L')}{letters('N')}]")
    pattern = pattern.replace(r"\p{L}", f"[{letters('L')}]").replace(r"\p{N}", f"[{letters('N')}]")
    return re.compile(pattern.replace(r"\s", f"[{SPACE}]").replace(r"\S", f"[^{SPACE}]"))


def words_of(text: str, rule: str) -> list[str]:
    pattern, digits, _ = RULES[rule]
    parts = re.split(f"([{letters('N')}])", text) if digits else [text]
    return [word for part in parts for word in expression(pattern).findall(part)]


def as_text(data: bytes) -> str:
    """Bytes that are no UTF-8 become characters of no class, one each."""
    return data.decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def bytes_to_characters() -> dict[int, str]:
    """GPT-2's: what can be seen stands for itself, the rest follows from U+0100 on."""
    seen = [byte for byte in range(256) if 33 <= byte <= 126 or (161 <= byte and byte != 173)]
    return {byte: chr(byte) for byte in seen} | {
        byte: chr(256 + at) for at, byte in enumerate(byte for byte in range(256) if byte not in seen)
    }


CHARACTERS = bytes_to_characters()


def spelled(data: bytes) -> str:
    return "".join(CHARACTERS[byte] for byte in data)


@dataclass(frozen=True)
class ByteLevel:
    """A tokenizer: pieces by id, merges of pieces by rank, added tokens with whether each is special."""

    rule: str
    pieces: list[bytes]
    merges: list[tuple[bytes, bytes]]
    added: dict[str, bool]
    add_bos: bool = False
    ignore_merges: bool = False

    @property
    def size(self) -> int:
        return len(self.added) + len(self.pieces)

    def ids(self) -> dict[bytes, int]:
        """Added tokens come first, as in SmolLM2."""
        return {piece: at for at, piece in enumerate(self.pieces, start=len(self.added))}


def train(text: str, rule: str, merges: int, added: dict[str, bool], **more: bool) -> ByteLevel:
    """The merges of the most frequent pairs, one after the other; the 256 bytes come first."""
    counts = Counter(as_bytes(word) for word in words_of(text, rule))
    split = {word: [bytes([byte]) for byte in word] for word in counts}
    found: list[tuple[bytes, bytes]] = []
    while len(found) < merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in split.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        found.append(best)
        for parts in split.values():
            at = 0
            while at + 1 < len(parts):
                if (parts[at], parts[at + 1]) == best:
                    parts[at : at + 2] = [best[0] + best[1]]
                at += 1
    pieces = list(dict.fromkeys([*(bytes([byte]) for byte in range(256)), *(a + b for a, b in found)]))
    return ByteLevel(rule, pieces, found, added, **more)


class Reference:
    """The encoder, as plainly as it can be."""

    def __init__(self, tokenizer: ByteLevel) -> None:
        self._tokenizer = tokenizer
        self._ids = tokenizer.ids()
        self._ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
        self._added = {text: at for at, text in enumerate(tokenizer.added)}
        by_length = sorted(self._added, key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, by_length)) + ")") if by_length else None
        self._word = functools.cache(self._word_ids)

    def encode(self, data: bytes) -> list[int]:
        ids = [0] if self._tokenizer.add_bos else []
        text = as_text(data)
        for part in self._split.split(text) if self._split else [text]:
            if part in self._added:
                ids.append(self._added[part])
            else:
                for word in words_of(part, self._tokenizer.rule):
                    ids += self._word(as_bytes(word))
        return ids or [0]  # BOS alone

    def _word_ids(self, word: bytes) -> list[int]:
        if self._tokenizer.ignore_merges and word in self._ids:
            return [self._ids[word]]
        parts = [bytes([byte]) for byte in word]
        while True:
            ranked = [(self._ranks[pair], at) for at, pair in enumerate(zip(parts, parts[1:])) if pair in self._ranks]
            if not ranked:
                return [self._ids[part] for part in parts]
            at = min(ranked)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]


# --- files ---


def pre_tokenizer(rule: str) -> dict[str, Any]:
    pattern, digits, _ = RULES[rule]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": rule[:4] == "gpt2"}
    if digits:
        return {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]}
    if rule == "gpt2":
        return byte_level
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


def tokenizer_json(tokenizer: ByteLevel, pairs: bool = True, **changes: Any) -> dict[str, Any]:
    """As transformers saves it; without `pairs` the merges are strings, as in older files. `changes` by the name of a
    key of the root or of the model."""
    texts = [*tokenizer.added, *map(spelled, tokenizer.pieces)]
    merges = [[spelled(a), spelled(b)] for a, b in tokenizer.merges]
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": texts[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": texts[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {texts[0]: {"id": texts[0], "ids": [0], "tokens": [texts[0]]}},
    }
    processors = {"type": "Sequence", "processors": [byte_level, template]}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": tokenizer.ignore_merges, "vocab": {text: at for at, text in enumerate(texts)},
             "merges": merges if pairs else [" ".join(pair) for pair in merges]}  # fmt: skip
    added = [{"id": at, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": special} for at, (text, special) in enumerate(tokenizer.added.items())]  # fmt: skip
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": pre_tokenizer(tokenizer.rule), "post_processor": processors if tokenizer.add_bos else None,
            "decoder": byte_level, "model": model}  # fmt: skip
    for key, value in changes.items():
        (root if key in root else model)[key] = value
    return root


def gguf_keys(tokenizer: ByteLevel, **changes: tuple[int, Any] | None) -> dict[str, tuple[int, Any]]:
    texts = [*tokenizer.added, *map(spelled, tokenizer.pieces)]
    kinds = [3 if special else 4 for special in tokenizer.added.values()] + [1] * len(tokenizer.pieces)
    kv: dict[str, Any] = {
        "model": (STRING, "gpt2"),
        "pre": (STRING, RULES[tokenizer.rule][2]),
        "tokens": (ARRAY, (STRING, texts)),
        "token_type": (ARRAY, (5, kinds)),
        "merges": (ARRAY, (STRING, [f"{spelled(a)} {spelled(b)}" for a, b in tokenizer.merges])),
        "bos_token_id": (U32, 0),
        "eos_token_id": (U32, 0),
        "add_bos_token": (BOOL, int(tokenizer.add_bos)),
    }
    return {f"tokenizer.ggml.{key}": value for key, value in (kv | changes).items() if value is not None}


def gguf(tokenizer: ByteLevel, **changes: tuple[int, Any] | None) -> bytes:
    return files.gguf(gguf_keys(tokenizer, **changes), [])


def repository_text(root: Path) -> str:
    """Real text to train on: the project's own pages, in two languages, and the templates of its stories."""
    paths = [root / "README.md", root / "README.zh.md", *sorted((root / "docs").glob("*.md"))]
    paths += sorted((root / "models" / "corpus" / "plots").glob("*.txt"))[:3]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)
