"""Tokenizers of other programs become llama2.c's, and give SentencePiece's ids."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import at_hand
import model_files as files
import pytest
from conftest import RuntimeTokens
from vocabulary_files import (
    WRITERS, Pieces, dumped, gemma_json, gemma_keys, gemma_pieces, gemma_sentencepiece, pieces_of, sentencepiece_model, tiny_pieces,
    tokenizer_json,
)

from codegen.errors import BakeError
from codegen.export import main
from codegen.formats import open_tokenizer
from codegen.tokenizer import TokenizerData, bake, parse

STRINGS = int(os.environ.get("STORYBAKE_STRINGS", "100000"))
VOCABULARIES = [pytest.param(path, count, id=path.name) for path, count in at_hand.vocabularies()]
pytestmark = pytest.mark.filterwarnings("error")


# --- conversion ---


@pytest.mark.parametrize(("vocabulary", "count"), VOCABULARIES)
@pytest.mark.parametrize("form", WRITERS)
def test_the_very_bytes_of_llama2c(vocabulary: Path, count: int, form: str, tmp_path: Path) -> None:
    """There and back: what tools/export writes is the tokenizer.bin that the other format was made from."""
    original = vocabulary.read_bytes()
    pieces = pieces_of(original, count)
    path, out = tmp_path / "vocabulary", tmp_path / "out.bin"
    path.write_bytes(WRITERS[form](pieces))
    assert main([str(path), str(out), *(["--format", "tokenizer"] if form == "gguf" else [])]) == 0
    if form == "json" and vocabulary.name == "tokenizer.bin":
        # Merges tell an order, not Llama 2's own numbers: pieces of a better score have a better one again.
        found, expected = parse(out.read_bytes(), count, "out"), parse(original, count, "original")
        assert found.pieces == expected.pieces
        by_score: dict[float, list[float]] = {}
        for at in range(259, count):
            if len(expected.pieces[at].decode()) > 1:
                by_score.setdefault(-expected.scores[at], []).append(found.scores[at])
        groups = [by_score[score] for score in sorted(by_score)]
        assert all(min(better) > max(worse) for better, worse in zip(groups, groups[1:]))
        assert len(groups[-1]) == 15 and len(set(groups[-1])) == 2  # spaces alone: two of them, and longer ones
    else:
        assert out.read_bytes() == original


def test_what_a_tokenizer_bin_has_no_place_for_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of Llama 2's own tokenizer; otherwise each thing by its name."""

    def exported(**changes: Any) -> tuple[int, str]:
        (tmp_path / "tokenizer.json").write_bytes(dumped(tokenizer_json(tiny_pieces()) | changes))
        code = main([str(tmp_path / "tokenizer.json"), str(tmp_path / "out.bin")])
        return code, capsys.readouterr().err

    def added(at: int, text: str) -> dict[str, Any]:
        return {"id": at, "content": text, "special": True}

    assert exported() == (0, f"{tmp_path / 'out.bin'}: tokenizer.bin of 265 pieces\n")
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x", "add_bos_token": false}')
    nfc = {"type": "Sequence", "normalizers": [{"type": "NFC"}, *tokenizer_json(tiny_pieces())["normalizer"]["normalizers"]]}
    code, told = exported(added_tokens=[added(265, "<|im_end|>"), added(266, "<x>")], normalizer=nfc)
    assert code == 0 and told.splitlines()[0] == (
        "tools/export: warning: tokenizer.json: a tokenizer.bin has no place for 2 tokens that are found whole, such as 265, "
        "the ends 265, what begins and ends a text, NFC, the chat template: to keep all, bake with -Dtokenizer= as it is"
    )
    code, told = exported(added_tokens=[added(266, "<x>")])
    assert code == 65 and "id 265 has no piece, which a tokenizer.bin can't say" in told and told.count("\n") == 1


def test_a_folder_gives_its_tokenizer(tmp_path: Path) -> None:
    folder = files.hf_folder(tmp_path / "folder", *files.tiny())
    with pytest.raises(BakeError, match="expected tokenizer.json or tokenizer.model in the folder, found neither"):
        open_tokenizer(folder)
    (folder / "tokenizer.json").write_bytes(WRITERS["json"](tiny_pieces()))
    assert main([str(folder), str(tmp_path / "a.bin"), "--format", "tokenizer"]) == 0
    (folder / "tokenizer.model").write_bytes(WRITERS["sentencepiece"](tiny_pieces()))
    found, exported = open_tokenizer(folder, 265), open_tokenizer(tmp_path / "a.bin", 265)
    assert isinstance(found, TokenizerData) and isinstance(exported, TokenizerData)
    assert (found.pieces, found.scores) == (exported.pieces, exported.scores)


def test_old_merges_keep_their_order(tmp_path: Path) -> None:
    """Older versions of transformers list the merges of a piece together, also of pieces of one score."""
    pieces = [*tiny_pieces(), ("aa", -9.0, 1), ("aaa", -9.0, 1), ("aaaa", -9.0, 1)]
    scores = {}
    for old in (True, False):
        (tmp_path / "json").write_bytes(dumped(tokenizer_json(pieces, old)))
        scores[old] = open_tokenizer(tmp_path / "json").scores[265:]
    assert scores[True][0] > scores[True][1] > scores[True][2]
    assert scores[False][1] == scores[False][2] > scores[False][0]


def test_metaspace_and_pairs_of_newer_versions(tmp_path: Path) -> None:
    root = tokenizer_json(tiny_pieces(), normalizer=None, pre_tokenizer={
        "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False})  # fmt: skip
    root["model"]["merges"] = [merge.split(" ") for merge in root["model"]["merges"]]
    (tmp_path / "new").write_bytes(dumped(root))
    (tmp_path / "old").write_bytes(WRITERS["json"](tiny_pieces()))
    new, old = open_tokenizer(tmp_path / "new"), open_tokenizer(tmp_path / "old")
    assert isinstance(new, TokenizerData) and isinstance(old, TokenizerData)
    assert (new.pieces, new.scores) == (old.pieces, old.scores)
    assert (new.frame.spaces, old.frame.spaces) == ("first without", "each")


# --- identity with SentencePiece ---

def ids_of(runtime_tokens: RuntimeTokens, blob: bytes, count: int, texts: list[str]) -> list[list[int]]:
    return [ids for ids, _ in runtime_tokens(blob, count, [text.encode() for text in texts])]


HAND_PICKED = [
    "", " ", "  ", "\n", "\t", "\0", "a", " a", "a ", "a  b", "Once upon a time", "Once upon a time,\n", "\r\n",
    "<s>", "</s>", "<unk>", "<0x41>", "<0x-1>", "<0xZZ>", "[INST] hi [/INST]", "\u00e9", "e\u0301", "na\u00efve",
    "\u65e5\u672c\u8a9e", "\u0645\u0631\u062d\u0628\u0627", "\U0001f999", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\ufeff", "\u202eabc", "\ufffd", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "\x7f", "\x80", "\u07ff", "\u0800",
    "aaaaaaaaaaaaaaaaaaaaaaaa", "1234567890", "3.14159", "don't", "...!!!???", "{{ x }}", '"\\', "x" * 300, " " * 40,
    "the the the", "ab" * 100,
]  # fmt: skip


def texts_for(pieces: Pieces, count: int, seed: str) -> list[str]:
    """Hand-picked texts, then random ones: words, glued pieces, characters of every plane, spaces. All but "▁", which
    SentencePiece can't tell from a space."""
    source = random.Random(seed)
    plain = [text.replace("\u2581", " ") for text, _, kind in pieces if kind == 1]
    makers = (
        lambda: "".join(source.choices("abcdefghijklmnopqrstuvwxyz ETAOIN,.'\n", k=source.randrange(40))),
        lambda: "".join(source.choices(plain, k=source.randrange(12))),
        lambda: " ".join(source.choices(plain, k=source.randrange(8))),
        lambda: "".join(chr(source.randrange(0xD800)) for _ in range(source.randrange(12))),
        lambda: "".join(chr(source.randrange(0x10000, 0x110000)) for _ in range(source.randrange(6))),
        lambda: " ".join(" " * source.randrange(40) for _ in range(2)).join(source.choices(plain, k=3)),
        lambda: "".join(source.choices("aab  \n\u00e9\u65e5\U0001f999<0x41>", k=source.randrange(30))),
    )
    made = [source.choice(makers)().replace("\u2581", "") for _ in range(count)]
    return HAND_PICKED + made


@pytest.mark.parametrize("form", ["sentencepiece", "json"])
@pytest.mark.parametrize(("vocabulary", "count"), VOCABULARIES)
def test_ids_are_those_of_sentencepiece(
    vocabulary: Path, count: int, form: str, runtime_tokens: RuntimeTokens, tmp_path: Path
) -> None:
    sentencepiece = pytest.importorskip("sentencepiece", reason="the oracle is Debian's python3-sentencepiece")
    pieces = pieces_of(vocabulary.read_bytes(), count)
    path = tmp_path / "vocabulary"
    path.write_bytes(WRITERS[form](pieces))
    oracle = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model(pieces))
    texts = texts_for(pieces, STRINGS // 4, seed=f"{vocabulary.name} {form}")
    if form == "json":  # Hugging Face's code finds special tokens in a text, SentencePiece doesn't
        texts = [text for text in texts if not any(token in text for token in ("<s>", "</s>", "<unk>"))]
    found = ids_of(runtime_tokens, bake(open_tokenizer(path, count)), count, texts)
    assert len(found) == len(texts)
    different = [text for text, a, b in zip(texts, found, oracle.encode(texts), strict=True) if a != [1, *b]]
    assert not different, f"{len(different)} of {len(texts)} differ, such as {different[0]!r}"


def test_a_model_that_sentencepiece_trained(runtime_tokens: RuntimeTokens, tmp_path: Path) -> None:
    """With the options of llama2.c's tinystories.py, whose models drop extra spaces: run.c, and we, keep them."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="the oracle is Debian's python3-sentencepiece")
    text = (files.ROOT / "LICENSE").read_text().splitlines()
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=trained, model_type="bpe", vocab_size=400, character_coverage=1.0,
        num_threads=1, split_digits=True, allow_whitespace_only_pieces=True, byte_fallback=True, minloglevel=2,
        unk_surface=r" \342\201\207 ", normalization_rule_name="identity", self_test_sample_size=0,
    )  # fmt: skip
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained.getvalue())
    oracle = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    data = open_tokenizer(path, 400)
    for at in range(3, 400):
        assert data.pieces[at].decode() == oracle.id_to_piece(at).replace("\u2581", " ")
        assert data.scores[at] == oracle.get_score(at)
    texts = [" ".join(line.split()) for line in text if line.split()]
    assert ids_of(runtime_tokens, bake(data), 400, texts) == [[1, *ids] for ids in oracle.encode(texts)]


def test_gemmas_three_files_are_one_tokenizer(tmp_path: Path, runtime_tokens: RuntimeTokens, capsys: pytest.CaptureFixture[str]) -> None:
    """Its bytes are behind other special pieces than llama's, and no space is put in front. A tokenizer.bin has no such place."""
    pieces = gemma_pieces(pieces_of(at_hand.tokenizer("seeded260K").read_bytes(), 512))
    pieces += [(f"<unused{at}>", 0.0, 3) for at in range(6242)]  # as many as there are
    texts = [
        "once", " once  upon a   time", "a\n\n\nb", "\u00e9 \U0001f999 x", "<start_of_turn>user\nhello<end_of_turn>\n",
        "", "x<unused6241>b",
    ]  # fmt: skip
    added = {str(at): {"content": text, "special": kind != 4, "normalized": False}
             for at, (text, _, kind) in enumerate(pieces) if kind in (2, 3, 4)}  # fmt: skip
    config = {"bos_token": "<bos>", "eos_token": "<eos>", "add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": added,
              "boi_token": "<start_of_image>", "sp_model_kwargs": None, "tokenizer_class": "GemmaTokenizer"}  # fmt: skip
    files_of = {"m.gguf": files.gguf(gemma_keys(pieces), []), "tokenizer.model": gemma_sentencepiece(pieces),
                "tokenizer.json": dumped(gemma_json(pieces))}  # fmt: skip
    found = {}
    for name, data in files_of.items():
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_bytes(data)
        if name != "m.gguf":
            (folder / "tokenizer_config.json").write_bytes(dumped(config))
        tokenizer = open_tokenizer(folder / name)
        assert isinstance(tokenizer, TokenizerData) and tokenizer.first_byte == 8
        found[name] = runtime_tokens(bake(tokenizer), len(tokenizer.pieces), [text.encode() for text in texts])
    assert found["m.gguf"] == found["tokenizer.model"] == found["tokenizer.json"]
    ids = [one for one, _ in found["m.gguf"]]
    assert all(one[0] == 2 for one in ids) and ids[3][1:3] == [8 + 0xC3, 8 + 0xA9] and 6 in ids[2] and ids[4][1] == 4
    assert main([str(tmp_path / "m_gguf/m.gguf"), str(tmp_path / "out.bin"), "--format", "tokenizer"]) == 65
    assert "the bytes begin at id 8, a tokenizer.bin has them at 3" in capsys.readouterr().err
