"""Malformed tokenizers: the exit code, one line, and the words that tell what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import model_files as files
import pytest
from conftest import Refused
from model_files import ARRAY, BOOL, F32, STRING, U32
from vocabulary_files import (
    WRITERS,
    Pieces,
    dumped,
    gguf_vocabulary,
    message,
    sentencepiece_model,
    tiny_pieces,
    tokenizer_json,
)

from codegen.errors import BakeError
from codegen.formats import is_tokenizer, open_tokenizer
from codegen.formats.sentencepiece import read_model
from codegen.formats.tokenizer_json import DECODER
from codegen.formats.vocabulary import Piece, to_llama2c
from codegen.frame import LLAMA2C
from codegen.input import read_small

pytestmark = pytest.mark.filterwarnings("error")


def changed(at: int, text: str | None = None, score: float | None = None, kind: int | None = None) -> Pieces:
    pieces = tiny_pieces()
    old = pieces[at]
    pieces[at] = (
        old[0] if text is None else text,
        old[1] if score is None else score,
        old[2] if kind is None else kind,
    )
    return pieces


PIECES: list[tuple[str, Pieces, str]] = [
    ("too_few", tiny_pieces()[:258], "expected at least 259 pieces"),
    ("no_space", [p for p in tiny_pieces() if p[0] != "\u2581"], "found no piece for a single space"),
    ("twice", changed(264, text="a"), "piece 264: expected another text than piece 263, found 'a'"),
    ("twice_as_space", changed(264, text=" "), "piece 264: expected another text than piece 262"),
    ("zero_byte", changed(264, text="\0"), "piece 264: '\\x00': found a zero byte"),
    ("long", changed(264, text="x" * 513), "found 513"),
    ("byte_moved", changed(100, text="<0x41>"), "piece 100: '<0x41>': expected <0x61>, the byte of this id"),
    ("byte_loose", changed(100, text="<0x-1>"), "piece 100: '<0x-1>': expected"),
    ("byte_lower", changed(253, text="<0xfa>"), "piece 253: '<0xfa>': expected"),
]  # fmt: skip
SCORED: list[tuple[str, Pieces, str]] = [
    ("nan", changed(260, score=float("nan")), "piece 260: 'ab': score: expected a finite number, found nan"),
    ("infinite", changed(260, score=float("inf")), "piece 260: 'ab': score: expected a finite number"),
    ("kind_9", changed(264, kind=9), "expected a piece of type normal or control or user-defined, found 9"),
    ("byte_normal", changed(9, kind=1), "piece 9: '<0x06>': expected a piece of type byte, found normal"),
    ("byte_more", changed(264, kind=6), "piece 264: 'b': expected a piece of type normal or control or user-defined, found byte"),
    ("empty", changed(264, text=""), "piece 264: '': expected 1 to 512 bytes, found 0"),
    ("empty_user_defined", changed(264, text="", kind=4), "piece 264: '': expected 1 to 512 bytes, found 0"),
]
BAD_PIECES = [
    pytest.param(form, pieces, words, id=f"{form}_{name}")
    for form in WRITERS
    for name, pieces, words in PIECES + (SCORED if form != "json" else [])
    if (form, name) not in {("json", "twice"), ("json", "control_reachable"), ("json", "byte_moved"),
                            ("json", "byte_loose"), ("json", "byte_lower")}
]  # fmt: skip


@pytest.mark.parametrize(("form", "pieces", "words"), BAD_PIECES)
def test_bad_pieces(form: str, pieces: Pieces, words: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "vocabulary"
    path.write_bytes(WRITERS[form](pieces))
    refused(path, words, form="tokenizer")


TINY = tiny_pieces()
MERGES, VOCAB = (tokenizer_json(TINY)["model"][key] for key in ("merges", "vocab"))
GOOD = sentencepiece_model(TINY)


def spec(**changes: int) -> bytes:
    """A trainer_spec with changes."""
    fields = {"model_type": (3, 2), "byte_fallback": (35, 1)}
    fields |= {name: ({"unk": 40, "bos": 41, "eos": 42, "suffix": 24}.get(name, fields.get(name, (0,))[0]), value)
               for name, value in changes.items()}  # fmt: skip
    return message(*fields.values())


def as_json(**changes: Any) -> bytes:
    return dumped(tokenizer_json(TINY, **changes))


def nested(step: Any) -> Any:
    """A step in more sequences than are looked into."""
    for _ in range(6):
        step = {"type": "Sequence", "pretokenizers": [step]}
    return step


PREPEND, REPLACE = tokenizer_json(TINY)["normalizer"]["normalizers"]
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def normalized(*steps: Any) -> bytes:
    return as_json(normalizer={"type": "Sequence", "normalizers": list(steps)})


def spaced(**changes: Any) -> bytes:
    return as_json(normalizer=None, pre_tokenizer=METASPACE | changes)


def decoded(*last: Any) -> bytes:
    return as_json(decoder={"type": "Sequence", "decoders": [*DECODER, *last]})


VOCABULARY_FILES: list[tuple[str, bytes, str]] = [
    ("sp_unigram", sentencepiece_model(TINY, spec(model_type=1)), "model_type: expected BPE, found unigram"),
    ("sp_no_bytes", sentencepiece_model(TINY, spec(byte_fallback=0)), "byte_fallback: expected true, found 0"),
    ("sp_suffix", sentencepiece_model(TINY, spec(suffix=1)), "treat_whitespace_as_suffix: expected false, found 1"),
    ("sp_bos", sentencepiece_model(TINY, spec(bos=265)), "bos: expected an id below 265, found 265"),
    ("sp_nfkc", sentencepiece_model(TINY, None, message((2, b"map"))), "precompiled_charsmap: expected none"),
    ("sp_no_escape", sentencepiece_model(TINY, None, message((5, 0))), "escape_whitespaces: expected true, found 0"),
    ("sp_wire_type", sentencepiece_model(TINY, message((3, "bpe"))), "model_type: expected BPE, found another kind"),
    ("sp_truncated", GOOD[:-1], "field 3 of 16 bytes, found 15 left"),
    ("sp_half", GOOD[: len(GOOD) // 2], "left"),
    ("sp_trailing", GOOD + b"\n", "expected a number, found the end"),
    ("sp_2_20_fields", GOOD + message((2, b"\x18\2" * ((1 << 20) + 1))), "expected at most 1048576 fields"),
    ("sp_pieces_number", GOOD + message((1, 7)), "expected fields 1 to 5 of a tokenizer.model, found field 1"),
    ("sp_field_6", GOOD + message((6, "x")), "expected fields 1 to 5 of a tokenizer.model, found field 6"),
    ("sp_text_as_a_number", GOOD + message((1, message((1, 7)))), "expected text, score and type, found field 1"),
    ("sp_score_as_a_number", GOOD + message((1, message((1, "x"), (2, 7)))), "expected text, score and type, found field 2"),
    ("sp_score_of_3_bytes", GOOD + message((1, message((1, "x"), (2, b"abc")))), "expected text, score and type, found field 2"),
    ("sp_type_as_text", GOOD + message((1, message((1, "x"), (3, "y")))), "expected text, score and type, found field 3"),
    ("sp_field_0", GOOD + b"\2\0", "field 0"),
    ("sp_group", GOOD + b"\x0b", "found wire type 3"),
    ("sp_length_2_63", GOOD + b"\n" + b"\xff" * 8 + b"\x7f", "bytes, found 0 left"),
    ("sp_varint", GOOD + b"\xff" * 20, "expected a number of 10 bytes at most"),
    ("sp_piece_field", message((1, b"\n\1a" + message((9, 1)))), "piece 0: expected text, score and type"),
    ("sp_not_utf8", message((1, message((1, b"\xff")))), "piece 0: expected UTF-8, found '\\\\xff'"),
    ("sp_empty_rest", message((1, message((1, "a")))), "model_type: expected BPE, found unigram"),
    ("json_unigram", as_json(type="Unigram"), "model: type: expected BPE, found 'Unigram'"),
    ("json_byte_level", as_json(byte_fallback=False), "model.byte_fallback: expected true, found false"),
    ("json_nfc", as_json(normalizer={"type": "NFC"}), "normalizer and pre_tokenizer: expected llama's"),
    ("json_split", as_json(normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "\u2581",
                                                           "prepend_scheme": "first"}), "pre_tokenizer: expected llama's"),
    ("json_dropout", as_json(dropout=0.1), "model: dropout: expected none, found 0.1"),
    ("json_ignore_merges", as_json(ignore_merges=True), "model.ignore_merges"),
    ("json_ignore_merges_text", as_json(ignore_merges="no"), "model.ignore_merges: expected false, found 'no'"),
    ("json_nested", as_json(pre_tokenizer=nested({"type": "ByteLevel"})), "pre_tokenizer: expected steps, found {type: 'Sequence', "),
    ("json_prepend_twice", normalized(PREPEND, PREPEND), "normalizer: expected none, NFC, or llama's"),
    ("json_replace_prepend", normalized(REPLACE, PREPEND), "normalizer: expected none, NFC, or llama's"),
    ("json_replace_twice", normalized(REPLACE, REPLACE), "normalizer: expected none, NFC, or llama's"),
    ("json_prepend_metaspace", as_json(normalizer=PREPEND, pre_tokenizer=METASPACE), "normalizer and pre_tokenizer: expected llama's"),
    ("json_whitespace", spaced(type="Whitespace"), "pre_tokenizer: expected llama's"),
    ("json_underscores", spaced(replacement="_"), "pre_tokenizer: expected llama's"),
    ("json_scheme", spaced(prepend_scheme="last"), "pre_tokenizer: expected llama's"),
    ("json_metaspace_more", spaced(x=1), "pre_tokenizer: expected llama's"),
    ("json_decoder_underscores", as_json(decoder=METASPACE | {"replacement": "_"}), "decoder: expected llama's"),
    ("json_decoder_fuse_twice", decoded({"type": "Fuse"}), "decoder: expected llama's"),
    ("json_decoder_strip_twice", decoded(STRIP, STRIP), "decoder: expected llama's"),
    ("json_decoder_strip_x", decoded(STRIP | {"content": "x"}), "decoder: expected llama's"),
    ("json_decoder_strip_two", decoded(STRIP | {"start": 2}), "decoder: expected llama's"),
    ("json_decoder_strip_end", decoded(STRIP | {"stop": 1}), "decoder: expected llama's"),
    ("json_prefix", as_json(continuing_subword_prefix="##"), "model: continuing_subword_prefix: expected none"),
    ("json_suffix", as_json(end_of_word_suffix="</w>"), "model: end_of_word_suffix: expected none"),
    ("json_no_model", b'{"a": 1}', "model: expected an object"),
    ("json_vocab_list", as_json(vocab=[]), "model: vocab: expected an object, found []"),
    ("json_id_text", as_json(vocab={"a": "0"}), "'a': expected an id of its own, found '0'"),
    ("json_id_twice", as_json(vocab={"a": 0, "b": 0}, added_tokens=[]), "'b': expected an id of its own, found 0"),
    ("json_huge_id", as_json(vocab={"a": 1 << 62}, added_tokens=[]), "'a': expected an id of its own, found 46116"),
    ("json_added", as_json(added_tokens=[{"id": 0}]), "added_tokens: content: expected a text, found none"),
    ("json_no_bos", as_json(vocab={t.replace("<s>", "x"): i for t, i in VOCAB.items()}, added_tokens=[], post_processor=None),
     "bos, eos: expected the id of a token that begins or ends a text, found none"),
    ("json_merges_text", as_json(merges="a b"), "model: merges: expected a list"),
    ("json_merge_of_three", as_json(merges=["a b c"]), "expected two pieces of the vocabulary, found 'a b c'"),
    ("json_merge_unknown", as_json(merges=["a x"]), "expected two pieces of the vocabulary, found ['a', 'x']"),
    ("json_merge_of_bytes", as_json(merges=["<0x41> a"]), "expected two pieces of the vocabulary"),
    ("json_merge_to_nothing", as_json(merges=["b a"]), "expected them to make a piece, not 'ba'"),
    ("json_merge_apart", as_json(merges=["\u2581a b", *MERGES]), "apart from its other"),
    ("json_merge_missing", as_json(merges=MERGES[:-1]), "not made from a SentencePiece model"),
    ("json_long_piece", as_json(vocab={"x" * 100000: 0}, added_tokens=[]), "512 bytes, found 100000 characters"),
    ("json_surrogate", as_json(vocab=VOCAB | {"\ud800": 265}), "'\\ud800': expected text"),
    ("json_truncated", as_json()[:-1], "expected JSON"),
    ("gguf_bert", gguf_vocabulary(TINY, model=(STRING, "bert")), "or 'gpt2' (byte-level BPE), found 'bert'"),
    ("gguf_none", files.gguf({}, []), "tokenizer.ggml.model: expected 'llama' (SentencePiece) or 'gpt2'"),
    ("gguf_prefix_number", gguf_vocabulary(TINY, add_space_prefix=(U32, 0)), "add_space_prefix: expected true or false, found 0"),
    ("gguf_eos_text", gguf_vocabulary(TINY, eos_token_id=(STRING, "2")), "eos_token_id: expected an integer, found '2'"),
    ("gguf_added_key", gguf_vocabulary(TINY, reverse_tokens=(BOOL, 1)), "reverse_tokens': an unknown key, found true"),
    ("gguf_spaces", gguf_vocabulary(TINY, remove_extra_whitespaces=(BOOL, 1)), "remove_extra_whitespaces: expected spaces are kept"),
    ("gguf_no_scores", gguf_vocabulary(TINY, scores=None), "expected tokens, scores and token_type"),
    ("gguf_tokens_numbers", gguf_vocabulary(TINY, tokens=(ARRAY, (U32, [1]))), "expected tokens, scores"),
    ("gguf_fewer_scores", gguf_vocabulary(TINY, scores=(ARRAY, (F32, [0.0]))), "265 tokens, 1 scores"),
    ("gguf_scores_integers", gguf_vocabulary(TINY, scores=(ARRAY, (U32, [0] * 265))), "found 265 tokens, 265 scores"),
    ("gguf_types_floats", gguf_vocabulary(TINY, token_type=(ARRAY, (F32, [1.0] * 265))), "265 scores, 265 types"),
    ("gguf_not_utf8", gguf_vocabulary(TINY, tokens=(ARRAY, (STRING, [b"\xff"] * 265))), "piece 0: expected UTF-8"),
    ("json_byte_moved", dumped(tokenizer_json(changed(100, text="<0x-1>"))), "piece 100: '<0x-1>': expected"),
    ("a_checkpoint_of_123", b"{\0\0\0" + bytes(4092), "expected tokenizer.model, tokenizer.json or GGUF, found another format"),
    ("a_line_feed", b"\n\1a" + bytes(4093), "expected tokenizer.model, tokenizer.json or GGUF, found another format"),
    ("a_checkpoint", bytes(4096), "expected tokenizer.model, tokenizer.json or GGUF, found another format"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "words"), [pytest.param(*case[1:], id=case[0]) for case in VOCABULARY_FILES])
def test_bad_vocabularies(data: bytes, words: str, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "vocabulary"
    path.write_bytes(data)
    refused(path, words, form="tokenizer")


@pytest.mark.parametrize("form", WRITERS)
def test_another_models_vocabulary(form: str, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary"
    path.write_bytes(WRITERS[form](TINY))
    with pytest.raises(BakeError, match="expected the model's 512 pieces, found 265; give the tokenizer of this model"):
        open_tokenizer(path, 512)


def test_more_pieces_than_a_model_has() -> None:
    with pytest.raises(BakeError, match="x: expected at most 1048576 pieces, found 1048577"):
        to_llama2c([Piece("a", 0.0, 1)] * ((1 << 20) + 1), LLAMA2C, "x")


def test_what_sentencepiece_keeps_for_its_own_tests_is_passed_over() -> None:
    assert read_model(GOOD + message((4, "self-test"), (5, "denormalizer")), "x") == read_model(GOOD, "x")


def test_files_that_are_too_long_and_folders(tmp_path: Path) -> None:
    assert not is_tokenizer(tmp_path)
    (tmp_path / "long").write_bytes(bytes(4))
    assert read_small(tmp_path / "long", 4) == bytes(4)
    with pytest.raises(BakeError, match="long: expected at most 3 bytes, found more"):
        read_small(tmp_path / "long", 3)
    with pytest.raises(BakeError, match="can't be read: File name too long") as caught:
        read_small(tmp_path / ("n" * 300))
    assert caught.value.exit_code == 66


@pytest.mark.parametrize(("decoder", "strip"), [
    (METASPACE | {"prepend_scheme": "always"}, True), ({"type": "Sequence", "decoders": [*DECODER, STRIP]}, True),
    ({"type": "Sequence", "decoders": DECODER}, False),
])  # fmt: skip
def test_decoders_that_drop_a_space_and_that_do_not(decoder: Any, strip: bool, tmp_path: Path) -> None:
    (tmp_path / "vocabulary").write_bytes(as_json(decoder=decoder))
    assert open_tokenizer(tmp_path / "vocabulary").frame.strip == strip


@pytest.mark.parametrize(("added", "words"), [
    ({"263": "a"}, ""), ({"265": "<x>"}, ""), ({"263": "c"}, "263: expected 'c' as in tokenizer.model, found 'a'"),
    ({"266": "<x>"}, "266: expected '<x>' as in tokenizer.model, found a gap in the ids"),
])  # fmt: skip
def test_what_is_added_to_a_sentencepiece_model(added: dict[str, str], words: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(GOOD)
    tokens = {at: {"content": text} for at, text in added.items()}
    (tmp_path / "tokenizer_config.json").write_bytes(dumped({"added_tokens_decoder": tokens}))
    if words:
        with pytest.raises(BakeError, match=words):
            open_tokenizer(tmp_path / "tokenizer.model")
    else:
        assert {str(at): token.text.decode() for at, token in open_tokenizer(tmp_path / "tokenizer.model").frame.added.items()} == added
