"""Every load and store of this build's kernels, in an emulator: a call touches what its step of the schedule names, weights from
end to end, and nothing else.

STORYBAKE_BIN and STORYBAKE_BAKE name a program for RISC-V or Arm and the bake.json that it was made of. Where buffers and sections
lie is what the plan says, beginning at the program's own symbols; QEMU's plugin tools/simulator/audit.c looks at each access.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import codegen.__main__
from codegen.plan import ALIGN, Plan, round_up
from codegen.schedule import Step
from tools.simulator.count import counter, machine_of
from tools.simulator.simulate import AUDIT, Simulator, binutil

# What is run: each position by itself, with all logits; and a prompt in a batch, then tokens that are drawn, guesses among them,
# to the end of the context where it has no more than MOST positions.
RUNS = (
    ("-t", "0", "-n", "6", "--logits", "/dev/null"),
    ("-t", "1", "-s", "7", "-n", "{most}", "--ignore-eos", "-i", "A cat and a dog", "--draft", "always"),
)
MOST = 64
MAP = ("--load", "map", "--threads", "1")  # the weights are read where they were linked
BEHIND_X = 16  # bytes behind a vector of float32 that RISC-V's products load before they know that there are none

Span = tuple[int, int]  # addresses


@dataclass(frozen=True)
class Access:
    """What the loads, or the stores, of a call touch of a region."""

    kind: str
    region: str
    first: int
    last: int
    bytes: int
    misaligned: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.region} at {self.first:#x} to {self.last:#x}"


@dataclass(frozen=True)
class Call:
    kernel: str
    accesses: tuple[Access, ...]


def plan_of(bake: str, folder: Path) -> Plan:
    """The plan that the generator makes for the code of a bake."""
    plans: list[Plan] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codegen.__main__, "emit", lambda plan, folder: plans.append(plan))
        assert codegen.__main__.main(["code", "--bake", bake, "--output", str(folder)]) == 0
    return plans[0]


def members(at: int, sizes: Iterable[tuple[str, int]]) -> Iterator[tuple[str, Span]]:
    """The members of a struct, each at a multiple of ALIGN."""
    for name, size in sizes:
        yield name, (at, at + size)
        at = round_up(at + size, ALIGN)


def symbols(program: str) -> dict[str, Span]:
    """What a program has, by its name in C++."""
    lines = re.findall(r"^([0-9a-f]+) (?:([0-9a-f]+) )?\w (.+)$", binutil("nm", "-SC", "--defined-only", program), re.MULTILINE)
    return {name: (int(at, 16), int(at, 16) + int(size or "0", 16)) for at, size, name in lines}


def regions_of(plan: Plan, program: str) -> dict[str, Span]:
    """The buffers and sections of a program by the names that steps have for them, and its constants."""
    known = symbols(program)
    state, scratch = (known[f"storybake::(anonymous namespace)::{name}"] for name in ("state", "scratch"))
    caches = {
        f"s.{which}_{cache.name}": (cache.layers, plan.model.cached_bytes * elements)
        for cache in plan.caches for which, elements in zip(("key", "value"), cache.elements, strict=True)
    }
    sizes = [(name, layers * size) for name, (layers, size) in caches.items()]
    shared = dict(members(state[0], [(f"s.{b.name}", b.bytes) for b in plan.state_buffers] + sizes))
    assert round_up(max(end for _, end in shared.values()), ALIGN) == state[1], "the plan's State is another one than the program's"
    for cache, (layers, step) in caches.items():
        begin, _ = shared.pop(cache)
        shared |= {f"{cache}[{layer}]": (begin + layer * step, begin + (layer + 1) * step) for layer in range(layers)}
    own = [(f"own.{b.name}", b.bytes) for b in plan.scratch_buffers] + [(f"own.xq.{b.name}", b.bytes) for b in plan.quantized_buffers]
    kept = dict(members(scratch[0], own))
    own_bytes = round_up(max(end for _, end in kept.values()) - scratch[0] + 4 * plan.model.half_cache, ALIGN)
    assert own_bytes * plan.target.max_threads == scratch[1] - scratch[0], "the plan's Scratch is another one than the program's"
    weights, tokenizer = known["storybake_weights"][0], known["storybake_tokenizer"][0]
    assert weights % ALIGN == 0 and weights + plan.weights_bytes <= tokenizer
    sections = {section_name(s.tensor, s.layer): (weights + s.offset, weights + s.offset + s.bytes) for s in plan.sections}
    ends = [weights, *(end for _, end in sections.values())]
    begins = [*(begin for begin, _ in sections.values()), tokenizer]
    padding = {f"padding.{number}": gap for number, gap in enumerate(zip(ends, begins)) if gap[0] < gap[1]}
    found = re.findall(r" (\.rodata|\.got(?:\.plt)?) +\w+ +(\w+) \w+ (\w+) ", binutil("readelf", "-SW", program))
    constants = {f"constants{name}": (int(at, 16), int(at, 16) + int(size, 16)) for name, at, size in found}
    begin, end = constants.pop("constants.rodata")
    assert begin <= weights < tokenizer < end
    constants |= {"constants.before": (begin, weights), "constants.behind": (tokenizer, end)}
    return shared | kept | sections | padding | constants


def section_name(tensor: str, layer: int) -> str:
    return f"w.{tensor}[{layer}]"


def functions_of(program: str) -> str:
    """The kernels by their names, and all other functions of the project, which are not watched."""
    lines = []
    for name, (begin, end) in symbols(program).items():
        kernel = re.match(r"storybake::baked::(\w+)\(", name)
        if begin < end and name.startswith("storybake::") and not name.startswith("storybake::baked::("):
            watched = kernel and kernel[1] != "has_vectors"
            lines.append(f"{begin:x} {end - begin:x} {kernel[1] if watched and kernel else '-other'}\n")
    return "".join(lines)


def calls_of(report: str) -> list[Call]:
    """The calls of a report."""
    calls = []
    for text in report.split("call ")[1:]:
        kernel, *lines = text.splitlines()
        touched = [line.split() for line in lines]
        calls.append(Call(kernel, tuple(Access(k, r, int(a, 16), int(b, 16), int(n), int(m)) for k, r, a, b, n, m in touched)))
    return calls


@dataclass(frozen=True)
class Audit:
    """A build's program and what the plan says of it."""

    plan: Plan
    program: str
    simulator: Simulator
    regions: dict[str, Span]

    def calls(self, *words: str, told: Callable[[Span], Span] = lambda span: span) -> list[Call]:
        """The calls of a run, the plugin being `told` of other regions."""
        words = tuple(word.format(most=min(self.plan.model.seq_len, MOST)) for word in words)
        lines = [f"{begin:x} {end:x} {name}\n" for name, span in self.regions.items() for begin, end in [told(span)]]
        report = self.simulator.report([], [self.program, *MAP, *words], functions=functions_of(self.program), regions="".join(lines))
        return calls_of(report)

    def passes(self, calls: list[Call]) -> Iterator[list[tuple[Step, int, Call]]]:
        """The steps of each forward pass with their layers and calls, and by itself the tail of a classifier."""
        layers = self.plan.schedule.layers
        body = [(self.plan.schedule.embed, 0)] + [(step, number) for number, layer in enumerate(layers) for step in layer.steps]
        end = [(step, 0) for step in self.plan.schedule.classifier.steps]
        kernels = [call for call in calls if call.kernel not in ("scan", "exponentials")]
        while kernels:
            names = [call.kernel for call in kernels]
            for steps in (body + end, body, end[-1:]):
                if names[: len(steps)] == [self.plan.kernel_name(step) for step, _ in steps]:
                    yield [(step, layer, call) for (step, layer), call in zip(steps, kernels)]
                    kernels = kernels[len(steps) :]
                    break
            else:
                pytest.fail(f"expected the steps of a forward pass, found {' '.join(names[:50])}")

    def section(self, step: Step, layer: int) -> str:
        """The section that a step takes its weights from; empty for none."""
        return section_name(step.weight, layer if self.plan.model.has_layers(step.weight) else 0) if step.weight else ""

    def named(self, operand: str) -> set[str]:
        """The regions of an operand; ids of tokens are the caller's."""
        name = operand.split(" ")[0]
        return {"outside"} if name in ("rows", "tokens") else {r for r in self.regions if r == name or r.startswith(f"{name}.")}

    def behind(self, step: Step, layer: int) -> list[Span]:
        """What may be loaded, and dropped, behind a section, up to where the next may begin; by a product of RISC-V's more than
        that, and behind its vector."""
        if not step.weight:
            return []
        end = self.regions[self.section(step, layer)][1]
        if not self.plan.target.over_read or step.op != "matmul":
            return [(end, round_up(end, ALIGN))]
        vectors = [self.regions[step.x][1]] if step.x != "own.xq" else []
        return [(end, end + self.plan.target.over_read), *((last, last + BEHIND_X) for last in vectors)]

    def strays(self, calls: list[Call]) -> list[str]:
        """What a call touches that its step does not name."""
        found = []
        for one in self.passes(calls):
            for step, layer, call in one:
                stores = set().union(*(self.named(out) for out in step.outs)) | ({"own.att"} if step.op == "attention" else set())
                loads = set().union(*(self.named(operand) for operand in step.operands)) | {self.section(step, layer)}
                for access in call.accesses:
                    fixed = access.region == "stack" or (access.kind == "load" and access.region.startswith("constants"))
                    near = access.kind == "load" and any(b <= access.first and access.last <= e for b, e in self.behind(step, layer))
                    ids = access.region != "outside" or access.last - access.first <= 4 * self.plan.target.max_batch
                    if not (fixed or near or (ids and access.region in (loads if access.kind == "load" else stores))):
                        found.append(f"layer {layer}, {call.kernel}: {access}")
        return found


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    program, bake = os.environ["STORYBAKE_BIN"], os.environ["STORYBAKE_BAKE"]
    plan = plan_of(bake, tmp_path_factory.mktemp("code"))
    simulator = counter(machine_of(program), plan.target.vlen or 128, AUDIT)
    return Audit(plan, program, simulator, regions_of(plan, program))


@pytest.fixture(scope="module", params=RUNS, ids=["alone", "batch"])
def calls(request: pytest.FixtureRequest, audit: Audit) -> list[Call]:
    return audit.calls(*request.param)


def test_no_access_strays(audit: Audit, calls: list[Call]) -> None:
    assert len(calls) > 10 * len(audit.plan.schedule.layers)
    assert audit.strays(calls) == []


def test_what_a_step_names_is_touched_from_its_beginning(audit: Audit, calls: list[Call]) -> None:
    """Weights to their end as well: a plugin that sees a part of the accesses alone would find no stray either."""
    for one in audit.passes(calls):
        for step, layer, call in one:
            touched = {(access.kind, access.region): access for access in call.accesses}
            for out in step.outs:
                stored = [access for access in call.accesses if access.kind == "store" and access.region in audit.named(out)]
                assert stored, f"{call.kernel} stores nothing in {out}"
            section = audit.section(step, layer)
            if section and step.op not in ("embed", "rope") and step.weight != "wcls":
                begin, end = audit.regions[section]
                read = touched[("load", section)]
                assert (read.first, read.last) == (begin, end) and read.bytes >= end - begin, f"layer {layer}, {call.kernel}"


def test_the_classifier_is_read_whole(audit: Audit) -> None:
    begin, end = audit.regions[section_name("wcls", 0)]
    for one in audit.passes(audit.calls(*RUNS[0])):
        product = next(call for step, _, call in reversed(one) if step.weight == "wcls")
        assert [(access.first, access.last) for access in product.accesses if access.region == "w.wcls[0]"] == [(begin, end)]


def test_accesses_are_aligned(audit: Audit, calls: list[Call]) -> None:
    """At a multiple of their size: all of RISC-V's, whose vectors may trap; Arm's but for weights in groups of an odd length."""
    found = {f"{call.kernel}: {access}" for call in calls for access in call.accesses if access.misaligned}
    assert not [one for one in found if audit.plan.target.vlen or "load of w." not in one]


def test_what_asks_for_logits_reads_nothing_else(audit: Audit, calls: list[Call]) -> None:
    """The scan, and the exponentials, which go into a buffer of the sampler's; what they are of may lie in another of its."""
    for call in calls:
        for access in call.accesses if call.kernel in ("scan", "exponentials") else ():
            fixed = access.region == "stack" or (access.kind == "load" and access.region.startswith("constants"))
            logits = access.kind == "load" and access.region in ("s.logits", "s.ordered")
            own = call.kernel == "exponentials" and access.region == "outside"
            in_one = access.kind == "load" or access.last - access.first <= 4 * audit.plan.model.vocab_size
            assert fixed or logits or (own and in_one), f"{call.kernel}: {access}"


def test_a_byte_too_many_is_seen(audit: Audit) -> None:
    """Were each buffer and section a byte shorter in front, every kernel would stray; behind, every product."""
    calls = audit.calls(*RUNS[0], told=lambda span: (span[0] + 1, span[1]))
    strays = "\n".join(audit.strays(calls))
    assert not [call for call in calls if call.kernel != "scan" and f", {call.kernel}: " not in strays]
    strays = "\n".join(audit.strays(audit.calls(*RUNS[0], told=lambda span: (span[0], span[1] - 1))))
    assert not [kernel.name for kernel in audit.plan.kernels if f", {kernel.name}: " not in strays]
