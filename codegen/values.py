"""Writes a model's values for an oracle: what its weights mean, unpacked, with a header that says what everything is.

The header is lines of text: `storybake values 1`; a line `NAME VALUE` for each of FACTS, numbers that are not whole as
hexadecimal floats; a line `without_rope LAYER` for each layer that does not rotate q and k, `window LAYER POSITIONS` for each
that attends to the last ones alone, `theta LAYER BASE` for each whose base of RoPE is its own; a line `NAME VALUE` for each
of MORE that is not llama2.c's; a line
`tensor NAME LAYER ROWS COLUMNS GROUP` for each tensor; `end`. The tensors follow in that order,
row by row: float32 (little-endian) where GROUP is 0, else int8 and behind them a float32 scale a GROUP of a row. What
float16 and int4 mean is the same in float32 and int8. One seam for every format: no oracle has to read any of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codegen.model import Model
from codegen.output import atomic_output
from codegen.source import TensorSource
from codegen.tensor import Quantized

MAGIC = "storybake values 1"
FACTS = (
    "dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len", "head_size", "rope_theta", "norm_eps",
)  # fmt: skip

MORE = ("glu", "embed_scale", "score_size", "att_cap", "logit_cap")  # lists facts that few models have


def header(model: Model) -> str:
    """Writes what stands before the tensors of a model."""
    lines = [MAGIC, *(f"without_rope {layer}" for layer in model.no_rope)]
    every, theta = range(model.n_layers), float(np.float32(model.local_theta)).hex()
    lines += [f"window {layer} {window}" for layer in every if (window := model.window_of(layer))]
    lines += [f"theta {layer} {theta}" for layer in every if model.rope_of(layer) == "rope_local"]
    for name in (*FACTS, *(name for name in MORE if getattr(model, name) != getattr(Model, name))):
        value = getattr(model, name)
        lines.append(f"{name} {float(np.float32(value)).hex() if isinstance(value, float) else value}")
    for name, (layers, rows, columns) in model.tensor_shapes().items():
        group = model.group_size if model.type_of(name).quantized else 0
        lines += [f"tensor {name} {layer} {rows} {columns} {group}" for layer in range(max(layers, 1))]
    if model.rope_factors:
        lines.append(f"tensor rope_factors 0 1 {len(model.rope_factors)} 0")
    return "\n".join([*lines, "end\n"])


def write_values(source: TensorSource, model: Model, out: Path) -> None:
    """Writes the tensors of a source and the facts of the planned `model`, which may have fewer positions."""
    with atomic_output(out) as file:
        file.write(header(model).encode())
        for name, (layers, _, _) in model.tensor_shapes().items():
            for layer in range(max(layers, 1)):
                tensor = source.tensor(name, layer)
                if isinstance(tensor, Quantized):
                    file.write(np.ascontiguousarray(tensor.q).tobytes())
                    tensor = tensor.s
                file.write(tensor.astype("<f4", copy=False).tobytes())
        file.write(np.array(model.rope_factors, "<f4").tobytes())
