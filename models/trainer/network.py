"""Builds llama2.c's architecture in PyTorch, for training only.  Names and shapes are llama2.c's.

The steps between the matrix products come from `Plain`, which runs anywhere, or from `kernels.Fused`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    """Holds the dimensions of a model; the shipped one has the defaults, but six layers."""

    dim: int = 192
    hidden_dim: int = 512
    n_layers: int = 8
    n_heads: int = 6
    n_kv_heads: int = 2
    vocab_size: int = 2048
    seq_len: int = 512

    @property
    def head_size(self) -> int:
        """Returns the width of one attention head."""
        return self.dim // self.n_heads

    @property
    def kv_dim(self) -> int:
        """Returns the width of keys and values."""
        return self.head_size * self.n_kv_heads


def rope_tables(config: Config) -> tuple[Tensor, Tensor]:
    """Computes cos and sin of llama2.c's rotary embedding, each [seq_len, head_size / 2]."""
    frequency = 10000.0 ** (-torch.arange(0, config.head_size, 2).float() / config.head_size)
    angle = torch.outer(torch.arange(config.seq_len).float(), frequency)
    return angle.cos(), angle.sin()


class Steps(Protocol):
    """Declares what happens between the matrix products; `kernels.Fused` describes each."""

    dtype: torch.dtype

    def add_norm(self, x: Tensor, delta: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]: ...

    def attention(self, qkv: Tensor, heads: int, kv_heads: int) -> Tensor: ...

    def swiglu(self, h: Tensor) -> Tensor: ...

    def cross_entropy(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor: ...


class Plain:
    """Computes the steps in plain PyTorch, on any device and in any type; softmax and norms in float32."""

    def __init__(self, cos: Tensor, sin: Tensor, dtype: torch.dtype = torch.float32) -> None:
        self.cos, self.sin, self.dtype = cos, sin, dtype

    def add_norm(self, x: Tensor, delta: Tensor | None, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Computes llama2.c's rmsnorm, epsilon 1e-5, over the last dimension of x + delta."""
        x = x if delta is None else x + delta
        return x, (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight).to(self.dtype)

    def attention(self, qkv: Tensor, heads: int, kv_heads: int) -> Tensor:
        """Computes rotary causal attention."""
        batch, time, _ = qkv.shape
        size, group = 2 * self.cos.shape[1], heads // kv_heads
        q, k, v = qkv.view(batch, time, -1, size).split([heads, kv_heads, kv_heads], dim=2)
        q, k = (rotate(x, self.cos[:time], self.sin[:time]).to(self.dtype) for x in (q, k))
        # Stack the queries of the heads that share a key along time, so that keys are not copied.
        q = q.reshape(batch, time, kv_heads, group, size).permute(0, 2, 3, 1, 4)
        q = q.reshape(batch * kv_heads, group * time, size)
        k = k.permute(0, 2, 3, 1).reshape(batch * kv_heads, size, time)
        v = v.permute(0, 2, 1, 3).reshape(batch * kv_heads, time, size)
        later = torch.full((time, time), float("-inf"), device=qkv.device).triu(1).repeat(group, 1)
        weights = functional.softmax(torch.bmm(q, k).float() / math.sqrt(size) + later, dim=-1)
        out = torch.bmm(weights.to(self.dtype), v)
        out = out.view(batch, kv_heads, group, time, size).permute(0, 3, 1, 2, 4)
        return out.reshape(batch, time, heads * size)

    def swiglu(self, h: Tensor) -> Tensor:
        """Computes silu of the first half of the last dimension times the second."""
        h1, h3 = h.chunk(2, dim=-1)
        gated: Tensor = functional.silu(h1) * h3
        return gated

    def cross_entropy(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Sums weight * cross entropy over rows."""
        return (functional.cross_entropy(logits.float(), targets, reduction="none") * weights).sum()


class Layer(nn.Module):
    """Describes one transformer layer: `wqkv` is wq, wk and wv one above the other, `w13` is w1 and w3."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        dim, hidden_dim = config.dim, config.hidden_dim
        scale = 1 / math.sqrt(dim)
        narrow = 1 / math.sqrt(2 * config.n_layers)
        self.rms_att = nn.Parameter(torch.ones(dim))
        self.rms_ffn = nn.Parameter(torch.ones(dim))
        self.wqkv = nn.Parameter(torch.empty(dim + 2 * config.kv_dim, dim).normal_(0, scale))
        self.wo = nn.Parameter(torch.empty(dim, dim).normal_(0, 0.1 * scale * narrow))
        self.w13 = nn.Parameter(torch.empty(2 * hidden_dim, dim).normal_(0, scale))
        self.w2 = nn.Parameter(torch.empty(dim, hidden_dim).normal_(0, 0.1 * narrow / math.sqrt(hidden_dim)))

    def forward(self, x: Tensor, delta: Tensor | None, steps: Steps) -> tuple[Tensor, Tensor]:
        """Takes the residual stream x [batch, time, dim] and what is to be added to it (may be None) -> the same two."""
        config = self.config
        x, xb = steps.add_norm(x, delta, self.rms_att)
        qkv = functional.linear(xb, self.wqkv.to(steps.dtype))
        out = steps.attention(qkv, config.n_heads, config.n_kv_heads)
        x, xb = steps.add_norm(x, functional.linear(out, self.wo.to(steps.dtype)), self.rms_ffn)
        hb = steps.swiglu(functional.linear(xb, self.w13.to(steps.dtype)))
        return x, functional.linear(hb, self.w2.to(steps.dtype))


class Network(nn.Module):
    """Holds the whole model; the classifier is the embedding."""

    def __init__(self, config: Config, marked: Sequence[Sequence[int]] = ()) -> None:
        """Begins with seeded weights.  `marked`: up to two lists of pieces that begin what has to be looked up, such as names."""
        super().__init__()
        self.config = config
        self.token_embedding_table = nn.Parameter(torch.empty(config.vocab_size, config.dim).normal_(0, 0.06))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.rms_final = nn.Parameter(torch.ones(config.dim))
        self._begin_copying(marked)

    @torch.no_grad()
    def _begin_copying(self, marked: Sequence[Sequence[int]]) -> None:
        """Has the first two layers begin as what a network finds by itself only after millions of tokens: heads that
        look at the token before, and heads that look for what came after the present token earlier.

        With them a name of several pieces is copied from the start.  Two more groups of heads look at the pieces that
        begin names, and things, wherever they are: which is there is the last that a network learns to ask for.  All else
        begins at random, and nothing is held.
        """
        config = self.config
        size, group = config.head_size, config.n_heads // config.n_kv_heads
        if config.n_layers < 2 or config.dim < 2 * size + 3:
            return
        basis = nn.init.orthogonal_(torch.empty(2 * size + 3, config.dim))
        common, before, seen = basis[0], basis[1 : size + 1], basis[size + 1 : 2 * size + 1]
        table, first, second = self.token_embedding_table, self.layers[0], self.layers[1]
        # Give every token `common`, and none what `before` is kept free for.
        table -= table @ before.T @ before
        table += torch.outer(0.3 - table @ common, common)
        speed = 10000.0 ** (-torch.arange(0, size, 2).float() / size)
        fast = torch.arange(min(6, size // 2))
        first.wqkv[config.dim : config.dim + size] = 0
        first.wqkv[config.dim + 2 * fast] = 1.4 * common
        first.wqkv[config.dim + config.kv_dim : config.dim + config.kv_dim + size] = seen
        for head in range(group):
            query = torch.zeros(size, config.dim)
            query[2 * fast] = torch.outer((speed[fast] * (head + 1)).cos(), common)
            query[2 * fast + 1] = torch.outer(-(speed[fast] * (head + 1)).sin(), common)
            first.wqkv[head * size : (head + 1) * size] = 1.4 * query
        first.wo[:, :size] = 0.08 * before.T
        # Match by the slow pairs of a head: they hardly turn within a story, so that what they match, they match at any distance.
        slow = torch.arange(size // 2, size)
        mix = nn.init.orthogonal_(torch.empty(len(slow), size)) * math.sqrt(size / len(slow))
        second.wqkv[config.dim : config.dim + size] = 0
        second.wqkv[config.dim + slow] = 2.5 * mix @ before
        second.wqkv[config.dim + config.kv_dim : config.dim + config.kv_dim + size] = seen
        second.wqkv[:size] = 0
        second.wqkv[slow] = 2.5 * mix @ seen
        second.wo[:, :size] = 0.5 * seen.T
        if config.n_kv_heads < 2:
            return
        # Take the other half of the pairs, from those that forget within a sentence to those that see the whole story.
        reach = [torch.arange(size - 8, size, 2), torch.arange(size // 4, size, 2), torch.arange(size // 2, size, 2)]
        for layer, direction, pieces in zip((first, second), basis[2 * size + 1 :], marked):
            table -= torch.outer(table @ direction, direction)
            table[list(pieces)] += 0.3 * direction
            key, value = config.dim + size, config.dim + config.kv_dim + size
            layer.wqkv[key : key + size : 2] = direction
            layer.wqkv[value : value + size] -= torch.outer(layer.wqkv[value : value + size] @ direction, direction)
            for head in range(group, 2 * group):
                query = torch.zeros(size, config.dim)
                pairs = reach[(head - group) % len(reach)]
                query[pairs] = common * 4 / len(pairs)
                layer.wqkv[head * size : (head + 1) * size] = query
                values = nn.init.orthogonal_(torch.empty(config.dim, size)) if head % len(reach) else None
                layer.wo[:, head * size : (head + 1) * size] = 0.05 * (
                    layer.wqkv[value : value + size].T if values is None else values)  # fmt: skip

    def forward(self, tokens: Tensor, steps: Steps) -> Tensor:
        """Computes tokens [batch, time] -> logits [batch, time, vocab_size]."""
        x = functional.embedding(tokens, self.token_embedding_table)
        delta: Tensor | None = None
        for layer in self.layers:
            x, delta = layer(x, delta, steps)
        _, xb = steps.add_norm(x, delta, self.rms_final)
        return functional.linear(xb, self.token_embedding_table.to(steps.dtype))

    def matrices(self) -> Iterable[nn.Parameter]:
        """Returns the weights that decay."""
        return (p for p in self.parameters() if p.dim() == 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates adjacent pairs: x [batch, time, heads, head_size], cos and sin [time, head_size / 2]."""
    pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    c, s = cos[:, None, :], sin[:, None, :]
    return torch.stack((a * c - b * s, a * s + b * c), dim=-1).flatten(-2)
