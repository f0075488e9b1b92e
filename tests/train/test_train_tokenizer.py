"""The tokenizer: round trip, llama2.c's greedy merging, its file format, and refusal of a tiny corpus."""

import re
import struct
from pathlib import Path

import pytest
from models import engine
from models.trainer import tokenizer

from codegen.formats import open_model
from codegen.tokenizer import TokenizerData, to_bytes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained(documents: list[engine.Document]) -> tokenizer.Tokenizer:
    return tokenizer.train((document.text for document in documents), 1024)


def test_layout_of_ids(trained: tokenizer.Tokenizer) -> None:
    assert trained.pieces[:4] == ("<unk>", "\n<s>\n", "\n</s>\n", "<0x00>")
    assert trained.pieces[258] == "<0xFF>"
    assert len(trained.pieces) == len(set(trained.pieces)) == 1024
    assert list(trained.scores[259:]) == sorted(trained.scores[259:], reverse=True)


def test_round_trip(trained: tokenizer.Tokenizer, documents: list[engine.Document]) -> None:
    for text in [document.text for document in documents[:500]] + ["", "x", "Zoë 🦙 & 7%", " two  spaces\t", "\n\n"]:
        assert trained.decode(trained.encode(text)) == text


def test_word_by_word_equals_whole_text(trained: tokenizer.Tokenizer, documents: list[engine.Document]) -> None:
    odd = ['a."b ."?', "don't", "Zoë 🦙!!", "Once upon a time,"]
    for text in [document.text for document in documents[:50]] + odd:
        assert trained.encode(text) == trained.encode_plainly(text)


def test_best_score_wins_and_ties_go_left() -> None:
    letters = ("ab", "bc", "aa", " ", "a", "b", "c")
    pieces = ("<unk>", "\n<s>\n", "\n</s>\n") + tuple(f"<0x{b:02X}>" for b in range(256)) + letters
    toy = tokenizer.Tokenizer(pieces, (0.0,) * 259 + (-5.0, -1.0, -2.0, -9.0, -9.0, -9.0, -9.0))
    names = [toy.pieces[i] for i in toy.encode("abc")]
    assert names == [" ", "a", "bc"]
    assert [toy.pieces[i] for i in toy.encode("aaa")] == [" ", "aa", "a"]


def test_file_round_trip_and_format(trained: tokenizer.Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.bin"
    trained.write(path)
    data = path.read_bytes()
    longest, score, length = struct.unpack_from("<IfI", data)
    assert (longest, score, data[12:12 + length]) == (max(len(p.encode()) for p in trained.pieces), 0.0, b"<unk>")
    again = tokenizer.read(path, 1024)
    assert again.pieces == trained.pieces and again.scores == trained.scores


def test_a_tokenizer_that_cuts_no_story_is_refused(trained: tokenizer.Tokenizer, tmp_path: Path) -> None:
    whole = [piece.encode() for piece in trained.pieces]
    for said, pieces in (
        ("found no byte tokens at ids 3 to 258", [b"piece %d" % i if 3 <= i < 259 else piece for i, piece in enumerate(whole)]),
        (r"found the piece b'\xe9t\xe9', expected UTF-8", [*whole[:-1], b"\xe9t\xe9"]),
    ):
        (tmp_path / "bad.bin").write_bytes(to_bytes(TokenizerData(tuple(pieces), trained.scores)))
        with pytest.raises(ValueError, match=re.escape(f"bad.bin: {said}")):
            tokenizer.read(tmp_path / "bad.bin", len(pieces))


def test_a_corpus_too_small_is_refused(documents: list[engine.Document]) -> None:
    with pytest.raises(ValueError, match="need 20480 for a vocabulary of 1024"):
        tokenizer.train([documents[0].text], 1024)
    with pytest.raises(ValueError, match="merges, need"):
        tokenizer.train(["one two three " * 5000], 600)
    with pytest.raises(ValueError, match="need at least"):
        tokenizer.train((document.text for document in documents), 262)


def test_words_in_other_pieces(trained: tokenizer.Tokenizer) -> None:
    """BPE dropout: other pieces, the same text."""
    odd = trained.encode_word(" morning", lambda: True)
    assert [trained.pieces[one] for one in odd] == list(" morning") and odd != trained.encode_word(" morning")
    text = "One morning, Mia woke up."
    assert trained.encode(text, {" morning": odd}) != trained.encode(text)
    assert trained.decode(trained.encode(text, {" morning": odd})) == text


def test_no_script_is_assumed() -> None:
    """A word is a run of letters of any script; Chinese has pieces of its own, and loses nothing."""
    texts = ["从前有一只小猫。小猫喜欢唱歌。", "小猫看见一只小狗，小狗也喜欢唱歌！"] * 1000
    learned = tokenizer.train((f"{text} a{i % 7} b{i % 5}" for i, text in enumerate(texts)), 300)
    assert any("小猫" in piece for piece in learned.pieces)
    for text in (texts[0], texts[1], "小鸟 é Ωμ 7"):
        assert learned.decode(learned.encode(text)) == text and learned.encode(text) == learned.encode_plainly(text)


def test_shipped_tokenizer_suits_the_stories(documents: list[engine.Document]) -> None:
    path = ROOT / "models" / "tinytales.tokenizer.bin"
    shipped = tokenizer.read(path, open_model(ROOT / "models" / "tinytales_q8.bin").model.vocab_size)
    words = sum(len(document.text.split()) for document in documents[:500])
    assert sum(len(shipped.encode(document.text)) for document in documents[:500]) < 2 * words
