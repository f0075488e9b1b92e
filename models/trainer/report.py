"""What a training run leaves behind: shipped files, loss curve, and the figures for the model card."""

import math
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

# One seed a line of the model card: a third without a prompt, the others asking for something.
PROMPTS = ("", "Tell me a story about a dragon.", "Tell me a story about a robot and a kitten.",
           "", "Tell me a story about sharing.", "Tell me a story about a girl named Mia.",
           "", "Tell me a story about a rainy day.", "Tell me a story about a whale.",
           "", "Tell me a story about a kite.", "Tell me a story about a princess.",
           "", "Tell me a story about a train.", "Tell me a story about a rabbit and a bear.",
           "", "Tell me a story about the moon.", "Tell me a story about a birthday.",
           "", "Tell me a story about a star.")


# Prompt and story together; a story that reaches this many tokens did not end by itself.
MAX_TOKENS = 256


def bake(model: Path, build: Path) -> Path:
    """The baked program of a checkpoint, built with Meson in `build`.  Raises ValueError when that fails."""
    setup = ["meson", "setup", str(build), f"-Dmodel={model.resolve()}"]
    for command in ([] if (build / "build.ninja").exists() else [setup]) + [["meson", "compile", "-C", str(build)]]:
        done = subprocess.run(command, cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True)
        if done.returncode:
            raise ValueError(f"{' '.join(command)}: failed: {done.stdout.strip().splitlines()[-1]}; run it by hand")
    return build / model.stem


def samples(program: Path) -> list[tuple[str, bool]]:
    """Twenty stories of a baked program, temperature 0.8, top-p 0.9, seed n for the n-th prompt.

    Each with whether it ended by itself.
    """
    told = []
    for seed, prompt in enumerate(PROMPTS, start=1):
        done = subprocess.run([str(program), "-t", "0.8", "-p", "0.9", "-s", str(seed), "-i", prompt],
                              capture_output=True, text=True, check=True)
        counts = [int(count) for count in re.findall(r"(\d+) tokens", done.stderr)]
        told.append((done.stdout.strip(), sum(counts) < MAX_TOKENS))
    return told


def grams(text: str, size: int) -> list[tuple[str, ...]]:
    """All runs of `size` words of a text, words as white space separates them."""
    words = text.split()
    return [tuple(words[i:i + size]) for i in range(len(words) - size + 1)]


def distinct_ratio(texts: Sequence[str], size: int = 3) -> float:
    """Distinct word n-grams over all word n-grams of a set of texts; 1 is no repetition at all."""
    found = [gram for text in texts for gram in grams(text, size)]
    return len(set(found)) / len(found)


def copied_share(texts: Sequence[str], training: Iterable[str], size: int = 10) -> float:
    """Share of the n-grams of `texts` that also stand in the training stories."""
    wanted = [gram for text in texts for gram in grams(text, size)]
    missing = set(wanted)
    for one in training:
        missing.difference_update(grams(one, size))
    return sum(gram not in missing for gram in wanted) / len(wanted)


def loss_curve(log: Sequence[dict[str, float]], title: str) -> str:
    """An SVG of training and held-out loss (nats a token, logarithmic) over training tokens."""
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


def figures(program: Path, training: Sequence[str], held_out: Sequence[str]) -> str:
    """Markdown for the model card: repetition and memorising, then the twenty samples."""
    told = samples(program)
    stories = [text.removeprefix(prompt).strip() for prompt, (text, _) in zip(PROMPTS, told)]
    fresh = list(held_out[:len(stories)])
    lines = ["| figure | 20 samples | 20 held-out stories |", "| --- | --- | --- |",
             f"| distinct 3-gram ratio | {distinct_ratio(stories):.3f} | {distinct_ratio(fresh):.3f} |",
             f"| 10-grams that stand in the training set | {copied_share(stories, training):.1%} "
             f"| {copied_share(fresh, training):.1%} |",
             f"| whole stories that stand in the training set | {len(set(stories) & set(training))} of {len(stories)} "
             f"| {len(set(fresh) & set(training))} of {len(fresh)} |",
             f"| ended by themselves within 256 tokens | {sum(ended for _, ended in told)} of {len(told)} | |", ""]
    for seed, (prompt, text) in enumerate(zip(PROMPTS, stories), start=1):
        asked = f'`-i "{prompt}"`' if prompt else "no prompt"
        lines += [f"**Seed {seed}**, {asked}", "", *(f"> {paragraph}\n>" for paragraph in text.split("\n")), ""]
    return "\n".join(line.removesuffix("\n>") if not line.startswith(">") else line for line in lines)
