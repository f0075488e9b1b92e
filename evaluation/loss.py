"""Computes how far the predictions of one model lie from those of another: the arithmetic of `tools/evaluate`, in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def log_softmax(logits: npt.NDArray[np.float32]) -> FloatArray:
    """Computes ln of the probabilities, row by row. (positions, vocab_size)"""
    exact = logits.astype(np.float64)
    shifted = exact - exact.max(axis=-1, keepdims=True)
    result: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


@dataclass
class Loss:
    """Sums up over the tokens that were predicted so far; divergences are of the reference from this model, in nats."""

    tokens: int = 0
    surprise: float = 0.0  # sums that of the tokens of the text: -ln p
    divergence: float = 0.0  # sums, after Kullback and Leibler, p_reference * ln(p_reference / p)
    worst: float = 0.0
    same_top: int = 0

    def add(self, logits: FloatArray, reference: FloatArray, tokens: npt.NDArray[np.int32]) -> None:
        """Adds positions: both as `log_softmax` has them, and the token that followed each."""
        divergence = (np.exp(reference) * (reference - logits)).sum(axis=1)
        self.tokens += len(tokens)
        self.surprise -= float(logits[np.arange(len(tokens)), tokens].sum())
        self.divergence += float(divergence.sum())
        self.worst = max(self.worst, float(divergence.max()))
        self.same_top += int((logits.argmax(axis=1) == reference.argmax(axis=1)).sum())

    @property
    def perplexity(self) -> float:
        """Computes e^(mean surprise), a token."""
        return math.exp(self.surprise / self.tokens)

    @property
    def mean_divergence(self) -> float:
        """Computes the mean Kullback-Leibler divergence of a position, in nats."""
        return self.divergence / self.tokens

    @property
    def same_top_share(self) -> float:
        """Computes the share of positions where both models find the same token the likeliest."""
        return self.same_top / self.tokens
