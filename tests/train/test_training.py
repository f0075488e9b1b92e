"""What of the trainer needs no PyTorch: batches, rate, resuming, the loss curve, shipped files."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from models import engine
from models.trainer import data, report, tokenizer

from codegen.formats import open_model
from codegen.model import VECTOR_TENSORS
from codegen.tensor import Quantized
from codegen.tokenizer import find_tokenizer
from codegen.weights import convert
from storyteller.words import WORD, read_words

MODELS = Path(__file__).resolve().parents[2] / "models"


@dataclass(frozen=True)
class Line:
    """A document of one line."""

    prompt: str
    story: str

    @property
    def text(self) -> str:
        return f"{self.prompt}\n{self.story}" if self.prompt else self.story


@pytest.fixture(scope="module")
def pieces(documents: list[engine.Document]) -> tokenizer.Tokenizer:
    return tokenizer.train((one.text for one in documents), 800)


def test_batches_depend_on_seed_and_number_alone(pieces: tokenizer.Tokenizer) -> None:
    run = data.Run(batch=4)
    first = data.window(engine.document, pieces, run, 3, 640)
    assert [len(batch) for batch in first] == [4] * data.WINDOW

    def tokens(batches: list[list[data.Example]]) -> list[list[int]]:
        return [one.tokens.tolist() for batch in batches for one in batch]

    assert tokens(first) == tokens(data.window(engine.document, pieces, run, 3, 640))
    assert tokens(first) != tokens(data.window(engine.document, pieces, replace(run, seed=2), 3, 640))
    inputs, _, _ = zip(*map(data.pad, first))
    real = sum(len(one.tokens) - 1 for batch in first for one in batch)
    assert 0.95 < real / sum(array.size for array in inputs) <= 1
    # A run that goes on at a step has the batches that it would have had.
    whole, later = data.batches(engine.document, pieces, run, 640), data.batches(engine.document, pieces, run, 640, 23)
    for _ in range(23):
        next(whole)
    assert tokens([next(whole)]) == tokens([next(later)])


def test_drills_are_beginnings_that_copy(pieces: tokenizer.Tokenizer) -> None:
    run = data.Run(batch=4)
    batches = data.window(engine.document, pieces, run, 2, 640, None, engine.copying)
    assert sorted(map(len, batches)) == [4] * (data.WINDOW - data.DRILLS) + [4 * data.DRILL_DOCUMENTS] * data.DRILLS
    drills = [one for batch in batches if len(batch) > 4 for one in batch]
    assert all(len(one.tokens) <= one.learn_from + data.DRILL_LENGTH and one.tokens[-1] != tokenizer.BOS for one in drills)
    # The word that is given is said again before a drill ends.
    again = 0
    for index in range(len(drills)):
        document = engine.copying(run.seed, index)
        given = document.prompt or document.text[: document.given]
        words = [word for word in document.copied if word.lower() in given.lower()]
        assert words, document.text
        told = document.text[len(given) :].lower().split()[: data.DRILL_LENGTH // 2]
        again += any(word.lower() in " ".join(told) for word in words)
    assert again > 0.85 * len(drills), again
    # The next window has other drills.
    later = [one for batch in data.window(engine.document, pieces, run, 3, 640, None, engine.copying) for one in batch]
    seen = {one.tokens.tobytes() for one in drills}
    assert not any(one.tokens.tobytes() in seen for one in later)


def test_what_binds_counts_less_while_the_rate_falls() -> None:
    run = data.Run(steps=1000, warmup=100, decay=200, binding=5.0)
    counted = [data.binding(step, run) for step in range(1001)]
    assert counted[:801] == [5.0] * 801 and counted[900] == 3.0 and counted[1000] == 1.0
    assert data.binding(999, replace(run, decay=0)) == 5.0


def test_no_story_comes_twice_and_none_is_held_out() -> None:
    seen = {engine.document(1, index).text for index in range(300)}
    assert len(seen) == 300
    assert not seen & {engine.document(1 + data.HELD_OUT_SEED, index).text for index in range(300)}


def test_a_story_beyond_the_context_is_refused(pieces: tokenizer.Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"story \d+ of seed 1: found \d+ tokens, expected at most 60, the context"):
        data.window(engine.document, pieces, data.Run(batch=1), 0, 60)


def test_rate_and_a_movable_end() -> None:
    run = data.Run(steps=1000, warmup=100, decay=250, peak=1.0)
    rates = [data.learning_rate(step, run) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and rates[99] == rates[750] == 1.0
    assert rates[875] == pytest.approx(0.5) and rates[-1] == pytest.approx(1 / 250)
    assert all(data.learning_rate(step, replace(run, steps=5000)) == rates[step] for step in range(751))


def test_resume_continues_only_the_same_run() -> None:
    run = data.Run(steps=1000)
    dims = {"dim": 128}
    saved = data.identity(run, dims, 7, "random")
    data.check_resume(saved, data.identity(replace(run, steps=2000, decay=5), dims, 7, "random"))
    others = (data.identity(replace(run, seed=2), dims, 7, "random"), data.identity(run, {"dim": 64}, 7, "random"),
              data.identity(run, dims, 8, "random"), data.identity(run, dims, 7, "tinytales.bin"))  # fmt: skip
    for other in (*others, data.identity(replace(run, weight_decay=0.1), dims, 7, "random")):
        with pytest.raises(ValueError, match="resume: (seed|dim|corpus_crc|start|weight_decay): the interrupted run has"):
            data.check_resume(saved, other)
    # A state of before there was a choice has the default.
    del saved["weight_decay"]
    data.check_resume(saved, data.identity(run, dims, 7, "random"))
    with pytest.raises(ValueError, match=r"weight_decay: the interrupted run has 0\.05, this one 0\.1;"):
        data.check_resume(saved, data.identity(replace(run, weight_decay=0.1), dims, 7, "random"))


def test_tokens_of_a_large_vocabulary_keep_their_ids() -> None:
    """Ids beyond 16 bits, as Gemma's are."""
    letters = [chr(0x4E00 + index % 20_000) * (1 + index // 20_000) for index in range(40_000)]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    large = tokenizer.Tokenizer(tuple(pieces), (0.0,) * len(pieces))
    one = data.example(Line("", letters[39_999]), large)
    assert one.tokens.max() == len(pieces) - 1 and one.tokens.min() > 0


def test_documents_become_examples_that_learn_the_story_only(pieces: tokenizer.Tokenizer) -> None:
    one = data.example(Line("Tell me a story about a dog.", "Once upon a time, there was a dog."), pieces)
    assert one.tokens[0] == one.tokens[-1] == tokenizer.BOS
    inputs, targets, weights = data.pad([one])
    learned = [int(token) for token, weight in zip(targets[0], weights[0]) if weight]
    assert pieces.decode(learned[:-1]) == "\nOnce upon a time, there was a dog." and learned[-1] == tokenizer.BOS
    assert list(inputs[0][1:]) == list(one.tokens[1:-1])
    story_only = data.example(Line("", "Once upon a time."), pieces)
    inputs, targets, weights = data.pad([one, story_only])
    assert inputs.shape == targets.shape == weights.shape == (2, len(one.tokens) - 1)
    assert weights[1].tolist() == [1] * (len(story_only.tokens) - 1) + [0] * (len(one.tokens) - len(story_only.tokens))


def test_what_binds_a_document_counts_more(pieces: tokenizer.Tokenizer) -> None:
    """The sentences in which a theme shows, names, and what comes again; nothing of the prompt."""
    own = data.Own(engine.document, 1)
    document = next(one for one in (engine.document(2, index) for index in range(300))
                    if one.about == "theme" and one.story.count(one.told.world.persons["A"].name) > 2
                    and re.search(rf" {one.told.world.persons['A'].kind.noun}\b", one.story))  # fmt: skip
    one = data.example(document, pieces, own=own)
    assert one.tokens.shape == one.binds.shape
    inputs, _, weights = data.pad([one], binding=4.0)
    assert set(weights[0]) == {0.0, 1.0, 4.0} and not weights[0, : one.learn_from - 1].any()
    assert np.array_equal(data.pad([one])[2], np.minimum(weights, 1))
    # Counted by the pieces alone: what was decided is a run of heavy tokens that begins with the story.
    decided = len(pieces.encode(document.text[: document.decided[1]]))
    assert weights[0, one.learn_from : decided - 1].min() == 4.0 and weights[0, decided + 1 :].min() == 1.0
    plain = data.example(engine.Document("", document.told), pieces, own=own)
    name = document.told.world.persons["A"].name
    first = len(pieces.encode(document.story[: document.story.index(name)].rstrip()))
    assert plain.binds[1 + first] and not plain.binds[1:].all()
    kind = re.search(rf" {document.told.world.persons['A'].kind.noun}\b", document.story)
    assert kind is not None
    first = len(pieces.encode(document.story[: kind.start()]))
    assert plain.binds[1 + first]  # what somebody is has to fit the name


def test_a_beginning_that_is_given_is_not_learned(pieces: tokenizer.Tokenizer) -> None:
    document = next(one for one in (engine.document(2, index) for index in range(100)) if one.about == "own")
    one = data.example(document, pieces)
    _, _, weights = data.pad([one])
    given = len(pieces.encode(document.text[: document.given]))
    assert pieces.decode(one.tokens[1 : 1 + given].tolist()) == document.text[: document.given]
    assert not weights[0, :given].any() and weights[0, given:].all()


def test_words_are_known_that_documents_tell_of_themselves() -> None:
    @dataclass(frozen=True)
    class Given:
        prompt: str
        text: str
        copied: tuple[str, ...] = ()
        given: int = 0

    told = [
        Given("About Zorblax.", "About Zorblax.\nZorblax's kite didn't fly. Zorblaxs ran.", ("Zorblax",)),
        Given("", "Said Mia: the well-known Kite did fly.", ("Mia",)),
        Given("", "Xaver had a kite. It did fly 7 times.", (), 17),
    ]
    expected = ["did", "didn't", "fly", "it", "kite", "mia", "ran", "said", "the", "times", "well-known"]
    assert data.known_words(lambda _, index: told[index % 3], 1, 9) == expected
    assert data.known_words(lambda _, index: told[index % 3], 1, 2) == []


def test_odd_pieces_are_the_same_throughout_a_document(pieces: tokenizer.Tokenizer) -> None:
    import random

    prompt = "A story about Zorblax and a kaleidoscope"
    line = Line(prompt, "One day, Zorblax lost a kaleidoscope. Poor Zorblax! And Wilhelmina?")
    odd = data.odd_pieces(line, pieces, random.Random(3))
    assert {" Zorblax", "Zorblax", " kaleidoscope"} <= odd.keys() and " day" not in odd
    assert " Wilhelmina" not in odd, "nobody gave it"
    text = pieces.decode(data.example(line, pieces, odd).tokens[1:-1].tolist())
    assert text == line.text
    assert data.example(line, pieces, odd).tokens.tolist() != data.example(line, pieces).tokens.tolist()


def test_only_words_that_are_given_are_spelt_in_odd_pieces(pieces: tokenizer.Tokenizer) -> None:
    """A model that spells out the names that it gives by itself garbles one in a hundred."""
    import random

    found = {True: 0, False: 0}
    for index in range(120):
        document = engine.document(1, index)
        given = document.prompt or document.text[: document.given]
        odd = data.odd_pieces(document, pieces, random.Random(index))
        assert all(word.strip() in given for word in odd), (given, odd)
        found[bool(odd)] += 1
    assert min(found.values()) > 10


def test_fingerprint_tells_stories_and_vocabularies_apart(pieces: tokenizer.Tokenizer) -> None:
    def another(seed: int, index: int) -> Line:
        return Line("", f"Story {seed} {index}.")

    crc = data.fingerprint(engine.document, pieces, 1)
    assert crc == data.fingerprint(engine.document, pieces, 1)
    fewer = tokenizer.Tokenizer(pieces.pieces[:-1], pieces.scores[:-1])
    assert len({crc, data.fingerprint(engine.document, pieces, 2), data.fingerprint(another, pieces, 1),
                data.fingerprint(engine.document, fewer, 1)}) == 4  # fmt: skip


def test_loss_curve() -> None:
    log = [{"step": 25, "loss": 6.0, "tokens": 1e6}, {"step": 50, "loss": 1.0, "tokens": 2e6, "held_out": 1.1}]
    assert report.loss_curve(log, "t").count("<polyline") == 2


def test_shipped_files_fit_together() -> None:
    float_model, int8_model = open_model(MODELS / "tinytales.pt"), open_model(MODELS / "tinytales_q8.bin")
    model = float_model.model
    assert replace(int8_model.model, name="tinytales", weight_type="f32", group_size=0) == model
    assert int8_model.model.group_size == 32 and model.shared_classifier
    assert all(length % 32 == 0 for length in model.row_lengths) and model.n_kv_heads < model.n_heads
    for path in (float_model.path, int8_model.path):
        assert find_tokenizer(path, model.vocab_size) == MODELS / "tinytales.tokenizer.bin"
    files = ("tinytales.pt", "tinytales_q8.bin", "tinytales.tokenizer.bin")
    assert sum((MODELS / name).stat().st_size for name in files) < 12_000_000
    assert np.isfinite(float_model.tensor("token_embedding_table")).all()


def test_shipped_words_are_those_of_stories() -> None:
    known = set(read_words(MODELS / "tinytales.words.txt"))
    told = [engine.document(77, index) for index in range(100)]
    plain = [one for one in told if not one.prompt and not one.given]
    words = [word for one in plain for word in set(WORD.findall(one.story.lower()))]
    strange = [word for word in words if not {word, word.removesuffix("'s")} & known]
    assert len(plain) > 10 and len(strange) < 0.02 * len(words), strange  # the engine may have learned some since


def test_the_int8_twin_has_the_weights_of_the_float_one() -> None:
    quantised = convert(open_model(MODELS / "tinytales.pt"), "q8", 32)
    twin = open_model(MODELS / "tinytales_q8.bin")
    for name, (layers, _, _) in twin.model.tensor_shapes().items():
        for layer in range(max(layers, 1)):
            a, b = quantised.tensor(name, layer), twin.tensor(name, layer)
            if isinstance(a, Quantized) and isinstance(b, Quantized):
                assert np.array_equal(a.q, b.q) and np.array_equal(a.s, b.s), name
            else:
                assert name in VECTOR_TENSORS and np.array_equal(a, b), name
