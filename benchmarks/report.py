"""Prints measurements: a page of text, and an SVG of tokens a second by model and of time by operation."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from benchmarks.measure import Spread


@dataclass(frozen=True)
class Row:
    """A program with a number of threads. Rates in tokens a second; `operations` in ms a run."""

    name: str
    threads: int
    decode: Spread
    prefill: Spread | None
    first_ms: Spread
    resident: int
    weight_bytes: int
    operations: dict[str, float]
    ratio: Spread | None = None


def spread(s: Spread | None, digits: int = 0) -> str:
    return "-" if s is None else f"{s.median:.{digits}f} ({s.smallest:.{digits}f} to {s.largest:.{digits}f})"


def text(rows: list[Row], kernels: dict[str, dict[str, dict[str, float]]], peer: str) -> str:
    """The page: a line a program and thread count, then a line a kernel."""
    lines = [
        f"{'program':26} {'threads':>7} {'decode tok/s':>24} {'prefill tok/s':>27} {'first token ms':>20} {'MB':>7}"
    ]
    for row in rows:
        lines.append(
            f"{row.name:26} {row.threads:7} {spread(row.decode):>24} {spread(row.prefill):>27} "
            f"{spread(row.first_ms, 1):>20} {row.resident / 1e6:7.1f}"
        )
        if row.weight_bytes:
            read = kernels.get(row.name, {}).get("read", {}).get("bytes_per_second", 0.0)
            rate = row.decode.median * row.weight_bytes
            share = f", {100 * rate / read:.0f} % of what one thread reads here" if read and row.threads == 1 else ""
            lines.append(f"{'':34} {rate / 1e9:.1f} GB/s of weights{share}")
        if row.ratio:
            lines.append(f"{'':34} {spread(row.ratio, 2)} times {peer}")
    for name, table in kernels.items():
        if not table:
            continue
        read = table["read"]["bytes_per_second"]
        took = table["read"]["real_time"] / 1e6
        lines += ["", f"{name}: reading its weights takes {took:.3f} ms, {read / 1e9:.1f} GB/s"]
        lines.append(f"  {'kernel / positions':28} {'ms':>10} {'GB/s':>8} {'of read':>8} {'ns a MAC':>10}")
        for kernel, values in table.items():
            if kernel != "read":
                rate = values["bytes_per_second"]
                lines.append(
                    f"  {kernel:28} {values['real_time'] / 1e6:10.5f} {rate / 1e9:8.1f} {100 * rate / read:7.0f}% "
                    f"{1e9 / values['macs']:10.5f}"
                )
    return "\n".join(lines) + "\n"


def svg(rows: list[Row]) -> str:
    """Two bar charts: decoding speed a program, and the share of each operation of its time."""
    width, bar, left = 900, 22, 260
    parts: list[str] = []
    y = 30
    fastest = max(row.decode.median for row in rows)
    parts.append(f'<text x="10" y="{y - 10}" font-weight="bold">decode, tokens a second</text>')
    for row in rows:
        length = (width - left - 110) * row.decode.median / fastest
        label = escape(f"{row.name}, {row.threads} thread{'s' if row.threads > 1 else ''}")
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{label}</text>')
        parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 4}" fill="#3b6ea5"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 15}">{row.decode.median:.0f}</text>')
        y += bar
    y += 40
    parts.append(f'<text x="10" y="{y - 10}" font-weight="bold">time by operation, one thread</text>')
    colours = ("#3b6ea5", "#6fa8dc", "#93c47d", "#f6b26b", "#c27ba0", "#8e7cc3", "#76a5af", "#e06666", "#999999")
    for row in (row for row in rows if row.operations and row.threads == 1):
        total = sum(row.operations.values())
        x = float(left)
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(row.name)}</text>')
        for i, (name, ms) in enumerate(sorted(row.operations.items(), key=lambda item: -item[1])):
            length = (width - left - 20) * ms / total
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{bar - 4}" fill="{colours[i % len(colours)]}">'
                f"<title>{escape(name)}: {100 * ms / total:.1f} %</title></rect>"
            )
            if length > 7 * len(name):
                parts.append(f'<text x="{x + 4:.1f}" y="{y + 14}" font-size="11" fill="white">{escape(name)}</text>')
            x += length
        y += bar
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 10}" font-family="sans-serif" '
        f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
