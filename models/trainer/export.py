"""Weights into llama2.c's files: v0 (float32) and v2 (int8 in groups, as llama2.c's export.py makes it)."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# The order of the matrices in both formats, each for all layers.
ATTENTION = ("wq", "wk", "wv", "wo")
FEED_FORWARD = ("w1", "w2", "w3")
MAGIC = 0x616B3432
GROUP_SIZE = 32


def weights_of(state: Mapping[str, object], n_layers: int) -> dict[str, Array]:
    """A PyTorch state dict as float32 arrays: `token_embedding_table`, `rms_final`, and `wq` ... stacked by layer."""
    arrays = {name: np.asarray(value, np.float32) for name, value in state.items()}
    weights = {"token_embedding_table": arrays["token_embedding_table"], "rms_final": arrays["rms_final"]}
    for name in ATTENTION + FEED_FORWARD:
        weights[name] = np.stack([arrays[f"layers.{layer}.{name}.weight"] for layer in range(n_layers)])
    for name in ("rms_att", "rms_ffn"):
        weights[name] = np.stack([arrays[f"layers.{layer}.{name}"] for layer in range(n_layers)])
    return weights


def _header(weights: Mapping[str, Array], n_heads: int, seq_len: int) -> bytes:
    """The seven numbers: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len."""
    vocab_size, dim = weights["token_embedding_table"].shape
    n_layers, hidden_dim, _ = weights["w1"].shape
    n_kv_heads = weights["wk"].shape[1] // (dim // n_heads)
    return struct.pack("<7i", dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len)


def write_v0(path: Path, weights: Mapping[str, Array], n_heads: int, seq_len: int) -> None:
    """The legacy float32 checkpoint that llama2.c's run.c reads, rotary tables included."""
    head_size = weights["token_embedding_table"].shape[1] // n_heads
    frequency = 10000.0 ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    angle = np.outer(np.arange(seq_len, dtype=np.float64), frequency)
    with path.open("wb") as file:
        file.write(_header(weights, n_heads, seq_len))
        for name in ("token_embedding_table", "rms_att", *ATTENTION, "rms_ffn", *FEED_FORWARD, "rms_final"):
            file.write(weights[name].astype("<f4").tobytes())
        for table in (np.cos(angle), np.sin(angle)):
            file.write(table.astype("<f4").tobytes())


def quantize(matrix: Array, group_size: int) -> tuple[NDArray[np.int8], Array]:
    """(int8 values, one scale a group), symmetric, rounding halves to even; an all-zero group has scale 0."""
    groups = matrix.reshape(-1, group_size)
    scale = (np.abs(groups).max(axis=1) / np.float32(127.0)).astype(np.float32)
    divisor = np.where(scale > 0, scale, np.float32(1.0))
    return np.round(groups / divisor[:, None]).astype(np.int8), scale


def write_v2(path: Path, weights: Mapping[str, Array], n_heads: int, seq_len: int,
             group_size: int = GROUP_SIZE) -> None:
    """The int8 checkpoint that llama2.c's runq.c reads.

    Raises ValueError when the group size does not divide every row (llama2.c would print nonsense).
    """
    matrices = [weights["token_embedding_table"]]
    for name in ATTENTION + FEED_FORWARD:
        matrices += list(weights[name])
    for matrix in matrices:
        if matrix.shape[1] % group_size:
            raise ValueError(f"{path.name}: group size {group_size} does not divide a row of {matrix.shape[1]}; "
                             "choose one that divides dim and hidden_dim")
    header = struct.pack("<Ii", MAGIC, 2) + _header(weights, n_heads, seq_len) + struct.pack("<Bi", 1, group_size)
    with path.open("wb") as file:
        file.write(header.ljust(256, b"\0"))
        for name in ("rms_att", "rms_ffn", "rms_final"):
            file.write(weights[name].astype("<f4").tobytes())
        for matrix in matrices:
            values, scale = quantize(matrix, group_size)
            file.write(values.tobytes() + scale.astype("<f4").tobytes())
