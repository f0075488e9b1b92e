"""A plain NumPy run of the model with llama2.c's sampler: for looking at stories while training.

The arithmetic is float32 but not in llama2.c's order of operations; golden texts come from a baked program.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.trainer.tokenizer import BOS, Tokenizer

Array = NDArray[np.float32]


@dataclass
class Rng:
    """llama2.c's xorshift64*."""

    state: int

    def coin(self) -> float:
        """Uniform in [0, 1), 24 bits."""
        self.state ^= self.state >> 12
        self.state ^= (self.state << 25) & 0xFFFFFFFFFFFFFFFF
        self.state ^= self.state >> 27
        return (((self.state * 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF) >> 32 >> 8) / 16777216.0


class Model:
    """A v0 checkpoint with a shared classifier."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.dim, self.hidden_dim, self.n_layers, self.n_heads, self.n_kv_heads, self.vocab_size, self.seq_len = (
            struct.unpack_from("<7i", data))
        numbers = np.frombuffer(data, "<f4", offset=28)
        head_size = self.dim // self.n_heads
        kv_dim = head_size * self.n_kv_heads
        n, d, h = self.n_layers, self.dim, self.hidden_dim
        shapes = {"token_embedding_table": (self.vocab_size, d), "rms_att": (n, d), "wq": (n, d, d),
                  "wk": (n, kv_dim, d), "wv": (n, kv_dim, d), "wo": (n, d, d), "rms_ffn": (n, d), "w1": (n, h, d),
                  "w2": (n, d, h), "w3": (n, h, d), "rms_final": (d,), "cos": (self.seq_len, head_size // 2),
                  "sin": (self.seq_len, head_size // 2)}
        needed = sum(int(np.prod(shape)) for shape in shapes.values())
        if needed != numbers.size:
            raise ValueError(f"{path}: found {numbers.size} weights, need {needed}; export the checkpoint again")
        self.w: dict[str, Array] = {}
        at = 0
        for name, shape in shapes.items():
            size = int(np.prod(shape))
            self.w[name] = numbers[at:at + size].reshape(shape)
            at += size
        self.keys = np.zeros((n, self.seq_len, self.n_kv_heads, head_size), np.float32)
        self.values = np.zeros_like(self.keys)

    def _rotate(self, x: Array, pos: int) -> Array:
        pairs = x.reshape(-1, x.shape[-1] // 2, 2)
        cos, sin = self.w["cos"][pos], self.w["sin"][pos]
        a, b = pairs[..., 0], pairs[..., 1]
        return np.asarray(np.stack((a * cos - b * sin, a * sin + b * cos), axis=-1).reshape(x.shape), np.float32)

    def forward(self, token: int, pos: int) -> Array:
        """Logits [vocab_size] after `token` at position `pos`."""
        w = self.w
        head_size = self.dim // self.n_heads
        group = self.n_heads // self.n_kv_heads
        x = w["token_embedding_table"][token]
        for layer in range(self.n_layers):
            xb = _rmsnorm(x, w["rms_att"][layer])
            q = self._rotate((w["wq"][layer] @ xb).reshape(self.n_heads, head_size), pos)
            self.keys[layer, pos] = self._rotate((w["wk"][layer] @ xb).reshape(self.n_kv_heads, head_size), pos)
            self.values[layer, pos] = (w["wv"][layer] @ xb).reshape(self.n_kv_heads, head_size)
            q = q.reshape(self.n_kv_heads, group, head_size)
            att = np.einsum("kgh,tkh->kgt", q, self.keys[layer, :pos + 1]) / np.float32(np.sqrt(head_size))
            out = np.einsum("kgt,tkh->kgh", _softmax(att), self.values[layer, :pos + 1])
            x = x + w["wo"][layer] @ out.reshape(self.dim)
            xb = _rmsnorm(x, w["rms_ffn"][layer])
            hb = w["w1"][layer] @ xb
            x = x + w["w2"][layer] @ (hb / (1 + np.exp(-hb)) * (w["w3"][layer] @ xb))
        return np.asarray(w["token_embedding_table"] @ _rmsnorm(x, w["rms_final"]), np.float32)


def _rmsnorm(x: Array, weight: Array) -> Array:
    return np.asarray(x / np.sqrt(np.mean(x * x) + np.float32(1e-5)) * weight, np.float32)


def _softmax(x: Array) -> Array:
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def pick(logits: Array, temperature: float, topp: float, rng: Rng) -> int:
    """llama2.c's sampler: argmax at temperature 0, else top-p (0 < topp < 1) with one coin a token."""
    if temperature == 0:
        return int(logits.argmax())
    probabilities = _softmax(logits / np.float32(temperature))
    coin = rng.coin()
    candidates = np.flatnonzero(probabilities >= (1.0 - topp) / (len(probabilities) - 1))
    order = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    cumulative = np.cumsum(probabilities[order], dtype=np.float32)
    last = min(int(np.searchsorted(cumulative, topp, side="right")), len(order) - 1)
    chosen = int(np.searchsorted(cumulative[:last + 1], coin * cumulative[last], side="right"))
    return int(order[min(chosen, last)])


def story(model: Model, tokenizer: Tokenizer, prompt: str, seed: int, temperature: float = 0.8, topp: float = 0.9,
          steps: int = 256) -> tuple[str, bool]:
    """(text with its prompt, whether it ended by itself before `steps` tokens)."""
    ids = [BOS] + tokenizer.encode(prompt)
    rng = Rng(seed)
    out: list[int] = []
    token = BOS
    for pos in range(min(steps, model.seq_len)):
        logits = model.forward(token, pos)
        token = ids[pos + 1] if pos + 1 < len(ids) else pick(logits, temperature, topp, rng)
        if token == BOS:
            return tokenizer.decode(out), True
        out.append(token)
    return tokenizer.decode(out), False
