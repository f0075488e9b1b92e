"""Prints measurements: a page of text, and an SVG of tokens a second against model size and of time by operation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from benchmarks.measure import Kernel, Spread
from benchmarks.shapes import Building


@dataclass(frozen=True)
class Row:
    """Holds a program with a number of threads. Rates in tokens a second; `operations` in ms a run; `read` is what as many
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


MEASURED_TWICE = 110  # percent; allows for the noise of two measurements


def spread(s: Spread | None, digits: int = 0) -> str:
    return "-" if s is None else f"{s.median:.{digits}f} ({s.smallest:.{digits}f} to {s.largest:.{digits}f})"


def threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def share(rate: float, read: float) -> str:
    """Shows a rate as a share of what plain reading reaches; "cache" for a rate that no memory gives, that of bytes which lie in
    a cache while those that were read did not."""
    percent = 100 * rate / read
    return f"{percent:.0f} %" if percent <= MEASURED_TWICE else "cache"


def text(
    rows: list[Row], kernels: dict[str, dict[str, Kernel]], peer: str = "", buildings: dict[str, Building] | None = None
) -> str:
    """Writes the page: a line a program and thread count, what building took, then a line a kernel."""
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
            of_read = share(rate, row.read) if row.read else ""
            beside = {"": "", "cache": ", from a cache"}.get(of_read, f", {of_read} of what {threads(row.threads)} can read")
            lines.append(f"{'':34} {rate / 1e9:.1f} GB/s of weights{beside}")
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
                f"{share(figures.bandwidth, read):>8} {per_mac}".rstrip()
            )
    return "\n".join(lines) + "\n"


WIDTH, BAR, LEFT, RIGHT = 900, 24, 150, 190
BLUES = ("#2b5482", "#3b6ea5", "#5b8cc0", "#7fa8d1", "#a3c2e0")  # colour the matrix products, by their time
COLOURS = ("#6a994e", "#f2a65a", "#b56576", "#8e7cc3", "#76a5af", "#e0c341", "#a47149", "#e06666", "#c27ba0", "#999999")
BY_THREADS = ("#3b6ea5", "#d1495b", "#6a994e", "#8e7cc3")


def ticks(values: list[float]) -> list[float]:
    """Lists 1, 2 and 5 times powers of ten, from the last below all values to the first above them."""
    lowest, highest = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    all_ticks = [digit * 10.0**power for power in range(lowest, highest + 1) for digit in (1, 2, 5)]
    first = max(i for i, tick in enumerate(all_ticks) if tick <= min(values))
    last = next(i for i, tick in enumerate(all_ticks) if tick >= max(values) and i > first)
    return all_ticks[first : last + 1]


def words(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more and " " + more}>{escape(text)}</text>'


def speed_against_size(rows: list[Row], top: float) -> tuple[list[str], float]:
    """Draws tokens a second against bytes of weights a token, both logarithmic, and what reading those bytes allows as a ring;
    the drawing's parts and its lower end."""
    height, left, width = 320.0, 80.0, WIDTH - 80.0 - RIGHT
    across = ticks([row.weight_bytes / 1e6 for row in rows])
    up = ticks(
        [end for row in rows for end in (row.decode.smallest, row.decode.largest)]
        + [row.read / row.weight_bytes for row in rows if row.read]
    )

    def x(megabytes: float) -> float:
        return left + width * math.log(megabytes / across[0]) / math.log(across[-1] / across[0])

    def y(rate: float) -> float:
        return top + height * math.log(up[-1] / rate) / math.log(up[-1] / up[0])

    parts = [words(10, top - 14, "decode, tokens a second (ring: what reading the weights allows)", 'font-weight="bold"')]
    for tick in across:
        parts.append(f'<path d="M{x(tick):.1f} {top}v{height}" stroke="#ddd"/>')
        parts.append(words(x(tick), top + height + 16, f"{tick:,g}", 'text-anchor="middle"'))
    for tick in up:
        parts.append(f'<path d="M{left} {y(tick):.1f}h{width}" stroke="#ddd"/>')
        parts.append(words(left - 8, y(tick) + 4, f"{tick:,.10g}", 'text-anchor="end"'))
    parts.append(words(left + width / 2, top + height + 36, "MB of weights a token", 'text-anchor="middle"'))
    counts = sorted({row.threads for row in rows})
    for row in rows:
        colour = BY_THREADS[counts.index(row.threads) % len(BY_THREADS)]
        at, rate = x(row.weight_bytes / 1e6), y(row.decode.median)
        ends = (y(row.decode.smallest), y(row.decode.largest))
        parts.append(f'<path d="M{at:.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{colour}"/>')
        parts.append(
            f'<circle cx="{at:.1f}" cy="{rate:.1f}" r="4" fill="{colour}"><title>{escape(row.name)}, '
            f"{threads(row.threads)}: {spread(row.decode)}</title></circle>"
        )
        if row.read:
            allowed = y(row.read / row.weight_bytes)
            parts.append(f'<circle cx="{at:.1f}" cy="{allowed:.1f}" r="6" fill="none" stroke="{colour}"/>')
        if row.threads == counts[0]:
            parts.append(words(at - 8, rate + 14, row.name, 'font-size="11" text-anchor="end"'))
    for i, number in enumerate(counts):
        at = top + 20 + BAR * i
        parts.append(f'<circle cx="{WIDTH - RIGHT + 20}" cy="{at - 4}" r="4" fill="{BY_THREADS[i % len(BY_THREADS)]}"/>')
        parts.append(words(WIDTH - RIGHT + 32, at, threads(number)))
    return parts, top + height + 46


def time_by_operation(rows: list[Row], top: float) -> tuple[list[str], float]:
    """Draws a bar a program, an operation a part of it: the matrix products in blue, the rest in a colour each."""
    parts = [words(10, top - 14, "time by operation, one thread", 'font-weight="bold"')]
    drawn = [row for row in rows if row.operations and row.threads == 1]
    totals: dict[str, float] = {}
    for row in drawn:
        for name, ms in row.operations.items():
            if ms > 0 and not name.startswith("matmul_"):
                totals[name] = totals.get(name, 0.0) + ms / sum(row.operations.values())
    others = dict(zip(sorted(totals, key=lambda name: -totals[name]), COLOURS * len(totals), strict=False))
    for row in drawn:
        x, total = float(LEFT), sum(row.operations.values())
        parts.append(words(LEFT - 8, top + 16, row.name, 'text-anchor="end"'))
        products = sorted((n for n in row.operations if n.startswith("matmul_")), key=lambda n: -row.operations[n])
        for name, colour in [*zip(products, BLUES * len(products), strict=False), *others.items()]:
            share = row.operations.get(name, 0.0) / total
            length = (WIDTH - LEFT - 20) * share
            label = name.rpartition("_")[2] if name in products else name
            parts.append(
                f'<rect x="{x:.1f}" y="{top}" width="{length:.1f}" height="{BAR - 4}" fill="{colour}">'
                f"<title>{escape(name)}: {100 * share:.1f} %</title></rect>"
            )
            if length > 6 * len(label) + 8:
                parts.append(words(x + 4, top + 15, label, 'font-size="11" fill="white"'))
            x += length
        top += BAR
    x = float(LEFT)
    for name, colour in {"matrix products": BLUES[1], **others}.items():
        if x + 7 * len(name) + 30 > WIDTH:
            x, top = float(LEFT), top + 20
        parts.append(f'<rect x="{x:.1f}" y="{top + 8}" width="12" height="12" fill="{colour}"/>')
        parts.append(words(x + 17, top + 18, name, 'font-size="11"'))
        x += 7 * len(name) + 36
    return parts, top + 28


def svg(rows: list[Row]) -> str:
    """Puts both drawings together, one below the other; the first is of the programs that tell how large they are."""
    parts: list[str] = []
    y = 36.0
    sized = [row for row in rows if row.weight_bytes]
    for draw, drawn in ((speed_against_size, sized), (time_by_operation, rows)):
        if drawn:
            more, y = draw(drawn, y)
            parts += more
            y += 30
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y - 20:.0f}" font-family="sans-serif" '
        f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
