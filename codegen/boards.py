"""Says which boards a model fits, and what their memory allows: boards.toml and this machine, against a plan."""

from __future__ import annotations

import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codegen.describe import types_text
from codegen.memory import MB, memory_of, what_fits
from codegen.model import Model
from codegen.plan import make_plan
from codegen.targets import find_target, native_target

TABLE = Path(__file__).with_name("boards.toml")
MIB = 1 << 20
PROGRAM_SHARE = 0.85  # says how much of the memory a program may take where boards.toml does not: as on a stock Duo


@dataclass(frozen=True)
class Bandwidth:
    """Says how many GB a second a memory delivers, how that is known ("measured" or "peak"), and by whom."""

    gb_s: float
    how: str
    source: str


@dataclass(frozen=True)
class Board:
    """Holds what is known of a board: its target, MiB of memory that Linux has (0: unknown), MB of them for a program."""

    name: str
    target: str
    memory: float
    memory_source: str
    budget: int
    bandwidths: tuple[Bandwidth, ...]


@dataclass(frozen=True)
class Way:
    """Names a bake that a board has room for: the options it takes ("": none), the model with them, and its MB."""

    options: str
    model: Model
    needs: float


@dataclass(frozen=True)
class Verdict:
    """Says what a model would be on a board. `needs` is the MB that it takes as it is; `ways` are those that fit, first the
    model as it is; `rates` the tokens a second at which each of the board's bandwidths delivers the weights of the first
    way, or of the model as it is where none fits."""

    board: Board
    needs: float
    ways: tuple[Way, ...]
    rates: tuple[float, ...]

    @property
    def fits(self) -> bool:
        """Tells whether the model fits as it is."""
        return bool(self.ways) and not self.ways[0].options

    def rates_of(self, how: str) -> list[float]:
        return [rate for rate, width in zip(self.rates, self.board.bandwidths, strict=True) if width.how == how]


def read_boards(path: Path = TABLE) -> tuple[Board, ...]:
    """Returns the boards of the table, in its order."""
    boards = []
    for fields in tomllib.loads(path.read_text(encoding="utf-8"))["board"]:
        bandwidths = tuple(Bandwidth(**width) for width in fields.pop("bandwidth"))
        budget = fields.pop("budget", int(PROGRAM_SHARE * fields["memory"] * MIB / MB))
        boards.append(Board(**fields, budget=budget, bandwidths=bandwidths))
    return tuple(boards)


def this_machine() -> Board:
    """Describes this machine, whose memory the kernel knows and whose bandwidth is measured, which takes a moment."""
    memory = available = 0
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                memory, available = (int(rest.split()[0]), available) if name == "MemTotal" else (memory, int(rest.split()[0]))
    except (OSError, ValueError):
        pass
    gb_s = copy_rate(min(128 * MIB, available * 1024 // 8 or 16 * MIB))
    source = "copying with one thread, just now"
    return Board(
        name="this machine",
        target=native_target().name,
        memory=memory / 1024,
        memory_source="/proc/meminfo" if memory else "unknown here",
        budget=int(PROGRAM_SHARE * memory * 1024 / MB),
        bandwidths=(Bandwidth(gb_s, "measured", source),),
    )


def copy_rate(size: int) -> float:
    """Measures how many GB a second copying `size` bytes reads and writes: the best of three, once the pages are there."""
    source, copy = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        np.copyto(copy, source)
        best = min(best, time.perf_counter() - start)
    return 2 * size / best / 1e9


def judge(model: Model, board: Board) -> Verdict:
    """Plans the model for the board and says whether it fits, how it would, and how fast its memory is."""
    target = find_target(board.target)
    plan = make_plan(model, target)
    needs = memory_of(plan).total / MB
    ways: list[Way] = []
    if board.budget and needs <= board.budget:
        ways.append(Way("", model, needs))
    elif board.budget:
        ways += [Way(*way) for way in what_fits(model, target, board.budget * MB)]
    bytes_per_token = make_plan(ways[0].model, target).bytes_per_token if ways else plan.bytes_per_token
    return Verdict(board, needs, tuple(ways), tuple(1e9 * width.gb_s / bytes_per_token for width in board.bandwidths))


def facts(verdict: Verdict) -> dict[str, Any]:
    """Returns a verdict as JSON has it; null for what is unknown."""
    board = verdict.board
    return {
        "board": board.name,
        "target": board.target,
        "memory_mib": board.memory or None,
        "memory_source": board.memory_source,
        "budget_mb": board.budget or None,
        "needs_mb": round(verdict.needs, 1),
        "fits": verdict.fits if board.budget else None,
        "ways": [
            {
                "options": way.options,
                "weights": way.model.weight_type,
                "classifier": way.model.classifier_type,
                "kv": way.model.kv_type,
                "context": way.model.seq_len,
                "needs_mb": round(way.needs, 1),
            }
            for way in verdict.ways
        ],
        "bandwidths": [
            {"gb_s": round(width.gb_s, 2), "how": width.how, "source": width.source, "tokens_per_second": round(rate, 1)}
            for width, rate in zip(board.bandwidths, verdict.rates, strict=True)
        ],
    }


def table(verdicts: list[Verdict]) -> list[str]:
    """Makes the lines of a page: a row a board, then where its figures are from."""
    lines = [
        "boards; tokens a second are as many as the memory delivers the weights for, at a measured speed and at its peak:",
        "(arithmetic may be slower; what a cache holds, or a certificate spares, may be faster)",
        f"  {'board':39} {'kernels':12} {'room MB':>8} {'needs':>8} {'measured':>14} {'peak':>7}  fits",
    ]
    for verdict in verdicts:
        board = verdict.board
        room = f"{board.budget:,}" if board.budget else "?"
        measured, peak = (span(verdict.rates_of(how)) for how in ("measured", "peak"))
        lines.append(
            f"  {board.name:39} {board.target:12} {room:>8} {verdict.needs:8,.1f} {measured:>14} {peak:>7}  {how_it_fits(verdict)}"
        )
    lines += ["", "sources of the boards' memory, and of its speed:"]
    for verdict in verdicts:
        board = verdict.board
        memory = f"{board.memory:,.6g} MiB" if board.memory else "memory"
        lines.append(f"  {board.name}: {memory}, {board.memory_source}")
        lines += [f"    {width.gb_s:.3g} GB/s {width.how}: {width.source}" for width in board.bandwidths]
        lines += [] if board.bandwidths else ["    speed of its memory: unknown"]
    return lines


def how_it_fits(verdict: Verdict) -> str:
    """Says, for example, "as it is: q8, 256 positions" or "with -Dkv=f16 (22.9)"; "?" where the memory is unknown."""
    if not verdict.board.budget:
        return "?"
    if not verdict.ways:
        return "no"
    first = verdict.ways[0].model
    if verdict.fits:
        return f"as it is: {types_text(first)}, {first.seq_len:,} positions"
    return "with " + ", or ".join(f"{way.options} ({way.needs:,.1f})" for way in verdict.ways)


def span(rates: list[float]) -> str:
    """Shows the lowest and the highest of some rates in three digits, such as "55.5 to 1,850"; "?" for none."""
    ends = [f"{float(f'{rate:.3g}'):,g}" for rate in (min(rates), max(rates))] if rates else ["?"]
    return " to ".join(dict.fromkeys(ends))
