"""The table of guesses: what it learns of stories, what it refuses, and that a bake without a fitting one goes on."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import seeded  # noqa: E402

from codegen import __main__ as generator  # noqa: E402
from codegen import draft  # noqa: E402
from codegen.draft import HEADER, MAGIC, SLOTS  # noqa: E402
from codegen.errors import BakeError  # noqa: E402
from codegen.formats import open_model, open_tokenizer  # noqa: E402

ROWS = 301


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeded.write(tmp_path_factory.mktemp("model"), "odd_q8")


@pytest.fixture
def stories() -> list[list[int]]:
    """Sentences of a few kinds, in any order: what follows is known within one, and not at its end."""
    draw = random.Random(1)
    sentences = [[draw.randrange(ROWS) for _ in range(draw.randrange(3, 9))] for _ in range(30)]
    return [[1, *(token for _ in range(12) for token in draw.choice(sentences))] for _ in range(200)]


def test_what_follows_is_guessed_in_stories_that_were_not_seen(stories: list[list[int]]) -> None:
    slots = draft.make_slots(stories[:150])
    assert 1.5 < draft.tokens_a_pass(slots, stories[150:]) <= 2
    assert draft.tokens_a_pass(np.zeros_like(slots), stories[150:]) == 1


def test_a_small_table_keeps_what_helps_most(stories: list[list[int]]) -> None:
    small, large = (draft.make_slots(stories[:150], count) for count in (64, 4096))
    worth = [draft.tokens_a_pass(slots, stories[150:]) for slots in (small, large)]
    assert 1.05 < worth[0] < worth[1]
    assert (small != 0).sum() <= 64


def test_the_longest_context_that_is_known_guesses() -> None:
    slots = draft.make_slots([[5, 7, 5, 7, 9, 4, 5, 8]] * 4)
    found = [draft.look_up(slots, last) for last in ([9], [7, 9], [5], [9, 4, 5], [300])]
    assert [guess and guess.token for guess in found] == [4, 4, 7, 8, None]
    assert all(0 < guess.chance < 1 for guess in found if guess)


def test_nothing_is_made_of_nothing() -> None:
    assert not draft.make_slots([]).any()
    assert not draft.make_slots([[1], [], [1, 2]]).any()
    assert draft.tokens_a_pass(draft.make_slots([]), []) == 0


def table(model: Path, slots: int = 64, guess: int = 5) -> bytes:
    """A table that fits the model, whose guesses are all the same."""
    vocabulary = open_tokenizer(model.with_name("odd_q8.tokenizer.bin"), ROWS)
    return draft.table_of(np.full(slots, 1 << 28 | guess, np.uint32), vocabulary, ROWS)


def test_a_table_is_read_as_it_was_written(model: Path, tmp_path: Path) -> None:
    vocabulary = open_tokenizer(model.with_name("odd_q8.tokenizer.bin"), ROWS)
    path = tmp_path / "any.draft"
    path.write_bytes(table(model))
    assert draft.read_table(path, vocabulary, ROWS) == table(model)[HEADER.size :]


HOSTILE = {
    "another file": (lambda good: b"SBTK" + good[4:], "begins with SBDRAFT1"),
    "nothing": (lambda good: b"", "begins with SBDRAFT1"),
    "its header alone, cut": (lambda good: good[: HEADER.size - 1], "begins with SBDRAFT1"),
    "its header alone": (lambda good: good[: HEADER.size], "cut short"),
    "truncated": (lambda good: good[:-1], "cut short"),
    "longer": (lambda good: good + b"\0" * 4, "cut short"),
    "no power of two": (lambda good: HEADER.pack(MAGIC, ROWS, 12, 0) + bytes(48), "power of two"),
    "no slots": (lambda good: HEADER.pack(MAGIC, ROWS, 0, 0), "power of two"),
    "less than a bucket": (lambda good: HEADER.pack(MAGIC, ROWS, SLOTS // 2, 0) + bytes(2 * SLOTS), "power of two"),
    "of another size": (lambda good: good[:8] + struct.pack("<I", 32000) + good[12:], "of 32000 tokens; the model has 301"),
    "of another vocabulary": (lambda good: good[:16] + b"12345678" + good[24:], "another vocabulary"),
    "guesses what is no token": (lambda good: good[:-4] + struct.pack("<I", 1 << 28 | 301), "guesses token 301"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_table_that_does_not_fit_is_refused_or_left_out(
    kind: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_it, words = HOSTILE[kind]
    bad = tmp_path / "bad.draft"
    bad.write_bytes(break_it(table(model)))
    assert generator.main(["facts", str(model), "--draft", str(bad)]) == 65
    said = capsys.readouterr()
    assert not said.out and words in said.err and said.err.count("\n") == 1
    beside = model.with_name("odd.draft")
    beside.write_bytes(bad.read_bytes())
    try:
        assert generator.main(["facts", str(model)]) == 0
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and said.err.endswith("; baked without it\n")
    finally:
        beside.unlink()


def test_a_named_table_that_is_missing_is_an_error(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["facts", str(model), "--draft", "no/such.draft"]) == 66
    assert "no/such.draft: no such file" in capsys.readouterr().err


def test_the_table_beside_a_model_is_baked(model: Path, tmp_path: Path) -> None:
    model.with_name("odd_q8.draft").write_bytes(table(model))
    try:
        for choice, size in (("auto", 256), ("off", 0)):
            folder = tmp_path / choice
            assert generator.main(["data", str(model), "--draft", choice, "--output", str(folder)]) == 0
            assert (folder / "draft.baked").stat().st_size == size
            assert ("storybake_draft[256]" in (folder / "packed_data.cpp").read_text()) == (size > 0)
    finally:
        model.with_name("odd_q8.draft").unlink()


def test_the_table_of_the_model_that_comes_along_fits_it() -> None:
    path = ROOT / "models" / "tinytales.draft"
    size = open_model(ROOT / "models" / "tinytales_q8.bin").model.vocab_size
    try:
        slots = draft.read_table(path, open_tokenizer(ROOT / "models" / "tinytales.tokenizer.bin", size), size)
    except BakeError as error:
        pytest.fail(str(error))
    assert len(slots) == 4 * draft.TABLE_SLOTS and (np.frombuffer(slots, "<u4") != 0).mean() > 0.3
