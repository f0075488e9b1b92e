"""Computes the golden run, when a model is baked: the logits that it must give, by docs/arithmetic.md alone.

Nothing here knows a layout, a target or a kernel: it is a second oracle, in NumPy, beside tests/model/oracle.cpp, and
its logits are llama2.c's to the last bit. Lanes are rows and positions, never the elements of one sum. A baked program
repeats the run (--selftest) and compares fingerprints.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from codegen.errors import BakeError
from codegen.fingerprint import fingerprint
from codegen.model import ROPE_TABLES, Model
from codegen.rope import rope_table
from codegen.source import TensorSource
from codegen.tensor import FloatArray, Quantized, Tensor

POSITIONS = 6  # are enough for attention to have something to choose from, few enough for a board's two seconds
ONE = np.float32(1)
SMALLEST_SCALE = np.finfo(np.float32).tiny  # bounds that of a quantised group; below it, runq.c divides by next to nothing
EXACT_IN_F32 = 1 << 24  # bounds sums: whole numbers up to here add up in float32 without rounding

# Repeat the constants of runtime/exp.hpp, where their source is named: 2^(i/32), and a cubic for 2^(r/32).
EXP2 = np.array([float(Decimal(2) ** (Decimal(i) / 32)) for i in range(32)])
INVERSE_LN2_32 = float.fromhex("0x1.71547652b82fep+5")
ROUND = float.fromhex("0x1.8p+52")  # adding it rounds to a whole number
C0 = float.fromhex("0x1.c6af84b912394p-5") / 32**3
C1 = float.fromhex("0x1.ebfce50fac4f3p-3") / 32**2
C2 = float.fromhex("0x1.62e42ff0c52d6p-1") / 32
# Holds the constants of GELU.
GELU1 = np.float32(2 * np.sqrt(2 / np.pi))
GELU3 = np.float32(0.044715 * 2 * np.sqrt(2 / np.pi))


@dataclass(frozen=True)
class GoldenRun:
    """Holds the tokens of the positions 0, 1, ..., the fingerprint of all their logits, float32 (positions, vocab_size), and the
    last ones (vocab_size,)."""

    tokens: tuple[int, ...]
    fingerprint: int
    logits: FloatArray = dataclasses.field(compare=False)


def golden_run(source: TensorSource, model: Model) -> GoldenRun:
    """Runs the model on BOS and a few tokens from all over the vocabulary, as far as the positions of the planned `model` go.
    Raises BakeError when their logits are not finite."""
    count, last = min(POSITIONS, model.seq_len), model.vocab_size - 1
    tokens = (min(1, last), *(last * i // (POSITIONS - 1) for i in range(1, count)))
    logits = forward(source, tokens, model.kv_type)
    if not np.isfinite(logits).all():
        raise BakeError(
            f"{model.name}: the logits of its first {count} positions are not finite, expected numbers: the "
            "checkpoint is damaged: export it again"
        )
    return GoldenRun(tokens, fingerprint(logits.tobytes()), logits[-1])


def forward(source: TensorSource, tokens: tuple[int, ...], kv_type: str = "f32") -> FloatArray:
    """Computes the logits of every position, (len(tokens), vocab_size) float32, for the tokens at the positions 0, 1, ..."""
    model = source.model
    short, used = dataclasses.replace(model, seq_len=len(tokens)), set(map(model.rope_of, range(model.n_layers)))
    tables = {name: rope_table(short, name) for name in ROPE_TABLES if name in used}
    norm_eps = np.float32(model.norm_eps)
    embedding = source.tensor("token_embedding_table")
    x: FloatArray = _rows(embedding, tokens) * np.float32(model.embed_scale)
    root = np.sqrt(np.float32(model.score_size or model.head_size))

    def normed(out: FloatArray, name: str, layer: int) -> FloatArray:
        """Returns what is added to x, which some models norm."""
        return rmsnorm(out, source.tensor(name, layer), norm_eps) if model.post_norms else out

    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for layer in range(model.n_layers):
            xb = rmsnorm(x, source.tensor("rms_att_weight", layer), norm_eps)
            heads = (len(tokens), -1, model.head_size)
            q, k, v = (matmul(source.tensor(f"w{name}", layer), xb) for name in "qkv")
            if model.qkv_bias:
                q, k, v = (vector + _vector(source, f"b{name}", layer) for name, vector in zip("qkv", (q, k, v), strict=True))
            q, k, v = q.reshape(heads), k.reshape(heads), v.reshape(heads)
            if model.head_norms:
                q, k = (
                    rmsnorm(vector.reshape(-1, model.head_size), source.tensor(name, layer), norm_eps).reshape(vector.shape)
                    for vector, name in ((q, "rms_q_weight"), (k, "rms_k_weight"))
                )
            if layer not in model.no_rope:
                q, k = (rope(vector, tables[model.rope_of(layer)]) for vector in (q, k))
            if kv_type == "f16":
                k, v = (cached.astype(np.float16).astype(np.float32) for cached in (k, v))
            att = attention(q, k.repeat(model.kv_mul, axis=1), v.repeat(model.kv_mul, axis=1), root, model.window_of(layer), model.att_cap)
            x = x + normed(matmul(source.tensor("wo", layer), att), "rms_post_att_weight", layer)
            xb = rmsnorm(x, source.tensor("rms_ffn_weight", layer), norm_eps)
            h = matmul(source.tensor("w1", layer), xb)
            h = gelu(h) if model.glu == "geglu" else silu(h)
            h = h * matmul(source.tensor("w3", layer), xb)
            x = x + normed(matmul(source.tensor("w2", layer), h), "rms_post_ffn_weight", layer)
        x = rmsnorm(x, source.tensor("rms_final_weight"), norm_eps)
        return softcap(matmul(embedding if model.shared_classifier else source.tensor("wcls"), x), model.logit_cap)


def silu(h: FloatArray) -> FloatArray:
    """Computes h * sigmoid(h)."""
    below: FloatArray = ONE + exp(-h)
    sigmoid: FloatArray = ONE / below
    return h * sigmoid


def gelu(h: FloatArray) -> FloatArray:
    """Computes GELU's tanh form: h * sigmoid(2 sqrt(2 / pi) (h + 0.044715 h^3))."""
    square: FloatArray = h * h  # in steps: mypy 1.15 takes minutes for operators of NumPy 2 in one another
    cubic: FloatArray = GELU3 * square
    slope: FloatArray = GELU1 + cubic
    below: FloatArray = ONE + exp(-(h * slope))
    sigmoid: FloatArray = ONE / below
    return h * sigmoid


def softcap(x: FloatArray, cap: float) -> FloatArray:
    """Computes cap * tanh(x / cap) as cap - 2 cap / (1 + exp(2 / cap * x)); x without a cap."""
    if not cap:
        return x
    limit, two = np.float32(cap), np.float32(2)
    below: FloatArray = ONE + exp(two / limit * x)
    rest: FloatArray = two * limit / below
    capped: FloatArray = limit - rest
    return capped


def _vector(source: TensorSource, name: str, layer: int) -> FloatArray:
    """Returns the vector `name` of a layer, a row."""
    values = source.tensor(name, layer)
    assert not isinstance(values, Quantized)
    return values.reshape(1, -1)


def _rows(table: Tensor, tokens: tuple[int, ...]) -> FloatArray:
    """Returns the rows `tokens` of a matrix as float32."""
    rows = list(tokens)
    if not isinstance(table, Quantized):
        return table[rows]
    groups = table.s.shape[1]
    q = table.q[rows].astype(np.float32).reshape(len(rows), groups, -1)
    values: FloatArray = (q * table.s[rows][:, :, None]).reshape(len(rows), -1)
    return values


def rmsnorm(x: FloatArray, weight: Tensor, norm_eps: np.float32) -> FloatArray:
    """Computes weight (dim,) * x (n, dim) / rms(x)."""
    assert not isinstance(weight, Quantized)
    ss = np.add.accumulate(x * x, axis=1)[:, -1:]  # in order
    ss = ONE / np.sqrt(ss / np.float32(x.shape[1]) + norm_eps)
    scaled: FloatArray = np.multiply(weight.reshape(-1), ss * x)
    return scaled


def quantize(x: FloatArray, group_size: int) -> Quantized:
    """Quantises x (n, length) in groups, halves away from zero, as runq.c quantises activations."""
    groups = x.reshape(x.shape[0], -1, group_size)
    s = np.abs(groups).max(axis=2) / np.float32(127)
    s[~(s >= SMALLEST_SCALE)] = 0
    quotient = groups / np.where(s > 0, s, np.float32(np.inf))[:, :, None]
    # Adding a half would round up what lies just below one: what is left over decides.
    whole = np.trunc(quotient)
    q = whole + np.sign(quotient) * (np.abs(quotient - whole) >= np.float32(0.5))
    return Quantized(q.astype(np.int8).reshape(x.shape), s)


def matmul(w: Tensor, x: FloatArray) -> FloatArray:
    """Computes W (rows, columns) @ x (n, columns) -> (n, rows), columns in order; for int8, groups in order."""
    out_rows = w.q.shape[0] if isinstance(w, Quantized) else w.shape[0]
    xout = np.zeros((x.shape[0], out_rows), np.float32)
    product = np.empty_like(xout)
    if not isinstance(w, Quantized):
        columns = np.ascontiguousarray(w.T)
        for j in range(x.shape[1]):
            np.multiply(columns[j], x[:, j : j + 1], out=product)
            xout += product
        return xout
    rows, groups = w.s.shape
    group_size = w.q.shape[1] // groups
    xq = quantize(x, group_size)
    # Sums of whole numbers are exact, in the order of a library too, as long as they fit the mantissa.
    number = np.float32 if group_size * 128 * 127 <= EXACT_IN_F32 else np.float64
    wg = w.q.astype(number).reshape(rows, groups, group_size).transpose(1, 2, 0)
    isum = np.matmul(xq.q.astype(number).reshape(-1, groups, group_size).transpose(1, 0, 2), wg).astype(np.float32)
    ws, xs = np.ascontiguousarray(w.s.T), xq.s
    for g in range(groups):
        np.multiply(isum[g], ws[g], out=product)
        product *= xs[:, g : g + 1]
        xout += product
    return xout


def rope(x: FloatArray, table: FloatArray) -> FloatArray:
    """Rotates the pairs of x (n, heads, head_size) by their positions 0, 1, ...; table: rope_table() of n positions."""
    fcr, fci = table[:, :, None, :]
    v0, v1 = x[:, :, 0::2], x[:, :, 1::2]
    rotated: FloatArray = np.stack((v0 * fcr - v1 * fci, v0 * fci + v1 * fcr), axis=-1).reshape(x.shape)
    return rotated


def attention(q: FloatArray, k: FloatArray, v: FloatArray, root: np.float32, window: int = 0, cap: float = 0.0) -> FloatArray:
    """Computes softmax(q @ keys / root) @ values of q, k, v (n, heads, head_size) -> (n, heads * head_size), over the last
    `window` positions; 0: over all. `cap`: of the scores."""
    n, heads, head_size = q.shape
    out = np.zeros(q.shape, np.float32)
    for p in range(n):
        seen = range(max(p + 1 - window, 0) if window else 0, p + 1)
        score: FloatArray = np.zeros((len(seen), heads), np.float32)
        for i in range(head_size):
            score += q[p, :, i] * k[seen.start : p + 1, :, i]
        score = softcap(score / root, cap)
        e = exp(score - score.max(axis=0))
        att = e / np.add.accumulate(e, axis=0)[-1]
        for t in seen:
            out[p] += att[t - seen.start][:, None] * v[t]
    return out.reshape(n, -1)


def exp(x: FloatArray) -> FloatArray:
    """Computes e^x as runtime/exp.hpp does, in double precision, rounded once."""
    z = INVERSE_LN2_32 * np.clip(x, np.float32(-104), np.float32(89)).astype(np.float64)
    k = (z + ROUND) - ROUND
    r = z - k
    whole = np.nan_to_num(k).astype(np.int64)
    scale: npt.NDArray[np.float64] = np.ldexp(EXP2[whole % 32], whole // 32)
    result: FloatArray = (((C0 * r + C1) * (r * r) + (C2 * r + 1.0)) * scale).astype(np.float32)
    return result
