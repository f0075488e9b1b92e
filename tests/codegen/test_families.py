"""Families of models beside llama2.c's: the same weights in every format, and what each family adds, by hand."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import model_files as files
import numpy as np
import pytest
import seeded

from codegen.formats import open_model
from codegen.formats.families import FAMILIES, llama3_factors
from codegen.golden_run import forward
from codegen.memory import cut_context
from codegen.model import Model
from codegen.plan import make_plan
from codegen.rope import rope_table
from codegen.source import TensorSource
from codegen.targets import find_target

ROOT = Path(__file__).resolve().parents[2]
SCALING = (8.0, 1.0, 4.0, 64)
FACTOR: files.KV = {"llama.rope.scaling.factor": (files.F32, 4.0)}
TOKENS = (1, 7, 3, 39, 0)


def tiny(name: str, **changes: Any) -> tuple[Model, files.Tensors]:
    return files.tiny(family=name, n_layers=5, **changes)


def gguf(path: Path, name: str, model: Model, tensors: files.Tensors, keys: files.KV | None = None) -> TensorSource:
    path.write_bytes(files.gguf_of(model, tensors, name, keys))
    return open_model(path)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "smollm3"])
def test_a_folder_and_a_gguf_of_the_same_weights_are_one_model(name: str, shared: bool, tmp_path: Path) -> None:
    model, tensors = tiny(name, shared=shared)
    model = replace(model, rope_factors=tuple(float(np.float32(f)) for f in llama3_factors(model.rope_theta, 8, *SCALING)))
    assert len(set(model.rope_factors)) > 2
    folder = open_model(files.hf_folder(tmp_path / "tiny", model, tensors, **files.hf_family(name, SCALING)))
    read = gguf(tmp_path / "tiny.gguf", name, model, tensors)
    assert folder.model == read.model == model
    for key, values in tensors.items():
        for source in (folder, read):
            assert np.array_equal(source.tensor(*key), values), key
    assert np.array_equal(forward(folder, TOKENS), forward(read, TOKENS))


FULL = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}
GEMMAS: dict[str, dict[str, Any]] = {
    "layer by layer": {},
    "by its pattern": {"layer_types": None, "sliding_window_pattern": 6, "cache_implementation": "hybrid"},
    "by its habit": {"layer_types": None, "rope_local_base_freq": None},
    "of transformers 5": {"rope_scaling": None, "rope_theta": None, "rope_local_base_freq": None, "rope_parameters": {
        "full_attention": FULL, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "of transformers 5, one base where it was": {"rope_scaling": None, "rope_theta": None, "rope_parameters": {"full_attention": FULL}},
    "of transformers 5, one base its habit": {"rope_scaling": None, "rope_theta": None, "rope_local_base_freq": None,
                                              "rope_parameters": {"full_attention": FULL, "sliding_attention": None}},
}  # fmt: skip


@pytest.mark.parametrize("case", GEMMAS)
def test_a_gemma_is_one_model_in_both_formats(case: str, tmp_path: Path) -> None:
    """A folder has the norms less one; its weights are multiples of 1/1024, so that nothing is rounded."""
    model, tensors = files.tiny(family="gemma3_text", n_layers=7, window=3, rope_theta=1000000.0, rope_factors=(8.0,) * 4)
    tensors = {key: np.rint(values * 1024) / np.float32(1024) for key, values in tensors.items()}
    keys = files.hf_family("gemma3_text") | files.hf_window(model) | {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    keys |= {"attn_logit_softcapping": None, "final_logit_softcapping": None, "use_bidirectional_attention": False}
    folder = open_model(files.hf_folder(tmp_path / "tiny", model, tensors, **keys | GEMMAS[case]))
    read = gguf(tmp_path / "tiny.gguf", "gemma3_text", model, tensors)
    assert folder.model == read.model == model and model.local == (0, 1, 2, 3, 4, 6)
    for key, values in tensors.items():
        assert np.array_equal(folder.tensor(*key), values) and np.array_equal(read.tensor(*key), values), key
    assert np.array_equal(forward(folder, TOKENS), forward(read, TOKENS))


def test_a_first_gemma_is_one_model_in_both_formats(tmp_path: Path) -> None:
    """No norms behind, no caps, no window; its "gelu" is the tanh form, as its authors have it."""
    model, tensors = files.tiny(family="gemma", n_layers=3)
    tensors = {key: np.rint(values * 1024) / np.float32(1024) for key, values in tensors.items()}
    keys = files.hf_family("gemma") | {"hidden_act": "gelu", "hidden_activation": None}
    folder = open_model(files.hf_folder(tmp_path / "tiny", model, tensors, **keys))
    read = gguf(tmp_path / "tiny.gguf", "gemma", model, tensors)
    assert folder.model == read.model == model and not model.post_norms and model.embed_scale == float(np.float32(32**0.5))
    for key, values in tensors.items():
        assert np.array_equal(folder.tensor(*key), values) and np.array_equal(read.tensor(*key), values), key
    assert np.array_equal(forward(folder, TOKENS), forward(read, TOKENS))


def test_a_gemma_2_is_one_model_in_both_formats(tmp_path: Path) -> None:
    model, tensors = files.tiny(family="gemma2", n_layers=4, window=3)
    tensors = {key: np.rint(values * 1024) / np.float32(1024) for key, values in tensors.items()}
    keys = files.hf_family("gemma2") | files.hf_window(model)
    folder = open_model(files.hf_folder(tmp_path / "tiny", model, tensors, **keys | {"hidden_act": "gelu_pytorch_tanh"}))
    read = gguf(tmp_path / "tiny.gguf", "gemma2", model, tensors)
    assert folder.model == read.model == model and model.local == (0, 2) and (model.att_cap, model.logit_cap) == (50.0, 30.0)
    assert np.array_equal(forward(folder, TOKENS), forward(read, TOKENS))
    none = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
    uncapped = open_model(files.hf_folder(tmp_path / "m", model, tensors, **keys | none))
    assert uncapped.model == replace(model, name="m", att_cap=0.0, logit_cap=0.0)
    low = open_model(files.hf_folder(tmp_path / "n", model, tensors, **keys, final_logit_softcapping=0.5))
    assert np.abs(forward(low, TOKENS)).max() <= 0.5 < np.abs(forward(uncapped, TOKENS)).max()


def test_a_gemma_may_divide_its_scores_by_another_root(tmp_path: Path) -> None:
    model, tensors = files.tiny(family="gemma3_text")
    keys = files.hf_family("gemma3_text") | files.hf_window(replace(model, score_size=24.0))
    found = open_model(files.hf_folder(tmp_path / "m", model, tensors, **keys))
    assert found.model.score_size == 24.0
    scaled = {key: values * np.float32((24 / 8) ** 0.5 if key[0] == "rms_q_weight" else 1) for key, values in tensors.items()}
    as_usual = open_model(files.hf_folder(tmp_path / "n", model, scaled, **keys))
    expected = forward(open_model(files.hf_folder(tmp_path / "o", model, tensors, **keys | {"query_pre_attn_scalar": 8})), TOKENS)
    assert np.allclose(forward(as_usual, TOKENS), expected, atol=1e-3 * float(expected.std()))
    assert not np.allclose(forward(found, TOKENS), expected, atol=1e-3 * float(expected.std()))


def logits(name: str, tmp_path: Path) -> np.ndarray:
    model, tensors = tiny(name)
    return forward(gguf(tmp_path / "m.gguf", name, model, tensors), TOKENS)


def test_each_addition_changes_the_logits(tmp_path: Path) -> None:
    """Tensors are seeded by their order, so that a family's first ones are those of a llama."""
    found = {name: logits(name, tmp_path) for name in ("llama", "qwen2", "qwen3", "smollm3")}
    for name, values in found.items():
        assert name == "llama" or np.abs(values - found["llama"]).max() > 0.01 * values.std(), name
    assert np.array_equal(found["smollm3"][0], found["llama"][0]), "at position 0 nothing is rotated"


def test_a_linear_factor_is_a_distance_that_much_shorter(tmp_path: Path) -> None:
    model, tensors = tiny("llama")
    stretched = gguf(tmp_path / "m.gguf", "llama", model, tensors, FACTOR).model
    assert stretched.rope_factors == (4.0,) * 4
    folder = files.hf_folder(tmp_path / "m", model, tensors, rope_scaling={"type": "linear", "factor": 4})
    assert open_model(folder).model.rope_factors == (4.0,) * 4
    told = {"type": "linear", "factor": 4, "original_max_position_embeddings": 16, "beta_fast": None}
    for rope, factors in ((told, (4.0,) * 4), ({"rope_type": "default", "factor": 1.0}, ())):
        assert open_model(files.hf_folder(tmp_path / "o", model, tensors, rope_scaling=rope)).model.rope_factors == factors
    whole, scaled = (rope_table(replace(one, seq_len=16)) for one in (model, stretched))
    assert np.array_equal(scaled[:, ::4], whole[:, :4]), "4 is a power of two: nothing is rounded"
    none = FACTOR | {"llama.rope.scaling.type": (files.STRING, "none")}
    assert gguf(tmp_path / "n.gguf", "llama", model, tensors, none).model.rope_factors == ()


def test_llama_3s_factors() -> None:
    """Worked out by hand for a base of 16 and a head of 4: waves of 2 pi and 8 pi, 25.13."""
    assert llama3_factors(16.0, 4, 8.0, 1.0, 4.0, 100) == (1.0, pytest.approx(1.00620, abs=1e-5))
    assert llama3_factors(16.0, 4, 8.0, 1.0, 4.0, 20) == (pytest.approx(1.31279, abs=1e-5), 8.0)


def test_a_smollm3_folder_says_which_layers_rotate(tmp_path: Path) -> None:
    model, tensors = tiny("smollm3")
    kinds = files.hf_family("smollm3")
    said = [({}, (3,)), ({"no_rope_layer_interval": 2}, (1, 3)), ({"no_rope_layers": [1, 0, 1, 1, 0]}, (1, 4))]
    for at, (changes, expected) in enumerate(said):
        found = open_model(files.hf_folder(tmp_path / f"m{at}", model, tensors, **kinds, **changes)).model
        assert found.no_rope == expected
    plan = make_plan(found, find_target("portable"))
    rotated = [any(step.op == "rope" for step in layer.steps) for layer in plan.schedule.layers]
    assert rotated == [True, False, True, True, False] and plan.schedule.examples == (0, 1)


PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen 2.5": ("qwen2", {"sliding_window": 32768, "max_window_layers": 21, "use_sliding_window": False}),
    "Qwen 2 of older tools": ("qwen2", {"sliding_window": 131072, "max_window_layers": 24, "use_mrope": False,
                                        "use_sliding_window": False}),
    "Qwen 3": ("qwen3", {"sliding_window": None, "max_window_layers": 28, "use_sliding_window": False, "rope_scaling": None}),
    "SmolLM 3": ("smollm3", {"no_rope_layer_interval": 4, "no_rope_layers": [1, 1, 1, 0, 1], "layer_types": ["full_attention"] * 5,
                             "sliding_window": None, "use_sliding_window": False, "max_window_layers": 28, "pretraining_tp": 2,
                             "mlp_bias": False}),
    "Mistral 0.3": ("mistral", {"sliding_window": None}),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_configurations_have_these_keys_where_they_are_published(name: str, tmp_path: Path) -> None:
    family, keys = PUBLISHED[name]
    model, tensors = tiny(family)
    folder = files.hf_folder(tmp_path / "m", model, tensors, **files.hf_family(family) | keys)
    assert open_model(folder).model == replace(model, name="m")


def test_llama_3_2s_factors() -> None:
    """1 for the short waves, then a climb, then the factor. Pair 16 by hand: a wave of 2 pi sqrt(500000) = 4442.88, of which 8192
    positions have 1.84385, so that the share of the old frequency is 0.28128: 1 / (0.71872 / 32 + 0.28128)."""
    factors = llama3_factors(500000.0, 64, 32.0, 1.0, 4.0, 8192)
    assert factors[:15] == (1.0,) * 15 and factors[18:] == (32.0,) * 14
    assert factors[16] == pytest.approx(3.2923, abs=1e-4) and list(factors) == sorted(factors)


WINDOWS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "all of a Mistral": ("mistral", {"sliding_window": 3}, (0, 1, 2, 3, 4)),
    "the late ones of a Qwen": ("qwen2", {"sliding_window": 3, "use_sliding_window": True, "max_window_layers": 2}, (2, 3, 4)),
    "none, where they begin too late": ("qwen3", {"sliding_window": 3, "use_sliding_window": True}, ()),
    "those of a SmolLM 3 without RoPE": ("smollm3", {"sliding_window": 3, "use_sliding_window": True}, (3,)),
    "those that are listed": ("qwen3", {"sliding_window": 3, "use_sliding_window": True, "max_window_layers": 2, "layer_types": [
        "sliding_attention", "full_attention", "full_attention", "sliding_attention", "full_attention"]}, (0, 3)),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_a_folder_says_which_layers_have_a_window(case: str, tmp_path: Path) -> None:
    family, keys, local = WINDOWS[case]
    model, tensors = tiny(family)
    found = open_model(files.hf_folder(tmp_path / "m", model, tensors, **files.hf_family(family) | keys)).model
    assert found == replace(model, name="m", window=3 if local else 0, local=local)
    schedule = make_plan(found, find_target("portable")).schedule
    windows = [step.window for layer in schedule.layers for step in layer.steps if step.op == "attention"]
    assert windows == [3 if layer in local else 0 for layer in range(5)]


def test_what_a_window_leaves_out_does_not_matter(tmp_path: Path) -> None:
    """A layer with a window of 3 sees three positions: with two of them the first of five is out of reach, and until the
    window is full nothing is."""
    model, tensors = files.tiny(family="mistral")
    keys = files.hf_family("mistral") | {"sliding_window": 3}
    slides = open_model(files.hf_folder(tmp_path / "m", model, tensors, **keys))
    all_seen = open_model(files.hf_folder(tmp_path / "n", model, tensors, **keys | {"sliding_window": None}))
    windowed, whole = (forward(source, (1, 7, 3, 39, 0, 5)) for source in (slides, all_seen))
    assert np.array_equal(windowed[:3], whole[:3]) and (windowed[3:] != whole[3:]).any(axis=1).all()
    other = forward(slides, (2, 7, 3, 39, 0, 5))
    assert np.array_equal(other[5], windowed[5]) and not np.array_equal(other[4], windowed[4])


def test_a_window_that_holds_all_positions_changes_nothing(tmp_path: Path) -> None:
    model, tensors = tiny("mistral")
    found = open_model(files.hf_folder(tmp_path / "m", model, tensors, **files.hf_family("mistral") | {"sliding_window": 12})).model
    assert make_plan(found, find_target("avx512")).windows == (12,)
    cut = cut_context(found, 12)
    assert make_plan(cut, find_target("avx512")).schedule == make_plan(replace(cut, window=0), find_target("avx512")).schedule


def test_a_mistral_has_a_window_unless_it_says_no(tmp_path: Path) -> None:
    model, tensors = tiny("mistral")
    folder = files.hf_folder(tmp_path / "m", model, tensors, **files.hf_family("mistral"))
    assert open_model(folder).model.window == 4096


@pytest.mark.parametrize("name", [*FAMILIES, "llama3"])
def test_the_stories_of_each_family_are_compared_on_every_kind_of_machine(name: str) -> None:
    """There is a bake that this machine, the Duo and RVV 1.0 tell the stories of: the same texts, the same fingerprints."""
    matrix = tomllib.loads((ROOT / "tests" / "matrix.toml").read_text())["bakes"]
    machines: dict[tuple[str, ...], set[str]] = {}
    for row in matrix.values():
        recipe = seeded.RECIPES.get(row.get("model", ""))
        if recipe is None or (recipe.family, bool(recipe.rope_scaling)) != (name.replace("llama3", "llama"), name == "llama3"):
            continue
        options = {key: str(value) for key, value in row.get("options", {}).items() if key not in ("target", "storyteller")}
        if {"model", "story"} & set(row.get("suites", ["model"])):
            bake = row["model"], *sorted(map("=".join, options.items())), *row.get("sets", ())
            machines.setdefault(bake, set()).add(next(iter(row.get("cross", ["here"]))))
    assert any(found >= {"here", "duo", "rvv1"} for found in machines.values()), machines


def test_the_page_names_tests_and_bakes_that_there_are() -> None:
    """Those of the tables of what was compared; the three bakes of a family are one bake, by its model and options."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8").partition("**What was compared**")[2].partition("## Tokenizers")[0]
    tests = re.findall(r"`(test_\w+\.py)::(\w+)`", page)
    assert len(tests) == 11
    for file, name in tests:
        assert f"def {name}(" in (ROOT / "tests" / "codegen" / file).read_text(), name
    matrix = tomllib.loads((ROOT / "tests" / "matrix.toml").read_text())["bakes"]
    rows = re.findall(r"^\| [^|]+ \| (\w+) \| `([\w-]+)` \| `([\w-]+)` \| `([\w-]+)` \|$", page, re.MULTILINE)
    assert len(rows) == len(FAMILIES) + 1
    for _, *names in rows:
        bakes = [(matrix[name]["model"], matrix[name].get("options", {}).get("weights")) for name in names]
        assert len(set(bakes)) == 1, names
        assert [matrix[name].get("cross", ["here"])[0] for name in names] == ["here", "duo", "rvv1"]
