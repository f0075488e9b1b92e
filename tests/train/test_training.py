"""What of the trainer needs no PyTorch: batches, rate, resuming, export, sampler, figures, shipped files."""

import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.corpus import generate
from models.trainer import data, export, report, sample, tokenizer

MODELS = generate.PLOT_FOLDER.parents[1]


def random_weights(seed: int = 3) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    """Weights of dim 32, hidden 64, 2 layers, 4 heads, 2 key/value heads, 300 pieces."""
    rng = np.random.default_rng(seed)
    shapes = {"token_embedding_table": (300, 32), "rms_att": (2, 32), "rms_ffn": (2, 32), "rms_final": (32,),
              "wq": (2, 32, 32), "wk": (2, 16, 32), "wv": (2, 16, 32), "wo": (2, 32, 32), "w1": (2, 64, 32),
              "w2": (2, 32, 64), "w3": (2, 64, 32)}
    return {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    lengths = list(np.random.default_rng(1).integers(100, 250, 1000))
    first = data.batches(lengths, 8, 1, 0)
    assert first == data.batches(lengths, 8, 1, 0)
    assert first != data.batches(lengths, 8, 1, 1) and first != data.batches(lengths, 8, 2, 0)
    used = [i for batch in first for i in batch]
    assert len(used) == len(set(used)) == 1000
    padding = 1 - sum(lengths[i] for i in used) / sum(8 * max(lengths[i] for i in batch) for batch in first)
    assert padding < 0.02


def test_rate_and_a_movable_end() -> None:
    run = data.Run(steps=1000, warmup=100, decay=300, peak=1.0)
    rates = [data.learning_rate(step, run) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and rates[99] == rates[700] == 1.0
    assert all(a > b for a, b in zip(rates[701:], rates[702:])) and 0 < rates[-1] < 1e-3
    assert all(data.learning_rate(step, replace(run, steps=5000)) == rates[step] for step in range(701))


def test_resume_continues_only_the_same_run() -> None:
    run = data.Run(steps=1000)
    dims = {"dim": 128}
    saved = data.identity(run, dims, 7)
    data.check_resume(saved, data.identity(replace(run, steps=2000, decay=5), dims, 7))
    for other in (data.identity(replace(run, seed=2), dims, 7), data.identity(run, {"dim": 64}, 7),
                  data.identity(run, dims, 8)):
        with pytest.raises(ValueError, match="resume: (seed|dim|corpus_crc): the interrupted run has"):
            data.check_resume(saved, other)


def test_documents_become_examples_that_learn_the_story_only() -> None:
    shipped = tokenizer.read(MODELS / "tinytales.tokenizer.bin")
    document = generate.Document("Tell me a story about a dog.", "Once upon a time, there was a dog.", "any")
    one = data.example(document, shipped)
    assert one is not None and one.tokens[0] == one.tokens[-1] == tokenizer.BOS
    inputs, targets = data.pad([one])
    learned = [int(token) for token in targets[0] if token != data.IGNORE]
    assert shipped.decode(learned[:-1]) == "\nOnce upon a time, there was a dog." and learned[-1] == tokenizer.BOS
    assert list(inputs[0][1:]) == list(one.tokens[1:-1])
    story_only = data.example(generate.Document("", "Once upon a time.", "any"), shipped)
    assert story_only is not None
    inputs, targets = data.pad([one, story_only])
    assert inputs.shape == targets.shape == (2, len(one.tokens) - 1)
    assert data.IGNORE not in targets[1][:len(story_only.tokens) - 1]
    assert set(targets[1][len(story_only.tokens) - 1:]) == {data.IGNORE}
    assert data.example(generate.Document("", "Once upon a time. " * 60, "any"), shipped) is None


def test_v0_file_holds_the_weights(tmp_path: Path) -> None:
    weights = random_weights()
    export.write_v0(tmp_path / "m.bin", weights, 4, 64)
    model = sample.Model(tmp_path / "m.bin")
    assert (model.dim, model.hidden_dim, model.n_kv_heads, model.vocab_size, model.seq_len) == (32, 64, 2, 300, 64)
    for name, value in weights.items():
        assert np.array_equal(model.w[name], value), name
    assert np.isfinite(model.forward(1, 0)).all()
    (tmp_path / "m.bin").write_bytes((tmp_path / "m.bin").read_bytes()[:-4])
    with pytest.raises(ValueError, match="weights, need"):
        sample.Model(tmp_path / "m.bin")


def test_v2_file_layout_and_error_of_quantising(tmp_path: Path) -> None:
    weights = random_weights()
    path = tmp_path / "m.bin"
    export.write_v2(path, weights, 4, 64)
    raw = path.read_bytes()
    assert struct.unpack_from("<Ii7iBi", raw) == (0x616B3432, 2, 32, 64, 2, 4, 2, 300, 64, 1, 32)
    matrices = sum(value.size for name, value in weights.items() if not name.startswith("rms"))
    norms = sum(value.size for name, value in weights.items() if name.startswith("rms"))
    assert len(raw) == 256 + 4 * norms + matrices + matrices // 32 * 4
    start = 256 + 4 * norms
    values = np.frombuffer(raw, np.int8, 300 * 32, start).astype(np.float32).reshape(-1, 32)
    scale = np.frombuffer(raw, "<f4", 300, start + 300 * 32)
    error = np.abs(values * scale[:, None] - weights["token_embedding_table"])
    assert float(error.max()) <= float(scale.max()) * 0.51
    with pytest.raises(ValueError, match="does not divide a row of 32"):
        export.write_v2(path, weights, 4, 64, group_size=24)


def test_an_all_zero_group_is_defined() -> None:
    values, scale = export.quantize(np.zeros((1, 32), np.float32), 32)
    assert not values.any() and not scale.any()


def test_sampler_is_llama2c_s() -> None:
    # xorshift64* from state 1, by hand: 1 -> 0x2000001 after the three shifts.
    state = 1 ^ (1 << 25)
    expected = ((state ^ state >> 27) * 0x2545F4914F6CDD1D & (1 << 64) - 1) >> 40
    assert sample.Rng(1).coin() == expected / 2 ** 24
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    assert sample.pick(logits, 0, 0.9, sample.Rng(1)) == 0
    picked = {sample.pick(logits, 1.0, 0.7, rng) for rng in [sample.Rng(5)] for _ in range(300)}
    assert picked == {0, 1}


def test_figures() -> None:
    assert report.distinct_ratio(["a b c a b c"]) == 3 / 4
    text = " ".join(map(str, range(12)))
    assert report.copied_share([text], ["0 1 2 3 4 5 6 7 8 9 x", "y"]) == pytest.approx(1 / 3)
    log = [{"step": 25, "loss": 6.0, "tokens": 1e6}, {"step": 50, "loss": 1.0, "tokens": 2e6, "held_out": 1.1}]
    assert report.loss_curve(log, "t").count("<polyline") == 2


def test_shipped_files_fit_together() -> None:
    model = sample.Model(MODELS / "tinytales.bin")
    words = tokenizer.read(MODELS / "tinytales.tokenizer.bin")
    assert (model.vocab_size, model.seq_len) == (len(words.pieces), 256)
    assert model.dim % 32 == model.hidden_dim % 32 == 0 and model.n_kv_heads < model.n_heads
    files = ("tinytales.bin", "tinytales_q8.bin", "tinytales.tokenizer.bin")
    assert sum((MODELS / name).stat().st_size for name in files) < 6_000_000
    quantised = (MODELS / "tinytales_q8.bin").read_bytes()
    assert struct.unpack_from("<7i", quantised, 8) == struct.unpack("<7i", (MODELS / "tinytales.bin").read_bytes()[:28])


def test_shipped_model_knows_its_corpus(documents: list[generate.Document]) -> None:
    """Perplexity of one story it has not seen is far below that of chance."""
    model = sample.Model(MODELS / "tinytales.bin")
    words = tokenizer.read(MODELS / "tinytales.tokenizer.bin")
    ids = [tokenizer.BOS] + words.encode(next(d.story for d in documents if not d.prompt))
    loss = 0.0
    for pos in range(len(ids) - 1):
        logits = model.forward(ids[pos], pos).astype(np.float64)
        loss += math.log(float(np.exp(logits - logits.max()).sum())) + float(logits.max() - logits[ids[pos + 1]])
    assert loss / (len(ids) - 1) < 1.0


def test_a_story_ends_by_itself_and_names_what_was_asked() -> None:
    words = tokenizer.read(MODELS / "tinytales.tokenizer.bin")
    text, ended = sample.story(sample.Model(MODELS / "tinytales.bin"), words, "Tell me a story about a dragon.", 2)
    assert ended and "dragon" in text.split("\n", 1)[1]
