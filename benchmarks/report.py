"""Prints measurements: a page of text, and an SVG of tokens a second against model size and of time by operation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from benchmarks.measure import Kernel, Spread
from benchmarks.shapes import Building


@dataclass(frozen=True)
class Row:
    """A program with a number of threads. Rates in tokens a second; `operations` in ms a run; `read` is what as many
    threads read in bytes a second from a buffer as large as the weights, 0 where that was not measured."""

    name: str
    threads: int
    decode: Spread
    prefill: Spread | None
    first_ms: Spread
    resident: int
    weight_bytes: int
    operations: dict[str, float]
    read: float = 0.0
    peer: Spread | None = None
    ratio: Spread | None = None


def spread(s: Spread | None, digits: int = 0) -> str:
    return "-" if s is None else f"{s.median:.{digits}f} ({s.smallest:.{digits}f} to {s.largest:.{digits}f})"


def threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def text(
    rows: list[Row], kernels: dict[str, dict[str, Kernel]], peer: str = "", buildings: dict[str, Building] | None = None
) -> str:
    """The page: a line a program and thread count, what building took, then a line a kernel."""
    lines = [
        f"{'program':26} {'threads':>7} {'decode tok/s':>24} {'prefill tok/s':>27} {'first token ms':>20} {'MB':>7}"
    ]
    for row in rows:
        lines.append(
            f"{row.name:26} {row.threads:7} {spread(row.decode):>24} {spread(row.prefill):>27} "
            f"{spread(row.first_ms, 1):>20} {row.resident / 1e6:7.1f}"
        )
        if row.weight_bytes:
            rate = row.decode.median * row.weight_bytes
            share = f", {100 * rate / row.read:.0f} % of what {threads(row.threads)} can read" if row.read else ""
            lines.append(f"{'':34} {rate / 1e9:.1f} GB/s of weights{share}")
        if row.ratio:
            lines.append(f"{'':34} {spread(row.ratio, 2)} times the {spread(row.peer)} of {peer}")
    if buildings:
        lines += ["", f"{'building':26} {'generate and pack s':>20} {'compile s':>10} {'program MB':>11}"]
        for name, building in buildings.items():
            lines.append(
                f"{name:26} {building.generate_s:20.1f} {building.compile_s:10.1f} {building.program_bytes / 1e6:11.1f}"
            )
    for name, table in kernels.items():
        if not table:
            continue
        lines += ["", f"{name:30} {'ms, median of 5':>30} {'GB/s':>8} {'of read':>8} {'ns a MAC':>10}"]
        read = table["read/1"].bandwidth
        for kernel, figures in table.items():
            per_mac = f"{figures.ns.median / figures.macs:10.5f}" if figures.macs else ""
            lines.append(
                f"  {kernel:28} {spread(figures.ns.times(1e-6), 5):>30} {figures.bandwidth / 1e9:8.1f} "
                f"{100 * figures.bandwidth / read:7.0f}% {per_mac}".rstrip()
            )
    return "\n".join(lines) + "\n"


WIDTH, BAR, LEFT = 900, 22, 260
COLOURS = ("#3b6ea5", "#6fa8dc", "#93c47d", "#f6b26b", "#c27ba0", "#8e7cc3", "#76a5af", "#e06666", "#999999")


def speed_against_size(rows: list[Row], top: float) -> tuple[list[str], float]:
    """Tokens a second against bytes of weights a token, both in powers of ten, and what reading those bytes allows as a
    ring; the drawing's parts and its lower end."""
    height = 300.0
    sizes = [row.weight_bytes / 1e6 for row in rows]
    rates = [row.decode.median for row in rows] + [row.read / row.weight_bytes for row in rows if row.read]
    decades = [(math.floor(math.log10(min(v))), math.floor(math.log10(max(v))) + 1) for v in (sizes, rates)]
    (first, last), (lowest, highest) = decades

    def x(megabytes: float) -> float:
        return 80 + (WIDTH - 300) * (math.log10(megabytes) - first) / (last - first)

    def y(rate: float) -> float:
        return top + height * (highest - math.log10(rate)) / (highest - lowest)

    title = "decode, tokens a second, against MB of weights a token (ring: what reading them allows)"
    parts = [f'<text x="10" y="{top - 10}" font-weight="bold">{title}</text>']
    for power in range(first, last + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {top}v{height}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + height + 16}" text-anchor="middle">{10.0**power:g}</text>')
    for power in range(lowest, highest + 1):
        at = y(10.0**power)
        parts.append(f'<path d="M80 {at:.1f}h{WIDTH - 300}" stroke="#ddd"/>')
        parts.append(f'<text x="72" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    counts = sorted({row.threads for row in rows})
    for row in rows:
        colour = COLOURS[counts.index(row.threads) % len(COLOURS)]
        at, rate = x(row.weight_bytes / 1e6), y(row.decode.median)
        ends = (y(row.decode.smallest), y(row.decode.largest))
        parts.append(f'<path d="M{at:.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{colour}"/>')
        parts.append(
            f'<circle cx="{at:.1f}" cy="{rate:.1f}" r="4" fill="{colour}"><title>{escape(row.name)}, '
            f"{threads(row.threads)}: {spread(row.decode)}</title></circle>"
        )
        if row.read:
            allowed = y(row.read / row.weight_bytes)
            parts.append(f'<circle cx="{at:.1f}" cy="{allowed:.1f}" r="4" fill="none" stroke="{colour}"/>')
        if row.threads == counts[0]:
            parts.append(f'<text x="{at + 8:.1f}" y="{rate + 14:.1f}" font-size="11">{escape(row.name)}</text>')
    for i, number in enumerate(counts):
        at = top + 20 + BAR * i
        parts.append(f'<circle cx="{WIDTH - 180}" cy="{at - 4}" r="4" fill="{COLOURS[i % len(COLOURS)]}"/>')
        parts.append(f'<text x="{WIDTH - 168}" y="{at}">{threads(number)}</text>')
    return parts, top + height + 30


def time_by_operation(rows: list[Row], top: float) -> tuple[list[str], float]:
    """A bar a program, an operation a part of it."""
    parts = [f'<text x="10" y="{top - 10}" font-weight="bold">time by operation, one thread</text>']
    for row in (row for row in rows if row.operations and row.threads == 1):
        total = sum(row.operations.values())
        x = float(LEFT)
        parts.append(f'<text x="{LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(row.name)}</text>')
        for i, (name, ms) in enumerate(sorted(row.operations.items(), key=lambda item: -item[1])):
            length = (WIDTH - LEFT - 20) * ms / total
            parts.append(
                f'<rect x="{x:.1f}" y="{top}" width="{length:.1f}" height="{BAR - 4}" fill="{COLOURS[i % len(COLOURS)]}">'
                f"<title>{escape(name)}: {100 * ms / total:.1f} %</title></rect>"
            )
            if length > 7 * len(name):
                parts.append(f'<text x="{x + 4:.1f}" y="{top + 14}" font-size="11" fill="white">{escape(name)}</text>')
            x += length
        top += BAR
    return parts, top


def svg(rows: list[Row]) -> str:
    """Both drawings, one below the other; the first is of the programs that tell how large they are."""
    parts: list[str] = []
    y = 30.0
    sized = [row for row in rows if row.weight_bytes]
    for draw, drawn in ((speed_against_size, sized), (time_by_operation, rows)):
        if drawn:
            more, y = draw(drawn, y)
            parts += more
            y += 40
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0f}" font-family="sans-serif" '
        f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
