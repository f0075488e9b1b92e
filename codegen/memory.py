"""Says whether a bake fits the board: the memory of a plan against a budget, and what would fit when it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from codegen.errors import USAGE, BakeError
from codegen.model import Model
from codegen.plan import Plan, make_plan
from codegen.targets import Target
from codegen.weight_types import WEIGHT_TYPES
from codegen.weights import retype

MB = 1_000_000
# Counts code, C library, tokenizer, sampler and stack: about 2 MB with a vocabulary of 32000 (size of the static Duo binary).
PROGRAM_BYTES = 2 * MB
# Bounds a program: code reaches data, zeroed memory included, at most 2 GB away (x86-64's small code model, RISC-V's medlow and
# medany); 64 MB are left for what else there is, the scratch memory of further threads among it.
REACH = 2**31 - 64 * MB
SHORTEST_CONTEXT = 32  # bounds contexts: a shorter one is not worth proposing


@dataclass(frozen=True)
class Memory:
    """Counts what a baked model keeps in memory, in bytes."""

    weights: int
    kv: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.activations + PROGRAM_BYTES


def memory_of(plan: Plan) -> Memory:
    return Memory(plan.weights_bytes, plan.kv_bytes, plan.activation_bytes)


def cut_context(model: Model, context: int) -> Model:
    """Returns the model with `context` positions, 0 being its own; BakeError (usage) when it was not trained for as many."""
    if not 0 <= context <= model.seq_len:
        raise BakeError(f"-Dcontext={context}: expected 1 to {model.seq_len}, the positions {model.name} has", USAGE)
    return replace(model, seq_len=context or model.seq_len)


def check_budget(plan: Plan, budget: int) -> None:
    """Raises BakeError (usage), with the numbers and with what would fit, when a plan needs more than `budget` MB; 0 is
    the target's own budget, if it has one."""
    limit = (budget or plan.target.ram_budget) * MB
    memory = memory_of(plan)
    if not limit or memory.total <= limit:
        return
    proposals = [f"{options} ({total:.1f} MB)" for options, _, total in what_fits(plan.model, plan.target, limit)]
    fitting = ", ".join(proposals) or "no option"
    raise BakeError(
        f"{plan.model.name}: needs {_mb(memory.total)} MB (weights {_mb(memory.weights)}, key/value cache "
        f"{_mb(memory.kv)}, activations {_mb(memory.activations)}, program {_mb(PROGRAM_BYTES)}), expected at most "
        f"{limit // MB} MB for {plan.target.name}; would fit: {fitting}; -Dram_budget=MB when there is more",
        USAGE,
    )


def check_reach(plan: Plan, embed: bool) -> None:
    """Raises BakeError (usage) when a program could not be linked, as its data would be out of its code's reach; the
    weights count when they are inside (`embed`)."""
    memory = memory_of(plan)
    weights = memory.weights if embed else 0
    if _reached(plan, embed) > REACH:
        raise BakeError(
            f"{plan.model.name}: a program holds at most {_mb(REACH)} MB, found weights {_mb(weights)}, key/value cache "
            f"{_mb(memory.kv)}, activations {_mb(memory.activations)}: take "
            + ("-Dembed=false (weights in a file) or smaller weights" if weights > memory.kv else _shorter(plan, embed)),
            USAGE,
        )


def _reached(plan: Plan, embed: bool) -> int:
    """Counts the bytes that the code of a program has to reach."""
    memory = memory_of(plan)
    return (memory.weights if embed else 0) + memory.kv + memory.activations


def _shorter(plan: Plan, embed: bool) -> str:
    """Finds the option for the longest context that code reaches, if there is one worth having."""
    context = _longest_context(plan.model, plan.target, lambda model: _reached(make_plan(model, plan.target), embed) <= REACH)
    return f"-Dcontext={context} or fewer positions" if context else "smaller weights, or -Dkv=f16"


def _mb(size: int) -> str:
    return f"{size / MB:.1f}"


def what_fits(model: Model, target: Target, limit: int) -> Iterator[tuple[str, Model, float]]:
    """Finds the options, alone or together, with which a model takes at most `limit` bytes; the model with them, and its MB."""
    variants = [("", model)]
    for weight_type in (name for name, its in WEIGHT_TYPES.items() if its.quantized):
        with contextlib.suppress(BakeError):  # q4 does not fit every row length
            smaller = retype(model, weight_type)
            if _total(smaller, target) < _total(model, target):
                variants.append((f"-Dweights={weight_type}", smaller))
    for option, variant in variants:
        smaller_cache = (f"{option} -Dkv=f16".lstrip(), replace(variant, kv_type="f16"))
        for options, candidate in dict.fromkeys([(option, variant), smaller_cache]):
            if candidate != model and (total := _total(candidate, target)) <= limit:
                yield options, candidate, total / MB
                break
            if context := _longest_context(candidate, target, lambda model: _total(model, target) <= limit):
                shorter = replace(candidate, seq_len=context)
                yield f"{options} -Dcontext={context}".lstrip(), shorter, _total(shorter, target) / MB


def _total(model: Model, target: Target) -> int:
    return memory_of(make_plan(model, target)).total


def _longest_context(model: Model, target: Target, fits: Callable[[Model], bool]) -> int:
    """Finds the longest context with which a model fits, in whole blocks of positions; 0 when none worth having does."""
    block = target.key_block
    low, high = 0, model.seq_len // block
    while low < high:
        middle = (low + high + 1) // 2
        if fits(replace(model, seq_len=middle * block)):
            low = middle
        else:
            high = middle - 1
    return low * block if low * block >= SHORTEST_CONTEXT else 0
