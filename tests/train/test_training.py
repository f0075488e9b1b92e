"""What of the trainer needs no PyTorch: batches, rate, resuming, figures, shipped files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from models.corpus import generate
from models.trainer import data, report, tokenizer

from codegen.formats import open_model
from codegen.model import NORMS
from codegen.tensor import Quantized
from codegen.tokenizer import find_tokenizer
from codegen.weights import convert

MODELS = generate.PLOT_FOLDER.parents[1]


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
    shipped = tokenizer.read(MODELS / "tinytales.tokenizer.bin", 1024)
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


def test_figures() -> None:
    assert report.distinct_ratio(["a b c a b c"]) == 3 / 4
    text = " ".join(map(str, range(12)))
    assert report.copied_share([text], ["0 1 2 3 4 5 6 7 8 9 x", "y"]) == pytest.approx(1 / 3)
    log = [{"step": 25, "loss": 6.0, "tokens": 1e6}, {"step": 50, "loss": 1.0, "tokens": 2e6, "held_out": 1.1}]
    assert report.loss_curve(log, "t").count("<polyline") == 2


def test_samples_come_from_the_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$@"\necho "249 tokens, prompt 7 tokens" >&2\n', encoding="utf-8")
    program.chmod(0o755)
    told = report.samples(program)
    assert len(told) == len(report.PROMPTS) == 20
    assert told[0] == ("-t 0.8 -p 0.9 -s 1 -i", False) and told[1][0].endswith("-s 2 -i " + report.PROMPTS[1])
    program.write_text('#!/bin/sh\necho "248 tokens, prompt 7 tokens" >&2\n', encoding="utf-8")
    assert all(ended for _, ended in report.samples(program))


def test_shipped_files_fit_together() -> None:
    float_model, int8_model = open_model(MODELS / "tinytales.bin"), open_model(MODELS / "tinytales_q8.bin")
    model = float_model.model
    assert replace(int8_model.model, name="tinytales", weight_type="f32", group_size=0) == model
    assert int8_model.model.group_size == 32 and model.shared_classifier and model.seq_len == 256
    assert all(length % 32 == 0 for length in model.row_lengths) and model.n_kv_heads < model.n_heads
    for path in (float_model.path, int8_model.path):
        found = find_tokenizer(path, model.vocab_size)
        assert found == MODELS / "tinytales.tokenizer.bin"
    files = ("tinytales.bin", "tinytales_q8.bin", "tinytales.tokenizer.bin")
    assert sum((MODELS / name).stat().st_size for name in files) < 6_000_000


def test_the_int8_twin_has_the_weights_of_the_float_one() -> None:
    quantised = convert(open_model(MODELS / "tinytales.bin"), "q8", 32)
    twin = open_model(MODELS / "tinytales_q8.bin")
    for name, (layers, _, _) in twin.model.tensor_shapes().items():
        for layer in range(max(layers, 1)):
            a, b = quantised.tensor(name, layer), twin.tensor(name, layer)
            if isinstance(a, Quantized) and isinstance(b, Quantized):
                assert np.array_equal(a.q, b.q) and np.array_equal(a.s, b.s), name
            else:
                assert name in NORMS and np.array_equal(a, b), name
