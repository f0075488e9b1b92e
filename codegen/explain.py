"""Says what a plan is, as a page of text or as JSON, and which boards it is for: tools/explain MODEL."""

from __future__ import annotations

import dataclasses
import json

from codegen import boards
from codegen.boards import Board
from codegen.describe import describe
from codegen.memory import PROGRAM_BYTES, memory_of
from codegen.plan import Plan
from codegen.templating import thousands as n


def explain(plan: Plan, budget: int = 0, on: tuple[Board, ...] = (), head_rows: int = 0) -> str:
    """Says what the model is, what its kernels are, where its weights lie, and what a token costs; memory in `budget` MB, 0
    being the target's; whether it fits each board of `on`. A token needs `head_rows` rows of the classifier, 0: all."""
    m = plan.model
    lines = [describe(m), f"target {plan.target.name}: {plan.target.about}", ""]
    lines += ["kernels, one a distinct shape:"]
    for kernel in plan.kernels:
        calls = sum(1 for s in plan.sections if s.matrix == kernel.matrix and s.tensor in kernel.uses)
        lines.append(
            f"  {kernel.name:24} {calls:3} x {n(kernel.matrix.macs):>11} MACs, {n(kernel.matrix.bytes):>11} bytes; "
            f"{kernel.tiles_text}; {', '.join(kernel.uses)}"
        )
    lines += ["", "packed weights, in the order in which a token reads them:", f"  {'offset':>12} {'bytes':>12}  tensor"]
    for section in plan.sections:
        layered = section.tensor in m.tensor_shapes() and m.tensor_shapes()[section.tensor][0]
        label = f"{section.tensor}[{section.layer}]" if layered else section.tensor
        lines.append(f"  {n(section.offset):>12} {n(section.bytes):>12}  {label}")
    budget = budget or plan.target.ram_budget
    lines += [
        "",
        "memory, in bytes:",
        f"  weights           {n(plan.weights_bytes):>14}",
        f"  key/value cache   {n(plan.kv_bytes):>14}  {m.kv_type}, {positions_text(plan)}",
        f"  activations       {n(plan.activation_bytes):>14}  batches of up to {plan.target.max_batch}",
        f"  program           {n(PROGRAM_BYTES):>14}  about",
        f"  together          {n(memory_of(plan).total):>14}{f'  of {budget} MB' if budget else ''}",
        "",
        f"a token: {n(plan.macs_per_token)} MACs with weights, {n(plan.bytes_per_token)} bytes of weights",
    ]
    if head_rows:
        lines += [
            f"  of the classifier's {n(m.vocab_size)} rows it needs {n(head_rows)}: the others were never trained, and are proved "
            "needless for most tokens"
        ]
    if on:
        lines += ["", *boards.table([boards.judge(m, board) for board in on])]
    return "\n".join(lines) + "\n"


def positions_text(plan: Plan) -> str:
    """Says how many positions the caches keep: "96 positions, of 2 layers, and 32 positions, of 5 with a window of 12"."""
    m = plan.model
    if not plan.ring:
        return f"{m.seq_len} positions"
    whole, (*_, ring) = sum(cache.layers for cache in plan.caches if not cache.window), plan.caches
    before = f"{m.seq_len} positions, of {whole} layer{'s' if whole > 1 else ''}, and " if whole else ""
    return f"{before}{ring.positions} positions, of {ring.layers} with a window of {m.window}"


def explain_json(plan: Plan, budget: int = 0, on: tuple[Board, ...] = (), head_rows: int = 0) -> str:
    """Gives the same figures as one JSON object."""
    memory = memory_of(plan)
    return json.dumps(
        {
            "model": dataclasses.asdict(plan.model),
            "target": plan.target.name,
            "kernels": [
                {
                    "name": kernel.name,
                    "tensors": list(kernel.uses),
                    "macs": kernel.matrix.macs,
                    "bytes": kernel.matrix.bytes,
                }
                for kernel in plan.kernels
            ],
            "memory": {**dataclasses.asdict(memory), "program": PROGRAM_BYTES, "total": memory.total},
            "budget_mb": budget or plan.target.ram_budget or None,
            "macs_per_token": plan.macs_per_token,
            "bytes_per_token": plan.bytes_per_token,
            "classifier_rows": head_rows or plan.model.vocab_size,
            "boards": [boards.facts(boards.judge(plan.model, board)) for board in on],
        },
        indent=2,
    ) + "\n"
