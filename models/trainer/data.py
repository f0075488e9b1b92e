"""Documents as token arrays, and everything about a training run that needs no PyTorch.

A document is BOS, its tokens, BOS (the mark at which llama2.c stops).  The prompt's own tokens are not learned, so
that without a prompt the model begins a story instead of asking for one.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.corpus import generate
from models.trainer.tokenizer import BOS, Tokenizer

IGNORE = -100  # PyTorch's target for "no loss here"
# Every document stays this far below the model's positions.
MAX_TOKENS = 250
# Stories are sorted by length inside a window of this many batches, which keeps padding below two percent.
WINDOW = 80


@dataclass(frozen=True)
class Run:
    """What defines a training run; a run may be resumed only with the same values, but `steps` and `decay` may change.

    `batch` counts stories; `warmup`, `hold` (of the weights that start with a purpose) and `decay` count steps.
    """

    seed: int = 1
    stories: int = 110_000
    batch: int = 8
    steps: int = 5800
    warmup: int = 100
    hold: int = 500
    decay: int = 2200
    peak: float = 1.5e-3


@dataclass(frozen=True)
class Example:
    """One document: `tokens` from BOS to BOS, `learn_from` the index of the first target that counts."""

    tokens: NDArray[np.int16]
    learn_from: int


def example(document: generate.Document, tokenizer: Tokenizer) -> "Example | None":
    """The tokens of a document, or None when it is longer than MAX_TOKENS."""
    ids = [BOS] + tokenizer.encode(document.text) + [BOS]
    if len(ids) > MAX_TOKENS:
        return None
    # The newline after the prompt is still part of what is given; the first learned target follows it.
    prompt = 1 + len(tokenizer.encode(document.prompt)) if document.prompt else 1
    return Example(np.array(ids, np.int16), prompt)


def examples(documents: Iterable[generate.Document], tokenizer: Tokenizer) -> list[Example]:
    """The tokens of every document that is short enough."""
    found = (example(document, tokenizer) for document in documents)
    return [one for one in found if one is not None]


def batches(lengths: Sequence[int], batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of the documents of each batch of an epoch, a function of the arguments alone."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(lengths))
    cut: list[list[int]] = []
    for start in range(0, len(order), batch * WINDOW):
        window = sorted((int(i) for i in order[start:start + batch * WINDOW]), key=lambda i: (lengths[i], i))
        cut += [window[i:i + batch] for i in range(0, len(window) - batch + 1, batch)]
    return [cut[i] for i in rng.permutation(len(cut))]


def pad(examples: Sequence[Example]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(inputs, targets), each [len(examples), longest - 1]; IGNORE where nothing is to be learned."""
    width = max(len(one.tokens) for one in examples) - 1
    inputs = np.full((len(examples), width), BOS, np.int64)
    targets = np.full((len(examples), width), IGNORE, np.int64)
    for row, one in enumerate(examples):
        n = len(one.tokens) - 1
        inputs[row, :n] = one.tokens[:-1]
        targets[row, one.learn_from - 1:n] = one.tokens[one.learn_from:]
    return inputs, targets


def learning_rate(step: int, run: Run) -> float:
    """Warm-up, plateau, and a cosine down to zero over the last `decay` steps.

    The plateau makes the end movable: a run that is resumed with more steps is the run that had them from the start.
    """
    if step < run.warmup:
        return run.peak * (step + 1) / run.warmup
    left = run.steps - step
    if left >= run.decay:
        return run.peak
    return run.peak * 0.5 * (1.0 - math.cos(math.pi * left / run.decay))


def fingerprint(examples: Sequence[Example]) -> int:
    """CRC-32 of all training tokens."""
    crc = 0
    for one in examples:
        crc = zlib.crc32(one.tokens.tobytes(), crc)
    return crc


def check_resume(saved: dict[str, object], wanted: dict[str, object]) -> None:
    """Raise ValueError naming the first value in which an interrupted run differs from the one asked for."""
    for key, value in wanted.items():
        if key not in ("steps", "decay") and saved.get(key) != value:
            raise ValueError(f"resume: {key}: the interrupted run has {saved.get(key)}, this one {value}; "
                             "use the same value, or another --work folder for a new run")


def identity(run: Run, dims: dict[str, int], crc: int) -> dict[str, object]:
    """What two runs must share for one to continue the other."""
    return {**asdict(run), **dims, "corpus_crc": crc}
