"""llama2.c's architecture in PyTorch, for training only.  Names and shapes are llama2.c's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    """Dimensions of a model; the defaults are those of the model that is shipped."""

    dim: int = 128
    hidden_dim: int = 352
    n_layers: int = 5
    n_heads: int = 4
    n_kv_heads: int = 2
    vocab_size: int = 1024
    seq_len: int = 256

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.dim // self.n_heads

    @property
    def kv_dim(self) -> int:
        """Width of keys and values."""
        return self.head_size * self.n_kv_heads


def rope_tables(config: Config) -> tuple[Tensor, Tensor]:
    """cos and sin of llama2.c's rotary embedding, each [seq_len, head_size / 2]."""
    frequency = 10000.0 ** (-torch.arange(0, config.head_size, 2).float() / config.head_size)
    angle = torch.outer(torch.arange(config.seq_len).float(), frequency)
    return angle.cos(), angle.sin()


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.rms_att = nn.Parameter(torch.ones(config.dim))
        self.rms_ffn = nn.Parameter(torch.ones(config.dim))
        self.wq = nn.Linear(config.dim, config.dim, bias=False)
        self.wk = nn.Linear(config.dim, config.kv_dim, bias=False)
        self.wv = nn.Linear(config.dim, config.kv_dim, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)
        self.w1 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.w2 = nn.Linear(config.hidden_dim, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """Starting weights: attention looks everywhere alike and gives back a little of what it sees."""
        config = self.config
        scale = 1 / math.sqrt(config.dim)
        for linear in (self.wq, self.wk):
            nn.init.normal_(linear.weight, 0, 0.5 * scale)
        nn.init.orthogonal_(self.wv.weight)
        for linear in (self.w1, self.w3):
            nn.init.normal_(linear.weight, 0, scale)
        nn.init.normal_(self.w2.weight, 0, 0.02 / math.sqrt(2 * config.n_layers))
        self._copy_values([0.05] * config.n_heads)

    @torch.no_grad()
    def _copy_values(self, strength: Sequence[float]) -> None:
        """`wo` gives back what was seen, with a strength for each head."""
        config = self.config
        heads = self.wv.weight.view(config.n_kv_heads, config.head_size, config.dim)
        heads = heads.repeat_interleave(config.n_heads // config.n_kv_heads, dim=0)
        heads = heads * torch.tensor(strength)[:, None, None]
        self.wo.weight.copy_(heads.reshape(config.dim, config.dim).T)

    @torch.no_grad()
    def look_at(self, marked: Tensor, common: Tensor) -> None:
        """Let the heads of the first key/value head look at tokens with the direction `marked`, wherever they are.

        `common` is a direction that all tokens have; both are unit vectors [dim].
        """
        config = self.config
        size, group = config.head_size, config.n_heads // config.n_kv_heads
        # The last pairs of a head hardly turn within seq_len positions: what they match, they match at any distance.
        slow = torch.arange(3 * size // 4, size, 2)
        self.wk.weight[:size] *= 0.3
        self.wq.weight[:group * size] *= 0.3
        self.wk.weight[slow] = 0.5 * marked
        for head in range(group):
            self.wq.weight[head * size + slow] = 0.5 * common
        # What is copied is who it is, not that it is a name.
        for direction in (marked, common):
            self.wv.weight[:size] -= torch.outer(self.wv.weight[:size] @ direction, direction)
        self._copy_values([0.5] * group + [0.05] * (config.n_heads - group))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        """x [batch, time, dim] -> the same shape; cos and sin [time, head_size / 2]; mask [time, time]."""
        config = self.config
        batch, time, _ = x.shape
        xb = rmsnorm(x, self.rms_att)
        q = rotate(self.wq(xb).view(batch, time, config.n_heads, config.head_size), cos, sin)
        k = rotate(self.wk(xb).view(batch, time, config.n_kv_heads, config.head_size), cos, sin)
        v = self.wv(xb).view(batch, time, config.n_kv_heads, config.head_size)
        # Queries of the heads that share a key are stacked along time, so keys are not copied.
        group = config.n_heads // config.n_kv_heads
        q = q.view(batch, time, config.n_kv_heads, group, config.head_size).permute(0, 2, 3, 1, 4)
        q = q.reshape(batch * config.n_kv_heads, group * time, config.head_size)
        k = k.permute(0, 2, 3, 1).reshape(batch * config.n_kv_heads, config.head_size, time)
        v = v.permute(0, 2, 1, 3).reshape(batch * config.n_kv_heads, time, config.head_size)
        att = torch.baddbmm(mask.repeat(group, 1), q, k, alpha=1.0 / math.sqrt(config.head_size))
        out = torch.bmm(functional.softmax(att, dim=-1), v)
        out = out.view(batch, config.n_kv_heads, group, time, config.head_size).permute(0, 3, 1, 2, 4)
        x = x + self.wo(out.reshape(batch, time, config.dim))
        xb = rmsnorm(x, self.rms_ffn)
        hb: Tensor = functional.silu(self.w1(xb)) * self.w3(xb)
        out = self.w2(hb)
        return x + out


class Network(nn.Module):
    """The whole model; the classifier is the embedding."""

    def __init__(self, config: Config, names: Sequence[int] = ()) -> None:
        """Seeded starting weights.  `names`: ids of the pieces that name somebody.

        Two heads of the first layer start out looking at the names so far.  Without them a model of this size learned
        every sentence of the plots but, after two and a half million tokens, still told each with another name.
        """
        super().__init__()
        self.config = config
        table = torch.empty(config.vocab_size, config.dim).normal_(0, 0.06)
        marked, common = nn.init.orthogonal_(torch.empty(2, config.dim))
        table += torch.outer(0.3 - table @ common, common)
        strength = torch.zeros(config.vocab_size)
        strength[list(names)] = 0.5
        table += torch.outer(strength - table @ marked, marked)
        self.token_embedding_table = nn.Parameter(table)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.rms_final = nn.Parameter(torch.ones(config.dim))
        self.layers[0].look_at(marked, common)
        self.cos, self.sin = rope_tables(config)

    def prepared(self) -> list[nn.Parameter]:
        """The weights that start with a purpose: to be held until the others have learned to make use of them."""
        first = self.layers[0]
        return [linear.weight for linear in (first.wq, first.wk, first.wv, first.wo)]

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [batch, time] -> logits [batch, time, vocab_size]."""
        time = tokens.shape[1]
        x = functional.embedding(tokens, self.token_embedding_table)
        mask = torch.full((time, time), float("-inf")).triu(1)
        for layer in self.layers:
            x = layer(x, self.cos[:time], self.sin[:time], mask)
        return functional.linear(rmsnorm(x, self.rms_final), self.token_embedding_table)


def rmsnorm(x: Tensor, weight: Tensor) -> Tensor:
    """llama2.c's rmsnorm, epsilon 1e-5, over the last dimension."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate adjacent pairs: x [batch, time, heads, head_size], cos and sin [time, head_size / 2]."""
    pairs = x.view(*x.shape[:-1], -1, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    c, s = cos[:, None, :], sin[:, None, :]
    return torch.stack((a * c - b * s, a * s + b * c), dim=-1).flatten(-2)
