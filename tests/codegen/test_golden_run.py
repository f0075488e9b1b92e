"""The golden run against llama2.c's own logits: every bit, at every position of a prompt."""

from __future__ import annotations

import at_hand
import numpy as np
import pytest

from codegen import golden_run
from codegen.fingerprint import fingerprint
from codegen.formats import open_model


@pytest.mark.parametrize("name", ["seeded260K", "seeded260K_q8", "seeded_gqa_untied", "seeded_gqa_untied_q8"])
def test_logits_are_llama2cs(name: str) -> None:
    expected = at_hand.GOLDEN[name]
    logits = golden_run.forward(open_model(at_hand.model(name)), tuple(expected["tokens"]))
    assert len(logits) == len(expected["logits"]) > 50
    assert np.isfinite(logits).all()
    assert [f"{fingerprint(row.tobytes()):016x}" for row in logits] == expected["logits"]


def test_gelu_is_the_tanh_form() -> None:
    """Within the roundings of float32, at any argument."""
    h = np.concatenate((np.linspace(-12, 12, 4801), [0.0, -0.0, 1e-30, 88.0, -88.0, 1e20, -1e20])).astype(np.float32)
    wide = h.astype(np.float64)
    with np.errstate(over="ignore"):
        found = golden_run.gelu(h)
        expected = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    assert (np.abs(found - expected) <= 4e-7 * np.abs(h)).all()
