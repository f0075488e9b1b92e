"""The memory budget and the context that is cut: what fits, what is refused, and what a refusal proposes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from codegen.errors import USAGE, BakeError
from codegen.memory import MB, REACH, check_budget, check_reach, cut_context, memory_of
from codegen.model import Model
from codegen.plan import make_plan
from codegen.rope import rope_table
from codegen.targets import find_target
from codegen.weights import retype

STORIES_15M = Model("stories15M", 288, 768, 6, 6, 6, 32000, 256, 48, True)
STORIES_15M_Q8 = replace(STORIES_15M, weight_type="q8", group_size=32)
STORIES_42M = Model("stories42M", 512, 1376, 8, 8, 8, 32000, 1024, 64, True)


def refusal(model: Model, target: str, budget: int) -> str:
    with pytest.raises(BakeError) as caught:
        check_budget(make_plan(model, find_target(target)), budget)
    assert caught.value.exit_code == USAGE
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_stories15m_in_int8_fits_a_stock_duo() -> None:
    check_budget(make_plan(STORIES_15M_Q8, find_target("duo")), 0)


def test_a_target_without_a_budget_takes_everything() -> None:
    check_budget(make_plan(STORIES_42M, find_target("portable")), 0)


def test_a_refusal_has_the_numbers() -> None:
    message = refusal(STORIES_15M, "duo", 0)
    memory = memory_of(make_plan(STORIES_15M, find_target("duo")))
    for number in (memory.total, memory.weights, memory.kv, memory.activations, 24 * MB):
        assert f"{number / MB:.1f}".removesuffix(".0") in message, message


@pytest.mark.parametrize("target", ["duo", "rvv1-vlen256"])
@pytest.mark.parametrize("model", [STORIES_15M, STORIES_15M_Q8, STORIES_42M], ids=lambda m: f"{m.name}-{m.weight_type}")
@pytest.mark.parametrize("budget", [10, 20, 22, 44, 60, 62])
def test_what_is_proposed_fits_and_nothing_longer_does(model: Model, target: str, budget: int) -> None:
    plan = make_plan(model, find_target(target))
    if memory_of(plan).total <= budget * MB:
        check_budget(plan, budget)
        return
    message = refusal(model, target, budget)
    proposals = message.split("would fit: ")[1].split("; ")[0]
    if proposals == "no option":
        return
    for proposal in proposals.split(", "):
        fitting = model
        if weights := re.search(r"-Dweights=(\w+)", proposal):
            fitting = retype(model, weights[1])
        if "-Dkv=f16" in proposal:
            fitting = replace(fitting, kv_type="f16")
        context = re.search(r"-Dcontext=(\d+)", proposal)
        if context:
            longer = replace(fitting, seq_len=int(context[1]) + 16)
            with pytest.raises(BakeError):
                check_budget(make_plan(longer, find_target(target)), budget)
            fitting = cut_context(fitting, int(context[1]))
        check_budget(make_plan(fitting, find_target(target)), budget)


@pytest.mark.parametrize("target", ["portable", "x86-64-v3", "avx512", "duo", "rvv1-vlen256"])
def test_a_float16_cache_takes_half_the_memory(target: str) -> None:
    half = memory_of(make_plan(replace(STORIES_15M, kv_type="f16"), find_target(target)))
    assert 2 * half.kv == memory_of(make_plan(STORIES_15M, find_target(target))).kv


def test_a_float16_cache_is_proposed_where_it_is_enough() -> None:
    assert "would fit: -Dcontext=160 (21.9 MB), -Dkv=f16 (21.4 MB)" in refusal(STORIES_15M_Q8, "duo", 22)


def test_a_shorter_context_has_the_same_positions() -> None:
    cut = cut_context(STORIES_15M, 48)
    assert cut.seq_len == 48 and cut_context(STORIES_15M, 0) == STORIES_15M
    half = STORIES_15M.head_size // 2
    whole = np.asarray(rope_table(STORIES_15M)).reshape(2, 256, half)
    assert np.array_equal(np.asarray(rope_table(cut)).reshape(2, 48, half), whole[:, :48])


@pytest.mark.parametrize("context", [-1, 257])
def test_a_context_that_the_model_does_not_have_is_refused(context: int) -> None:
    with pytest.raises(BakeError, match="expected 1 to 256") as caught:
        cut_context(STORIES_15M, context)
    assert caught.value.exit_code == USAGE


def test_what_a_program_cannot_reach_is_refused_before_it_is_linked() -> None:
    tiny_llama = Model("tiny", 2048, 5632, 22, 32, 4, 32000, 2048, 64, False)  # 4.4 GB of float32
    long = Model("long", 1024, 3072, 28, 16, 8, 151936, 40960, 128, True, weight_type="q8", group_size=64)
    for model, embed, proposal in (
        (tiny_llama, True, "-Dembed=false"),
        (replace(tiny_llama, n_layers=500, n_kv_heads=32), False, "-Dcontext=240 or fewer"),
        (long, True, "-Dcontext=6288 or fewer"),
    ):
        plan = make_plan(model, find_target("avx512"))
        with pytest.raises(BakeError, match=proposal) as caught:
            check_reach(plan, embed)
        assert caught.value.exit_code == USAGE and "\n" not in str(caught.value)
    check_reach(make_plan(replace(long, seq_len=6288), find_target("avx512")), embed=True)
    check_reach(make_plan(tiny_llama, find_target("avx512")), embed=False)
    quantized = make_plan(replace(tiny_llama, weight_type="q8", group_size=32), find_target("avx512"))
    assert 10**9 < quantized.weights_bytes < REACH
    check_reach(quantized, embed=True)
