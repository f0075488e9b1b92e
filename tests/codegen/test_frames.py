"""What is around a tokenizer's words: what begins and ends a text, what is found in it whole, spaces, NFC, padding.

The right ids are those of Hugging Face's own code and of llama.cpp for the same files; a plain reference in Python has the
rules for what is found whole."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import byte_level_files
import pytest
import vocabulary_files as given
from conftest import RuntimeTokens
from model_files import BOOL, STRING, U32

from codegen.errors import BakeError
from codegen.formats import open_tokenizer, sayable
from codegen.tokenizer import Vocabulary, bake

Json = dict[str, Any]
Tokens = Callable[[Vocabulary, str], list[int]]
TINY = given.tiny_pieces()  # 262 is "▁", 263 "a", 264 "b", 259 "▁a", 260 "ab", 261 "▁ab"
SIZE = len(TINY)
SPACE, A, B, SPACE_A, AB, SPACE_AB = 262, 263, 264, 259, 260, 261
START, END, PAD = SIZE, SIZE + 1, SIZE + 2
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}  # fmt: skip


def added(at: int, text: str, special: bool = True, **flags: bool) -> Json:
    return {"id": at, "content": text, "special": special, "single_word": False, "normalized": False,
            "lstrip": False, "rstrip": False} | flags  # fmt: skip


CHAT = (added(START, "<|im_start|>"), added(END, "<|im_end|>"))


def root(*more: Json, **changes: Any) -> Json:
    """A llama-kind tokenizer.json with BOS in front, and more added tokens."""
    made = given.tokenizer_json(TINY)
    made |= {"post_processor": TEMPLATE, **changes}
    made["added_tokens"] = [*made["added_tokens"], *more]
    return made


def opened(folder: Path, tokenizer: Json, rows: int | None = None, **beside: Json) -> Vocabulary:
    for name, value in {"tokenizer": tokenizer, **beside}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return open_tokenizer(folder / "tokenizer.json", rows)


def gguf(folder: Path, pieces: given.Pieces, **changes: Any) -> Vocabulary:
    (folder / "m.gguf").write_bytes(given.gguf_vocabulary(pieces, **changes))
    return open_tokenizer(folder / "m.gguf")


@pytest.fixture
def tokens(runtime_tokens: RuntimeTokens) -> Tokens:
    def encode(data: Vocabulary, text: str) -> list[int]:
        return runtime_tokens(bake(data), len(data.pieces), [text.encode()])[0][0]

    return encode


# --- where a text ends ---


def test_every_end_that_a_file_names(tmp_path: Path) -> None:
    ends = opened(
        tmp_path, root(*CHAT), config={"eos_token_id": END}, generation_config={"eos_token_id": [2, A]},
        tokenizer_config={"eos_token": "<|im_start|>"}, special_tokens_map={"eos_token": {"content": "<s>"}},
    ).frame.ends  # fmt: skip
    assert set(ends) == {START, 2, A, END, 1}


@pytest.mark.parametrize("name", ["<|eom_id|>", "<|end|>", "<|eot_id|>", "<end_of_turn>", "<|im_end|>"])
def test_ends_by_their_role(name: str, tmp_path: Path) -> None:
    assert START in opened(tmp_path, root(added(START, name))).frame.ends
    assert START not in opened(tmp_path, root(added(START, name, special=False))).frame.ends, "an ordinary word"
    byte_level = byte_level_files.ByteLevel("gpt2", [bytes([byte]) for byte in range(256)], [], {"<|bos|>": True, name: True})
    (tmp_path / "b.gguf").write_bytes(byte_level_files.gguf(byte_level, eos_token_id=None))
    assert 1 in open_tokenizer(tmp_path / "b.gguf").frame.ends


@pytest.mark.parametrize("key", ["eos_token_id", "eot_token_id", "eom_token_id"])
def test_ends_of_gguf(key: str, tmp_path: Path) -> None:
    assert B in gguf(tmp_path, TINY, **{key: (U32, B)}).frame.ends


# --- where it begins ---


@pytest.mark.parametrize(
    ("flags", "template", "expected"),
    [
        ({}, True, [1, SPACE_A]), ({}, False, [SPACE_A]), ({"add_bos_token": False}, True, [SPACE_A]),
        ({"add_bos_token": True}, False, [1, SPACE_A]), ({"tokenizer_class": "LlamaTokenizerFast"}, False, [1, SPACE_A]),
        ({"add_eos_token": True}, True, [1, SPACE_A, 2]), ({"add_bos_token": False, "add_eos_token": True}, True, [SPACE_A, 2]),
    ],
)  # fmt: skip
def test_bos_and_eos_are_as_template_and_flags_say(
    flags: Json, template: bool, expected: list[int], tokens: Tokens, tmp_path: Path
) -> None:
    made = root(post_processor=TEMPLATE if template else None)
    data = opened(tmp_path, made, tokenizer_config={"bos_token": "<s>", "eos_token": "</s>", **flags})
    assert tokens(data, "a") == expected


def test_a_template_of_several_tokens(tokens: Tokens, tmp_path: Path) -> None:
    part = {"SpecialToken": {"id": "</s>", "type_id": 0}}
    template = TEMPLATE | {"single": [*TEMPLATE["single"], part, part], "special_tokens": {}}
    assert tokens(opened(tmp_path, root(post_processor=template)), "a") == [1, SPACE_A, 2, 2]
    assert tokens(opened(tmp_path, root(post_processor=template)), "") == [1, 2, 2]


def test_a_template_of_two_tokens_loses_bos_alone(tokens: Tokens, tmp_path: Path) -> None:
    before = [TEMPLATE["single"][0], {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    made = root(post_processor=TEMPLATE | {"single": [*before, TEMPLATE["single"][1]], "special_tokens": {}})
    for flag, first in ((True, [1, 2]), (False, [2])):
        assert tokens(opened(tmp_path, made, tokenizer_config={"bos_token": "<s>", "add_bos_token": flag}), "a") == [*first, SPACE_A]


def test_an_end_that_no_file_names_is_none(tokens: Tokens, tmp_path: Path) -> None:
    assert tokens(opened(tmp_path, root(), tokenizer_config={"add_eos_token": True}), "a") == [1, SPACE_A]


def test_where_nothing_begins_a_text_its_end_does(tmp_path: Path) -> None:
    byte_level = byte_level_files.ByteLevel("gpt2", [bytes([byte]) for byte in range(256)], [], {"<x>": True, "<y>": True})
    (tmp_path / "b.gguf").write_bytes(byte_level_files.gguf(byte_level, bos_token_id=None, eos_token_id=(U32, 1)))
    assert open_tokenizer(tmp_path / "b.gguf").frame.bos == 1


def test_a_gap_behind_the_models_rows_is_none_of_its_pieces(tmp_path: Path) -> None:
    assert opened(tmp_path, root(added(START + 1, "<x>")), rows=SIZE).frame.never == ()
    with pytest.raises(BakeError, match=f"expected the model's {SIZE - 1} pieces, found {SIZE + 2}"):
        opened(tmp_path, root(added(START + 1, "<x>")), rows=SIZE - 1)


def test_a_template_in_a_file_of_json(tmp_path: Path) -> None:
    """Of older versions of transformers; tokenizer_config.json's own comes before it."""
    for own, source in ((None, "chat_template.json"), ("y", "tokenizer_config.json: chat_template")):
        config = {"chat_template": own} if own else {}
        found = opened(tmp_path, root(), tokenizer_config=config, chat_template={"chat_template": "x"}).frame.template
        assert found is not None and (found.source, found.text) == (source, own or "x")


def test_gguf_without_bos_with_eos_without_space(tokens: Tokens, tmp_path: Path) -> None:
    assert tokens(gguf(tmp_path, TINY, add_bos_token=(BOOL, 0)), "a") == [SPACE_A]
    assert tokens(gguf(tmp_path, TINY, add_eos_token=(BOOL, 1)), "a") == [1, SPACE_A, 2]
    assert tokens(gguf(tmp_path, TINY, add_space_prefix=(BOOL, 0)), "a") == [1, A]
    assert tokens(gguf(tmp_path, TINY, bos_token_id=(U32, B)), "a") == [B, SPACE_A]


def test_sentencepiece_without_a_space_in_front(tokens: Tokens, tmp_path: Path) -> None:
    plain = given.sentencepiece_model(TINY, None, given.message((3, 0)))
    (tmp_path / "tokenizer.model").write_bytes(plain)
    assert tokens(open_tokenizer(tmp_path / "tokenizer.model"), "a b") == [1, A, SPACE, B]
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false, "add_prefix_space": true}')
    assert tokens(open_tokenizer(tmp_path / "tokenizer.model"), "a") == [SPACE_A]


# --- spaces ---


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("always", [1, SPACE_A, START, SPACE_A]), ("first", [1, SPACE_A, START, A]), ("never", [1, A, START, A])],
)
def test_metaspace_puts_spaces_where_it_says(scheme: str, expected: list[int], tokens: Tokens, tmp_path: Path) -> None:
    pre = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": False}
    data = opened(tmp_path, root(*CHAT, normalizer=None, pre_tokenizer=pre))
    assert tokens(data, "a<|im_start|>a") == expected
    if scheme != "never":
        assert tokens(data, " a") == [1, SPACE_A], "none where there is one"
    assert tokens(opened(tmp_path, root(*CHAT)), " a") == [1, SPACE, SPACE_A], "but a normaliser puts one in always"


def test_spaces_of_a_byte_level_vocabulary(tokens: Tokens, tmp_path: Path) -> None:
    tokenizer = byte_level_files.ByteLevel("gpt2", [bytes([byte]) for byte in range(256)], [], {"<|endoftext|>": True})
    made = byte_level_files.tokenizer_json(tokenizer)
    assert tokens(opened(tmp_path, made), "a") == [98]
    for data in (
        opened(tmp_path, made | {"pre_tokenizer": made["pre_tokenizer"] | {"add_prefix_space": True}}),
        opened(tmp_path, made, tokenizer_config={"add_prefix_space": True}),
    ):
        assert tokens(data, "a<|endoftext|>a") == [33, 98, 0, 33, 98]
        assert tokens(data, " a") == [33, 98]


# --- what is found whole ---


class Reference:
    """A llama-kind tokenizer.json with what Hugging Face's AddedVocabulary does: the longest token at the leftmost place, in the
    text as it is; then each part is normalised, and tokens that are normalised are looked for in it."""

    def __init__(self, extra: list[Json]) -> None:
        self._plain = {token["content"]: token for token in extra if not token["normalized"]}
        self._normal = {"\u2581" + token["content"].replace(" ", "\u2581"): token for token in extra if token["normalized"]}
        self._ids = {text: at for at, (text, _, kind) in enumerate(TINY) if kind == 1}

    def encode(self, text: str) -> list[int]:
        ids = [1]
        for part in self._split(text, self._plain):
            if isinstance(part, int):
                ids.append(part)
                continue
            normal = "\u2581" + part.replace(" ", "\u2581")
            for inner in self._split(normal, self._normal):
                ids += [inner] if isinstance(inner, int) else self._words(inner)
        return ids

    @staticmethod
    def _split(text: str, tokens: dict[str, Json]) -> list[int | str]:
        parts: list[int | str] = []
        begin = at = 0
        while at < len(text):
            found = max((token for token in tokens if text.startswith(token, at)), key=len, default=None)
            if found is None:
                at += 1
                continue
            flags = tokens[found]
            before, at = text[begin:at], at + len(found)
            parts += [before.rstrip() if flags["lstrip"] else before, flags["id"]]
            while flags["rstrip"] and at < len(text) and text[at].isspace():
                at += 1
            begin = at
        return [part for part in [*parts, text[begin:]] if part != ""]

    def _words(self, text: str) -> list[int]:
        parts = list(text)
        merges = {("\u2581", "a"): 0, ("a", "b"): 1, ("\u2581", "ab"): 2, ("\u2581a", "b"): 2}
        while True:
            ranked = [(merges[pair], at) for at, pair in enumerate(zip(parts, parts[1:])) if pair in merges]
            if not ranked:
                break
            at = min(ranked)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found: list[int] = []
        for part in parts:
            found += [self._ids[part]] if part in self._ids else [3 + byte for byte in part.encode()]
        return found


EXTRA = [
    *CHAT, added(PAD, "<|im_end|><|im_start|>"), added(SIZE + 3, "<b>", special=False), added(SIZE + 4, "<n>", False, normalized=True),
    added(SIZE + 5, "<left>", lstrip=True), added(SIZE + 6, "<right>", rstrip=True), added(SIZE + 7, "b b", False, normalized=True),
]  # fmt: skip


def test_tokens_are_found_whole_as_in_hugging_faces_code(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    data = opened(tmp_path, root(*EXTRA))
    reference, choose = Reference(EXTRA), random.Random(3)
    texts = ["<|im_start|>user\nhi<|im_end|>", "<|im_end|><|im_start|>", "a <left>", "<right> \u2003a", "a<n>b <n>", "a b b b"]
    words = [token["content"] for token in EXTRA] + ["a", "b", " ", "ab", "<", "\u00e9", "\n"]
    texts += ["".join(choose.choices(words, k=choose.randrange(9))) for _ in range(4000)]
    found = runtime_tokens(bake(data), len(data.pieces), [text.encode() for text in texts])
    for text, (ids, _) in zip(texts, found, strict=True):
        assert ids == reference.encode(text), text


def test_special_ones_are_not_printed_and_others_are(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    data = opened(tmp_path, root(*EXTRA))
    assert runtime_tokens(bake(data), len(data.pieces), [b"a<|im_start|><b><right>"])[0][1] == b"a<b>"


def test_user_defined_and_control_pieces_of_gguf_and_sentencepiece(tokens: Tokens, tmp_path: Path) -> None:
    pieces = [*TINY, ("<|x|>", 0.0, 3), ("b b", 0.0, 4), ("[PAD]", 0.0, 5), ("ba", -9.0, 1), ("abab", 0.0, 3)]
    data = gguf(tmp_path, pieces)
    assert tokens(data, "a<|x|>b b") == [1, SPACE_A, SIZE, SIZE + 1]
    assert tokens(data, "abab") == [1, SIZE + 4], "a control piece is found, never made"
    assert tokens(data, "[PAD]") == tokens(gguf(tmp_path, TINY), "[PAD]"), "an unused piece is no piece"
    (tmp_path / "m.model").write_bytes(given.sentencepiece_model(pieces))
    data = open_tokenizer(tmp_path / "m.model")
    assert tokens(data, "bb b") == [1, SPACE, B, SIZE + 1]
    assert SIZE not in tokens(data, "<|x|>"), "SentencePiece spells control pieces"


def test_an_added_token_may_be_a_piece_or_have_its_text(tokens: Tokens, tmp_path: Path) -> None:
    data = opened(tmp_path, root(added(AB, "ab", special=False)))
    assert tokens(data, "ab b") == [1, AB, SPACE, SPACE, B], "found whole, with its own id"
    data = opened(tmp_path, root(added(START, "a", special=False)))
    assert tokens(data, "ba") == [1, SPACE, B, START]
    tokenizer = byte_level_files.train("the them then", "gpt2", 4, {"<|endoftext|>": True})
    made = byte_level_files.tokenizer_json(tokenizer)
    th = made["model"]["vocab"]["th"]
    made["added_tokens"].append(added(th, "th", special=False))
    assert tokens(opened(tmp_path, made), "th") == [th]


# --- NFC ---


def test_nfc_is_unicodes(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    """Every character that has a decomposition, Hangul, marks in any order, and what is no UTF-8."""
    tokenizer = byte_level_files.ByteLevel("qwen2", [bytes([byte]) for byte in range(256)], [], {"<|endoftext|>": True})
    made = byte_level_files.tokenizer_json(tokenizer, normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]})
    data = opened(tmp_path, made)
    apart = [chr(code) for code in range(0x110000) if unicodedata.decomposition(chr(code)) and not 0xAC00 < code < 0xD700]
    choose = random.Random(1)
    marks = [chr(code) for code in range(0x300, 0x370)] + ["\u0323", "\u3099", "\u1161", "\u11a8", "\u1100", "a", "\u05d0"]
    texts = ["".join(apart), unicodedata.normalize("NFD", "".join(apart)), "\uac00\u11a7\u11a8", "\u1100\u1161\u11a8\u11a8"]
    texts += ["".join(choose.choices(marks + apart[::7], k=choose.randrange(1, 12))) for _ in range(3000)]
    found = runtime_tokens(bake(data), len(data.pieces), [text.encode() for text in texts] + [b"e\xcc\x81\xff\xcc\x81e"])
    for text, (ids, _) in zip(texts, found, strict=False):
        assert bytes(at - 1 for at in ids).decode() == unicodedata.normalize("NFC", text), ascii(text)
    assert bytes(at - 1 for at in found[-1][0]) == b"\xc3\xa9\xff\xcc\x81e"


def test_without_nfc_nothing_is_composed(tokens: Tokens, tmp_path: Path) -> None:
    assert tokens(opened(tmp_path, root()), "e\u0301")[2:] == [3 + byte for byte in "e\u0301".encode()]
    empty = {"type": "Sequence", "normalizers": []}
    tokenizer = byte_level_files.ByteLevel("gpt2", [bytes([byte]) for byte in range(256)], [], {"<|endoftext|>": True})
    assert not opened(tmp_path, byte_level_files.tokenizer_json(tokenizer, normalizer=empty)).frame.nfc


# --- tokens that were added before tokenizer.json was ---


def with_added(folder: Path, tokens: Any, **beside: Json) -> Vocabulary:
    """SentencePiece's vocabulary and the file that transformers wrote of tokens that were added to it."""
    (folder / "tokenizer.model").write_bytes(given.sentencepiece_model(TINY))
    for name, value in {"added_tokens": tokens, **beside}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return open_tokenizer(folder)


def test_added_tokens_of_a_file_of_their_own(tokens: Tokens, tmp_path: Path) -> None:
    config = {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    data = with_added(tmp_path, {"<|im_end|>": END, "<|im_start|>": START, "<note>": PAD}, special_tokens_map=config)
    assert len(data.pieces) == SIZE + 3 and END in data.frame.ends and PAD not in data.frame.ends
    assert [data.frame.added[at].special for at in (START, END, PAD)] == [True, True, False]
    assert tokens(data, "<|im_start|>b<note>a") == [1, START, SIZE - 1, PAD, A]
    stated = {str(START): {"content": "<x>", "special": True}}  # comes instead, in newer folders
    data = with_added(tmp_path, {"<|im_start|>": START}, tokenizer_config={"added_tokens_decoder": stated}, special_tokens_map={})
    assert data.frame.added[START].text == b"<x>"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "expected a JSON object"), ({"<x>": "1"}, "added_tokens.json: '<x>': expected an id of its own, found '1'"),
        ({"<x>": True}, "found true"), ({"<x>": -1}, "found -1"), ({"<x>": SIZE, "<y>": SIZE}, "'<y>': expected an id of its own"),
        ({"": SIZE}, "content: expected a text"), ({"<x>": 10**9}, "found a gap in the ids"),
        ({"<x>": 3}, "expected '<x>' as in tokenizer.model, found '<0x00>'"), ({"\ud800": SIZE}, "lone surrogate"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_added_tokens(found: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(BakeError) as refused:
        with_added(tmp_path, found)
    assert words in str(refused.value)


# --- rows and pieces ---


def test_rows_without_a_piece_and_pieces_without_a_row(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(root(*CHAT, added(PAD, "<pad>"))))
    data = open_tokenizer(tmp_path / "tokenizer.json", 320, told.append)
    assert (sayable(data, 320), told) == (SIZE + 3, [])
    data = open_tokenizer(tmp_path / "tokenizer.json", SIZE + 2, told.append)
    assert told == [f"tokenizer.json: the token '<pad>' ({PAD}) has no row in the model: no text can have it"]
    assert PAD not in data.frame.ends and data.frame.added[PAD].text == b"<pad>"
    with pytest.raises(BakeError, match="expected the model's 264 pieces, found 268; give the tokenizer of this model"):
        open_tokenizer(tmp_path / "tokenizer.json", SIZE - 1)


def test_holes_and_unused_pieces_may_not_be_sampled(tmp_path: Path) -> None:
    data = opened(tmp_path, root(added(SIZE + 3, "<|im_end|>")))
    assert data.frame.never == (SIZE, SIZE + 1, SIZE + 2) and len(data.pieces) == SIZE + 4
    data = gguf(tmp_path, [*TINY, ("[PAD0]", 0.0, 5), ("x", -9.0, 1), ("[PAD1]", 0.0, 5), ("[PAD2]", 0.0, 5)])
    assert data.frame.never == (SIZE, SIZE + 2, SIZE + 3)
    assert sayable(data, SIZE + 4) == SIZE + 2, "at the end they are padding"


def test_a_beginning_without_a_row_is_refused(tmp_path: Path) -> None:
    data = opened(tmp_path, root(*CHAT, post_processor=None), tokenizer_config={"bos_token": "<|im_end|>"})
    with pytest.raises(BakeError, match=f"id {END} begins or ends a text, but the model has {SIZE} rows"):
        bake(data, SIZE)


def test_the_tokenizer_that_fits_where_there_are_two(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(given.sentencepiece_model(TINY))
    (tmp_path / "tokenizer.json").write_text(json.dumps(root(*CHAT)))
    assert len(open_tokenizer(tmp_path, SIZE + 2).pieces) == SIZE + 2
    more = [{"id": at, "content": str(at), "special": False} for at in range(SIZE, 400)]
    (tmp_path / "tokenizer.json").write_text(json.dumps(root(*more)))
    told: list[str] = []
    many = [*TINY, *((f"x{at}", -9.0 - at, 1) for at in range(SIZE, 900))]
    (tmp_path / "tokenizer.model").write_bytes(given.sentencepiece_model(many))
    assert len(open_tokenizer(tmp_path, 900, told.append).pieces) == 900
    assert told == ["tokenizer.json: expected the model's 900 pieces, found 400; give the tokenizer of this model; using "
                    "tokenizer.model instead"]  # fmt: skip
    with pytest.raises(BakeError, match="found 400.*; tokenizer.model: expected"):
        open_tokenizer(tmp_path, 700)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decoder": {"type": "Sequence", "decoders": [{"type": "CTC"}]}}, "decoder: expected llama's"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}}, "found {type: 'Lowercase'}"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "x" * 500}}, "found {type: 'Precompiled'"),
        ({"post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2]}}, "post_processor: expected none, or a template"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "normalizer and pre_tokenizer: expected llama's"),
        ({"bias_tokens": [5]}, "'bias_tokens': an unknown key, found [5]"),
    ],
)
def test_steps_that_are_not_known_are_refused_by_name(change: Json, words: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(root() | change))
    with pytest.raises(BakeError) as caught:
        open_tokenizer(tmp_path / "tokenizer.json")
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", [STRING])
def test_a_gguf_of_another_pre_tokenizer(kind: int, tmp_path: Path) -> None:
    with pytest.raises(BakeError, match="tokenizer.ggml.pre: expected none or 'default', found 'deepseek-llm'"):
        gguf(tmp_path, TINY, pre=(kind, "deepseek-llm"))
