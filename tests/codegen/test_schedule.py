"""The steps of a model, and what walks over them make of a model whose layers differ."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest

from codegen import schedule
from codegen.emit import render
from codegen.model import Model
from codegen.plan import make_plan
from codegen.schedule import Layer, Step, llama_layer, make_schedule
from codegen.targets import find_target
from codegen.weight_types import WEIGHT_TYPES

MODEL = Model("m", 64, 160, 3, 4, 2, 512, 40, head_size=16, shared_classifier=False)
PORTABLE = find_target("portable")


def of_types(weights: str, classifier: str) -> Model:
    quantized = any(WEIGHT_TYPES[name].quantized for name in (weights, classifier))
    return dataclasses.replace(MODEL, weight_type=weights, classifier_type=classifier, group_size=32 if quantized else 0)


@pytest.mark.parametrize(("weights", "classifier"), product(WEIGHT_TYPES, WEIGHT_TYPES))
def test_a_product_of_integers_finds_its_own_input_quantised(weights: str, classifier: str) -> None:
    """Each vector once, however many matrices multiply it, and again when it was written since."""
    model = of_types(weights, classifier)
    held, quantised = "", 0
    plain = [step for number in range(3) for step in llama_layer(number).steps] + [*schedule.CLASSIFIER.steps]
    inputs = iter([step.x for step in plain if step.op == "matmul"])
    for step in make_schedule(model).steps:
        if step.op == "quantize":
            assert held != step.x, "a vector was quantised twice"
            held, quantised = step.x, quantised + 1
        elif step.op == "matmul":
            wanted, integers = next(inputs), model.type_of(step.weight).quantized
            assert step.x == ("own.xq" if integers else wanted)
            assert not integers or held == wanted
        held = "" if held in step.outs else held
    assert quantised == (4 * 3 if WEIGHT_TYPES[weights].quantized else 0) + WEIGHT_TYPES[classifier].quantized


def without_rope(number: int) -> Layer:
    """A layer that knows no positions and has neither w3 nor a gate: another kind."""
    lines = (line for line in llama_layer(number).lines if not isinstance(line, Step) or line.op not in ("rope", "swiglu"))
    return Layer("without rope", tuple(line for line in lines if not isinstance(line, Step) or line.weight != "w3"))


def test_a_model_whose_layers_differ_is_a_list_of_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "kinds", lambda model: (llama_layer, without_rope, llama_layer))
    plan = make_plan(MODEL, PORTABLE)
    assert plan.schedule.examples == (0, 1)
    present = [(s.tensor, s.layer) for s in plan.sections]
    assert ("w3", 0) in present and ("w3", 1) not in present and ("w3", 2) in present
    at = plan.layer_tensors.index("w3")
    assert [plan.layer_offsets(layer)[at] == 0 for layer in range(3)] == [False, True, False]
    texts = render(plan)
    layers = texts["forward.cpp"].split("// ---- ")[1:4]
    assert ["rope(" in text for text in layers] == [True, False, True]
    assert texts["selftest.cpp"].count("baked::rope(") == 1, "a layer of each kind is compared"
    assert texts["selftest.cpp"].count("baked::attention(") == 2


def test_the_rows_of_the_profile_are_the_steps_in_order_of_use() -> None:
    names = [op.name for op in make_plan(of_types("q8", "f32"), PORTABLE).ops]
    assert names[-9:] == ["embed", "rmsnorm", "quantize", "rope", "cache_kv", "attention", "add", "swiglu", "wait"]
    assert all(name.startswith("matmul_") for name in names[:-9])
