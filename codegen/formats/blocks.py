"""Decodes the encodings of tensors in files: numbers of 16 and 32 bits, and ggml's blocks of small integers with scales.

Blocks lie as in ggml-common.h and mean what dequantize_row_* of ggml-quants.c computes, to the bit: every product and sum is
rounded to float32 in that order (https://github.com/ggml-org/ggml).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from codegen.tensor import FloatArray

Blocks = npt.NDArray[Any]  # (blocks,) of a structured type
Bytes = npt.NDArray[np.uint8]
IQ4_NL = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)


@dataclass(frozen=True)
class Encoding:
    """Describes an encoding: `values` lie in a block of the NumPy type `dtype`; `decode` makes (blocks, values) float32 of
    (blocks,)."""

    values: int
    dtype: np.dtype[Any]
    decode: Callable[[Blocks], FloatArray]

    @property
    def bytes(self) -> int:
        """Counts the bytes of a block."""
        return self.dtype.itemsize


def _single(blocks: Blocks, name: str) -> FloatArray:
    """Reads a float16 of each block as float32 (blocks, 1, ...), ready to be multiplied with (blocks, groups, values)."""
    values: FloatArray = blocks[name].astype(np.float32).reshape(-1, 1, 1)
    return values


def _halves(q: Bytes) -> Bytes:
    """Takes the low halves of bytes (..., n), then the high ones: (..., 2, n)."""
    return np.stack((q & 15, q >> 4), axis=-2)


def _fifth_bits(blocks: Blocks) -> Bytes:
    """Takes the bits of qh, the first of the lowest byte first, as 16 or 0: (blocks, 2, 16)."""
    return np.unpackbits(blocks["qh"], axis=1, bitorder="little").reshape(-1, 2, 16) << np.uint8(4)


def _scaled(q: npt.NDArray[Any], scale: FloatArray, least: FloatArray | None = None) -> FloatArray:
    """Computes scale * q - least, (blocks, groups, values), flat a block."""
    values: FloatArray = np.multiply(q, scale, dtype=np.float32)
    if least is not None:
        values -= least
    flat: FloatArray = values.reshape(values.shape[0], -1)
    return flat


def _q4_0(b: Blocks) -> FloatArray:
    return _scaled(_halves(b["q"]).view(np.int8) - np.int8(8), _single(b, "d"))


def _q4_1(b: Blocks) -> FloatArray:
    return _scaled(_halves(b["q"]), _single(b, "d"), -_single(b, "m"))


def _q5_0(b: Blocks) -> FloatArray:
    return _scaled((_halves(b["q"]) | _fifth_bits(b)).view(np.int8) - np.int8(16), _single(b, "d"))


def _q5_1(b: Blocks) -> FloatArray:
    return _scaled(_halves(b["q"]) | _fifth_bits(b), _single(b, "d"), -_single(b, "m"))


def _iq4_nl(b: Blocks) -> FloatArray:
    return _scaled(IQ4_NL[_halves(b["q"])], _single(b, "d"))


def _pairs_of_bits(q: Bytes) -> Bytes:
    """Takes two bits at a time, the lowest of 32 bytes first: (blocks, 32 * n) -> (blocks, n * 4, 32)."""
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    pairs: Bytes = ((q.reshape(q.shape[0], -1, 1, 32) >> shifts) & np.uint8(3)).reshape(q.shape[0], -1, 32)
    return pairs


def _q2_k(b: Blocks) -> FloatArray:
    q = _pairs_of_bits(b["q"]).reshape(-1, 16, 16)
    scales = b["scales"][:, :, None]
    return _scaled(q, _single(b, "d") * (scales & 15), _single(b, "m") * (scales >> 4))


def _q3_k(b: Blocks) -> FloatArray:
    low, high = b["scales"][:, :8], b["scales"][:, 8:]
    fours = np.concatenate((low & 15, low >> 4), axis=1)
    twos = ((high[:, None, :] >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]) & 3).reshape(-1, 16)
    scales = (fours | twos << np.uint8(4)).view(np.int8) - np.int8(32)
    third = ((b["qh"][:, None, :] >> np.arange(8, dtype=np.uint8)[:, None]) & 1) << np.uint8(2)
    q = (_pairs_of_bits(b["q"]) | third).view(np.int8) - np.int8(4)
    return _scaled(q.reshape(-1, 16, 16), _single(b, "d") * scales[:, :, None])


def _k4_scales(b: Blocks) -> tuple[Bytes, Bytes]:
    """Takes the six bits of eight scales and of eight minimums, (blocks, 8, 1) each."""
    first, second, third = (b["scales"][:, at : at + 4] for at in (0, 4, 8))
    scales = np.concatenate((first & 63, (third & 15) | (first >> 6) << np.uint8(4)), axis=1)
    least = np.concatenate((second & 63, (third >> 4) | (second >> 6) << np.uint8(4)), axis=1)
    return scales[:, :, None], least[:, :, None]


def _q4_k(b: Blocks) -> FloatArray:
    scales, least = _k4_scales(b)
    q = _halves(b["q"].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    return _scaled(q, _single(b, "d") * scales, _single(b, "m") * least)


def _q5_k(b: Blocks) -> FloatArray:
    scales, least = _k4_scales(b)
    fifth = ((b["qh"][:, None, :] >> np.arange(8, dtype=np.uint8)[:, None]) & 1) << np.uint8(4)
    q = _halves(b["q"].reshape(-1, 4, 32)).reshape(-1, 8, 32) | fifth
    return _scaled(q, _single(b, "d") * scales, _single(b, "m") * least)


def _q6_k(b: Blocks) -> FloatArray:
    low = _halves(b["q"].reshape(-1, 2, 64)).reshape(-1, 8, 32)
    high = _pairs_of_bits(b["qh"]) << np.uint8(4)
    q = (low | high).view(np.int8) - np.int8(32)
    return _scaled(q.reshape(-1, 16, 16), _single(b, "d") * b["scales"][:, :, None])


def _encoding(values: int, fields: list[tuple[str, str, int]], decode: Callable[[Blocks], FloatArray]) -> Encoding:
    """Makes an Encoding. `fields`: (name, type, count) of a block, one after the other."""
    return Encoding(values, np.dtype([(name, kind, (count,)) if count > 1 else (name, kind) for name, kind, count in fields]), decode)


D, M = ("d", "<f2", 1), ("m", "<f2", 1)
ENCODINGS = {
    "F32": Encoding(1, np.dtype("<f4"), lambda b: b.astype(np.float32)),
    "F16": Encoding(1, np.dtype("<f2"), lambda b: b.astype(np.float32)),
    "BF16": Encoding(1, np.dtype("<u2"), lambda b: (b.astype(np.uint32) << 16).view(np.float32)),
    "Q8_0": _encoding(32, [D, ("q", "i1", 32)], lambda b: _scaled(b["q"][:, None], _single(b, "d"))),
    "Q4_0": _encoding(32, [D, ("q", "u1", 16)], _q4_0),
    "Q4_1": _encoding(32, [D, M, ("q", "u1", 16)], _q4_1),
    "Q5_0": _encoding(32, [D, ("qh", "u1", 4), ("q", "u1", 16)], _q5_0),
    "Q5_1": _encoding(32, [D, M, ("qh", "u1", 4), ("q", "u1", 16)], _q5_1),
    "Q2_K": _encoding(256, [("scales", "u1", 16), ("q", "u1", 64), D, M], _q2_k),
    "Q3_K": _encoding(256, [("qh", "u1", 32), ("q", "u1", 64), ("scales", "u1", 12), D], _q3_k),
    "Q4_K": _encoding(256, [D, M, ("scales", "u1", 12), ("q", "u1", 128)], _q4_k),
    "Q5_K": _encoding(256, [D, M, ("scales", "u1", 12), ("qh", "u1", 32), ("q", "u1", 128)], _q5_k),
    "Q6_K": _encoding(256, [("q", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), D], _q6_k),
    "IQ4_NL": _encoding(32, [D, ("q", "u1", 16)], _iq4_nl),
}
CHUNK = 1 << 22  # counts the values that are decoded at once, so that what is between takes no memory to speak of


def decode(raw: bytes, encoding: str) -> FloatArray:
    """Decodes the values of one encoding to float32."""
    kind = ENCODINGS[encoding]
    blocks = np.frombuffer(raw, kind.dtype)
    out = np.empty((blocks.size, kind.values), np.float32)
    step = max(CHUNK // kind.values, 1)
    with np.errstate(invalid="ignore", over="ignore"):  # 0 * infinity may come up; the caller checks for both
        for begin in range(0, blocks.size, step):
            out[begin : begin + step] = kind.decode(blocks[begin : begin + step]).reshape(-1, kind.values)
    return out.ravel()
