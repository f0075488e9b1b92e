"""Puts a model into words: a line of what it is, for comments of generated code, pages and messages."""

from __future__ import annotations

from codegen.model import Model


def describe(model: Model) -> str:
    """Says the model's facts in one line."""
    classifier = "shared classifier" if model.shared_classifier else "classifier of its own"
    layers = f"{model.n_layers} layer{'s' if model.n_layers > 1 else ''}"
    cache = f", key/value cache {model.kv_type}" if model.half_cache else ""
    return (
        f"{model.name}: dim {model.dim}, hidden {model.hidden_dim}, {layers}, heads {model.n_heads}/{model.n_kv_heads}, "
        f"vocabulary {model.vocab_size}, {classifier}, {model.seq_len} positions, {weights_text(model)}{cache}"
    )


def weights_text(model: Model) -> str:
    """Says, for example, "q4, classifier q8, in groups of 32"."""
    text = f"{model.weight_type}, classifier {model.classifier_type}," if model.classifier_type else model.weight_type
    return f"{text} in groups of {model.group_size}" if model.quantized else text.rstrip(",")


def types_text(model: Model) -> str:
    """Says, for example, "q8" or "q4-q8": the layers' weight type, and the classifier's when it is another one."""
    return "-".join(weight_type.name for weight_type in model.weight_types)
