"""Malformed and foreign byte-level BPE: the exit code, one line, and the words that tell what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import byte_level_files as given
import pytest
from byte_level_files import ByteLevel
from conftest import Refused
from model_files import ARRAY, BOOL, F32, STRING, U32

from codegen.byte_level import ByteLevelData, make
from codegen.errors import BakeError
from codegen.formats import open_tokenizer
from codegen.frame import Frame

pytestmark = pytest.mark.filterwarnings("error")
PIECES = [bytes([byte]) for byte in range(256)] + [b"th", b"the"]
GOOD = ByteLevel("gpt2", PIECES, [(b"t", b"h"), (b"th", b"e")], {"<|endoftext|>": True})
ROOT = given.tokenizer_json(GOOD)
VOCAB, ADDED, LAST = ROOT["model"]["vocab"], ROOT["added_tokens"], ROOT["pre_tokenizer"]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


def as_json(**changes: Any) -> bytes:
    return json.dumps(given.tokenizer_json(GOOD, **changes)).encode()


def added(**changes: Any) -> bytes:
    return as_json(added_tokens=[ADDED[0] | changes])


def sequence(*steps: Any) -> bytes:
    return as_json(pre_tokenizer={"type": "Sequence", "pretokenizers": list(steps)})


def split(pattern: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def template(*single: Any) -> bytes:
    return as_json(post_processor={"type": "TemplateProcessing", "single": list(single)})


def nested(step: dict[str, Any]) -> dict[str, Any]:
    """A step in more sequences than are looked into."""
    for _ in range(6):
        step = {"type": "Sequence", "normalizers": [step]}
    return step


NFC, DIGITS = {"type": "NFC"}, {"type": "Digits", "individual_digits": True}
TOKEN, TEXT = {"SpecialToken": {"id": "<|endoftext|>"}}, {"Sequence": {"id": "A"}}
TEMPLATE = {"type": "TemplateProcessing", "single": [TEXT]}
FOREIGN = "pre_tokenizer: expected GPT-2's, SmolLM2's, Qwen 2's or Llama 3's"
TOKENS = [*GOOD.added, *map(given.spelled, PIECES)]
CASES: list[tuple[str, bytes, str]] = [
    ("control", as_json(), "byte-level BPE, which a tokenizer.bin can't hold; name it with -Dtokenizer= as it is"),
    ("gguf_control", given.gguf(GOOD), "byte-level BPE, which a tokenizer.bin can't hold"),
    # cut short
    ("truncated", as_json()[:-1], "expected JSON"),
    ("half", as_json()[: len(as_json()) // 2], "expected JSON"),
    ("gguf_truncated", given.gguf(GOOD)[:-1], "found"),
    ("gguf_half", given.gguf(GOOD)[: len(given.gguf(GOOD)) // 2], "found"),
    # pieces
    ("empty", as_json(vocab=VOCAB | {"": 259}), "piece 259: '': expected 1 to 4096 bytes, found 0"),
    ("long", as_json(vocab=VOCAB | {"x" * 4097: 259}), "expected pieces of at most 4096 bytes, found 4097 characters"),
    ("long_added", as_json(added_tokens=[*ADDED, {"id": 259, "content": "\u00e9" * 3000}]), "4096 bytes, found 6000"),
    ("added_id_twice", added(content="<s>"), "'<s>': expected an id of its own, found 0"),
    ("zero_byte", as_json(vocab=VOCAB | {"a\0": 259}), "expected characters of GPT-2's byte alphabet, found '\\x00'"),
    ("space", as_json(vocab=VOCAB | {"a b": 259}), "expected characters of GPT-2's byte alphabet, found ' '"),
    ("cjk", as_json(vocab=VOCAB | {"\u65e5": 259}), "piece 259: '\u65e5': expected characters of GPT-2's byte"),
    ("surrogate", as_json(vocab=VOCAB | {"\ud800": 259}), "found '\\ud800'; it is not byte-level BPE"),
    ("added_surrogate", as_json(added_tokens=[*ADDED, ADDED[0] | {"id": 259, "content": "\udfff"}]), "a lone surrogate"),
    ("twice", given.gguf(GOOD, tokens=(ARRAY, (STRING, [*TOKENS[:-1], "th"]))), "expected another text than piece 257"),
    ("id_twice", as_json(vocab=VOCAB | {"xx": 5}), "'xx': expected an id of its own, found 5"),
    ("no_pieces", as_json(vocab={}, merges=[], added_tokens=[]), "bos, eos: expected the id of a token"),
    # merges
    ("added_once_more", as_json(added_tokens=[ADDED[0], ADDED[0]]), "'<|endoftext|>': expected an id of its own, found 0"),
    ("merges_text", as_json(merges="t h"), "model: merges: expected a list"),
    ("merge_of_three", as_json(merges=["t h e"]), "expected two pieces of the vocabulary, found 't h e'"),
    ("merge_number", as_json(merges=[1]), "expected two pieces of the vocabulary, found 1"),
    ("merge_unknown", as_json(merges=[["tt", "h"]]), "merges: 'tt' and 'h': expected pieces that make a piece"),
    ("merge_to_nothing", as_json(merges=[["h", "t"]]), "found none that is 'ht'"),
    ("merge_of_added", as_json(merges=[["<|endoftext|>", "t"]]), "found none that is '<|endoftext|>t'"),
    ("merge_twice", as_json(merges=[["t", "h"], ["t", "h"]]), "merges: expected ('t', 'h') once, found it twice"),
    # what the encoder can't do
    ("unigram", as_json(type="Unigram"), "model: type: expected BPE, found 'Unigram'"),
    ("dropout", as_json(dropout=0.1), "model: dropout: expected none, found 0.1"),
    ("byte_fallback", as_json(byte_fallback=True), "model.byte_fallback: expected false, found true"),
    ("prefix", as_json(continuing_subword_prefix="##"), "model: continuing_subword_prefix: expected none"),
    ("suffix", as_json(end_of_word_suffix="</w>"), "model: end_of_word_suffix: expected none"),
    ("nfkc", as_json(normalizer={"type": "NFKC"}), "normalizer: expected none, NFC, or llama's"),
    ("prepend", as_json(normalizer={"type": "Prepend", "prepend": "\u2581"}), "normalizer: expected none or NFC, found"),
    ("replace", as_json(normalizer={"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}), "expected none or NFC, found"),
    ("nfc_twice", as_json(normalizer={"type": "Sequence", "normalizers": [NFC, NFC]}), "normalizer: expected none, NFC, or llama's"),
    ("nested_normalizers", as_json(normalizer=nested(NFC)), "normalizer: expected steps, found {type: 'Sequence', normalizers: "),
    ("many_normalizers", as_json(normalizer={"type": "Sequence", "normalizers": [NFC] * 34}), "normalizer: expected steps"),
    ("sequence_of_more", as_json(normalizer={"type": "Sequence", "normalizers": [], "x": 1}), "normalizer: expected a list of steps"),
    ("decoder", as_json(decoder={"type": "Metaspace"}), "decoder: expected ByteLevel"),
    ("no_decoder", as_json(decoder=None), "decoder: expected ByteLevel, found none"),
    ("no_pre_tokenizer", as_json(pre_tokenizer=None), FOREIGN),
    ("no_regex", as_json(pre_tokenizer=BYTE_LEVEL), FOREIGN),
    ("step_of_more", as_json(pre_tokenizer=LAST | {"x": 1}), FOREIGN),
    ("digits_twice", sequence(DIGITS, DIGITS, LAST), FOREIGN),
    ("digits_and_a_space", sequence(DIGITS, LAST | {"add_prefix_space": True}), FOREIGN),
    ("long_digits", sequence({"type": "Digits", "individual_digits": False}, LAST), FOREIGN),
    ("punctuation", sequence({"type": "Punctuation"}, LAST), FOREIGN),
    ("another_expression", sequence(split("\\d+|\\D+"), BYTE_LEVEL), FOREIGN),
    ("removed", sequence(split(given.LLAMA3, "Removed"), BYTE_LEVEL), FOREIGN),
    ("inverted", sequence(split(given.LLAMA3, invert=True), BYTE_LEVEL), FOREIGN),
    ("split_by_both", sequence(split(given.LLAMA3), LAST), FOREIGN),
    ("split_of_text", sequence(split(given.LLAMA3) | {"pattern": "x"}, BYTE_LEVEL), FOREIGN),
    ("empty_sequence", sequence(), FOREIGN),
    ("bert_template", as_json(post_processor={"type": "BertProcessing"}), "post_processor: expected none, or a template"),
    ("template_twice", template(TEXT, TEXT), "post_processor: expected tokens around one text"),
    ("templates", as_json(post_processor={"type": "Sequence", "processors": [TEMPLATE, TEMPLATE]}), "post_processor: expected none, or a"),
    ("text_of_more", template(TEXT | {"x": 1}), "post_processor: expected tokens around one text"),
    ("token_of_more", template(TOKEN | {"x": 1}, TEXT), "post_processor: expected tokens around one text"),
    ("template_unknown", template({"SpecialToken": {"id": "<s>"}}, TEXT), "'<s>': expected ids of the vocabulary"),
    ("template_of_numbers", template(1, None), "single: expected objects, found 1"),
    ("template_text", as_json(post_processor="x"), "post_processor: expected steps, found 'x'"),
    ("single_word", added(single_word=True), "'<|endoftext|>': single_word: expected false, found true"),
    ("lstrip", added(lstrip=1), "'<|endoftext|>': lstrip: expected true or false, found 1"),
    ("unk", as_json(unk_token="<unk>"), "model.unk_token: expected a piece, found '<unk>'"),
    ("fuse_unk", as_json(fuse_unk=True, unk_token="a", vocab={"a": 1}, merges=[]), "model.fuse_unk: expected false"),
    ("many_added", as_json(added_tokens=[*ADDED, *({"id": 259 + at, "content": f"<{at}>"} for at in range(8192))]),
     "at most 8192 added tokens, found 8193"),
    ("no_end", as_json(added_tokens=[]), "bos, eos: expected the id of a token that begins or ends a text, found none"),
    # GGUF
    ("pre_none", given.gguf(GOOD, pre=None), "tokenizer.ggml.pre: expected one of 'gpt-2', 'smollm', 'llama-bpe'"),
    ("pre_falcon", given.gguf(GOOD, pre=(STRING, "falcon")), "found 'falcon'; can't be baked"),
    ("pre_number", given.gguf(GOOD, pre=(U32, 1)), "tokenizer.ggml.pre: expected a text, found 1"),
    ("no_merges", given.gguf(GOOD, merges=None), "tokenizer.ggml: expected tokens, token_type and merges"),
    ("merges_numbers", given.gguf(GOOD, merges=(ARRAY, (U32, [1]))), "expected tokens, token_type and merges"),
    ("no_types", given.gguf(GOOD, token_type=None), "expected tokens, token_type and merges"),
    ("fewer_types", given.gguf(GOOD, token_type=(ARRAY, (5, [1]))), "found 259 tokens and 1 types"),
    ("float_types", given.gguf(GOOD, token_type=(ARRAY, (F32, [1.0] * 259))), "found 259 tokens and 259 types"),
    ("byte_type", given.gguf(GOOD, token_type=(ARRAY, (5, [3] + [6] * 258))), "user-defined or unused piece, found type 6"),
    ("unknown_type", given.gguf(GOOD, token_type=(ARRAY, (5, [2] + [1] * 258))), "'<|endoftext|>': expected a normal"),
    ("tokens_not_utf8", given.gguf(GOOD, tokens=(ARRAY, (STRING, [b"\xff"] * 259))), "piece 0: expected UTF-8"),
    ("merges_not_utf8", given.gguf(GOOD, merges=(ARRAY, (STRING, [b"\xff"]))), "merge 0: expected UTF-8, found '\\\\xff'"),
    ("merge_without_space", given.gguf(GOOD, merges=(ARRAY, (STRING, ["th"]))), "expected two pieces of the vocabulary"),
    ("bos_flag", given.gguf(GOOD, add_bos_token=(U32, 1)), "tokenizer.ggml.add_bos_token: expected true or false, found 1"),
    ("bos_text", given.gguf(GOOD, bos_token_id=(STRING, "1")), "tokenizer.ggml.bos_token_id: expected an integer"),
    ("bos_beyond", given.gguf(GOOD, bos_token_id=(U32, 259)), "bos: expected an id below 259, found 259"),
    ("no_bos_nor_eos", given.gguf(ByteLevel("gpt2", PIECES, [], {"<x>": True}), bos_token_id=None, eos_token_id=None),
     "bos, eos: expected the id of a token"),
    ("eos_beyond", given.gguf(GOOD, eos_token_id=(U32, 1 << 31)), "eos: expected an id below 259, found 2147483648"),
    ("unk_beyond", given.gguf(GOOD, unknown_token_id=(U32, 300)), "unk: expected an id below 259, found 300"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_bad_byte_level(data: bytes, words: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "vocabulary"
    path.write_bytes(data)
    refused(path, words, form="tokenizer")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer_config.json", '{"bos_token": "<s>"}', "bos_token: expected a token of the tokenizer, found '<s>'"),
        ("tokenizer_config.json", '{"eos_token": 1}', "eos_token: expected the text of a token, found 1"),
        ("tokenizer_config.json", "{", "tokenizer_config.json: expected JSON"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"\u0663": {}}}', "expected tokens by id, found '\u0663': {}"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"1x": {}}}', "expected tokens by id, found '1x': {}"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"1234567890": {}}}', "expected tokens by id, found '1234567890': {}"),
        ("config.json", '{"eos_token_id": -1}', "eos_token_id: expected an id or at most 64, found -1"),
        ("generation_config.json", '{"eos_token_id": [5, 259]}', "eos: expected an id below 259, found 259"),
        ("config.json", json.dumps({"eos_token_id": list(range(70))}), "at most 64, found [0, 1, 2, 3, ...]"),
    ],
)
def test_bad_files_beside(name: str, content: str, words: str, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "tokenizer.json").write_bytes(as_json())
    (tmp_path / name).write_text(content)
    refused(tmp_path / "tokenizer.json", words, form="tokenizer")


@pytest.mark.parametrize("data", [as_json(), given.gguf(GOOD)], ids=["json", "gguf"])
def test_another_models_vocabulary(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary"
    path.write_bytes(data)
    with pytest.raises(BakeError, match="expected the model's 512 pieces, found 259; give the tokenizer of this model"):
        open_tokenizer(path, 512)


ODD = {
    "fuse_unk": as_json(fuse_unk=True, unk_token="a"), "plain": as_json(),
    "gguf_nothing_added": given.gguf(ByteLevel("gpt2", PIECES, [], {"": True, "<s>": True})),
}  # fmt: skip


@pytest.mark.parametrize("data", ODD.values(), ids=list(ODD))
def test_what_looks_odd_and_is_read(data: bytes, tmp_path: Path) -> None:
    """Unknown bytes that could be fused, where there are none; a space that nobody puts in front, said twice; a token of nothing."""
    (tmp_path / "tokenizer.json").write_bytes(data)
    (tmp_path / "tokenizer_config.json").write_text('{"add_prefix_space": false}')
    found = open_tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(found, ByteLevelData) and found.has_all_bytes and found.frame.spaces == "none"


def test_more_pieces_or_merges_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """GGUF's arrays may be longer than the tables of a program."""
    frame = Frame(0, ())
    for size in (0, 2**20 + 1):
        with pytest.raises(BakeError, match=f"x: expected 1 to 1048576 pieces, found {size}"):
            make({}, size, [], "gpt2", frame, "x")
    monkeypatch.setattr("codegen.byte_level.MOST_MERGES", 1)
    with pytest.raises(BakeError, match="x: expected at most 1 merges, found 2"):
        make({0: "a"}, 1, [("a", "a")] * 2, "gpt2", frame, "x")


def test_gguf_says_that_a_space_is_put_in_front(tmp_path: Path) -> None:
    for asked, spaces in ((False, "none"), (True, "each without")):
        (tmp_path / "m.gguf").write_bytes(given.gguf(GOOD, add_space_prefix=(BOOL, asked)))
        assert open_tokenizer(tmp_path / "m.gguf").frame.spaces == spaces


def test_an_added_token_of_one_byte_is_no_byte_of_a_word(tmp_path: Path) -> None:
    pieces = [piece for piece in PIECES if piece != b"~"]
    made = given.tokenizer_json(ByteLevel("gpt2", pieces, [], {"<|endoftext|>": True, "~": False}))
    del made["model"]["vocab"]["~"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    found = open_tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(found, ByteLevelData) and found.pieces[1] == b"~" and 1 not in found.words
    assert 0x7E not in found.byte_ids and len(found.byte_ids) == 255


def test_of_two_pieces_with_one_text_the_normal_one_is_merged(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(given.gguf(ByteLevel("gpt2", PIECES, [(b"t", b"h")], {"<|endoftext|>": True, "th": False})))
    found = open_tokenizer(tmp_path / "m.gguf")
    assert isinstance(found, ByteLevelData)
    th = 2 + PIECES.index(b"th")
    assert found.pieces[th] == b"th" and th in found.words and 1 not in found.words and 1 in found.frame.added
