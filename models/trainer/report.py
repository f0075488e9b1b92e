"""Draws the loss curve of a training run."""

import math
from collections.abc import Sequence


def loss_curve(log: Sequence[dict[str, float]], title: str) -> str:
    """Makes an SVG of training and held-out loss (nats a token, logarithmic) over training tokens."""
    train = [(line["tokens"], line["loss"]) for line in log if "loss" in line]
    tokens_at = {line["step"]: line["tokens"] for line in log if "tokens" in line}
    held_out = [(tokens_at[line["step"]], line["held_out"]) for line in log
                if "held_out" in line and line["step"] in tokens_at]
    width, height, left, top, right, bottom = 720, 400, 60, 40, 20, 50
    last = train[-1][0]
    losses = [loss for _, loss in train + held_out]
    low, high = math.log(min(losses) * 0.95), math.log(max(losses) * 1.05)

    def point(tokens: float, loss: float) -> tuple[float, float]:
        x = left + (width - left - right) * tokens / last
        return x, top + (height - top - bottom) * (high - math.log(loss)) / (high - low)

    def line(points: Sequence[tuple[float, float]], color: str) -> str:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point(*one) for one in points))
        return f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="{path}"/>'

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>',
             f'<text x="{left}" y="24" font-size="15">{title}</text>']
    for loss in (0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 6):
        if low <= math.log(loss) <= high:
            y = point(0, loss)[1]
            parts += [f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>',
                      f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{loss:g}</text>']
    step = 10 ** math.floor(math.log10(last)) / (1 if last >= 3 * 10 ** math.floor(math.log10(last)) else 5)
    for mark in range(int(last / step) + 1):
        x = point(mark * step, losses[0])[0]
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">'
                     f'{mark * step / 1e6:g}M</text>')
    parts += [f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">training tokens</text>',
              f'<text x="16" y="{height / 2}" transform="rotate(-90 16 {height / 2})" text-anchor="middle">'
              'loss, nats a token</text>', line(train, "#4477aa"), line(held_out, "#cc3311"),
              f'<text x="{width - 160}" y="{top + 16}" fill="#4477aa">training</text>',
              f'<text x="{width - 160}" y="{top + 32}" fill="#cc3311">held out</text>', "</svg>"]
    return "\n".join(parts) + "\n"
