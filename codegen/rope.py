"""RoPE tables as llama2.c would compute them: bit for bit what powf, cosf and sinf of today's glibc and musl return.

Both C libraries take cosf and sinf from ARM's Optimized Routines (math/sincosf.h there): the argument is reduced to
[-pi/4, pi/4] in double precision and goes through a short polynomial in double, rounded once at the end. About one
result in a hundred is not the correctly rounded one, so rounding Python's own cosine would tell other stories in int8.
powf is correctly rounded at these arguments.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from codegen.model import Model
from codegen.tensor import FloatArray

HALF_PI = float.fromhex("0x1.921FB54442D18p0")
INVERSE_HALF_PI_24 = float.fromhex("0x1.45F306DC9C883p+23")  # 2/pi * 2^24
COS = tuple(
    map(
        float.fromhex,
        ("0x1p0", "-0x1.ffffffd0c621cp-2", "0x1.55553e1068f19p-5", "-0x1.6c087e89a359dp-10", "0x1.99343027bf8c3p-16"),
    )
)
SIN = tuple(map(float.fromhex, ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13")))
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def _reduce(x: float) -> tuple[float, int]:
    """x >= 0 as r + n * pi/2 with r in [-pi/4, pi/4]."""
    if x < math.pi / 4:
        return x, 0
    if x < 120.0:  # the product n * pi/2 is exact enough up to here
        n = (int(x * INVERSE_HALF_PI_24) + 0x800000) >> 24
        return x - n * HALF_PI, n
    n = round(Fraction(x) * 2 / PI)
    return float(Fraction(x) - n * PI / 2), n


def _sine_of_quadrant(r: float, n: int) -> float:
    """sin(r + n * pi/2), rounded to float32."""
    square = r * r
    if n % 2:
        fourth = square * square
        high = COS[3] + square * COS[4]
        low = COS[0] + square * COS[1]
        value = (low + fourth * COS[2]) + (fourth * square) * high
    else:
        cube = r * square
        value = (r + cube * SIN[0]) + (cube * square) * (SIN[1] + square * SIN[2])
    return float(np.float32(-value if n % 4 >= 2 else value))


def sinf(x: float) -> float:
    """sinf of a float32 x >= 0."""
    return _sine_of_quadrant(*_reduce(x))


def cosf(x: float) -> float:
    """cosf of a float32 x >= 0."""
    r, n = _reduce(x)
    return _sine_of_quadrant(r, n + 1)


def rope_table(model: Model) -> FloatArray:
    """(2, seq_len, head_size / 2): cosines, then sines, of position * theta^(-2i / head_size), each step in float32."""
    f32 = np.float32
    table = np.empty((2, model.seq_len, model.head_size // 2), dtype="<f4")
    for i in range(model.head_size // 2):
        frequency = f32(1.0) / f32(math.pow(model.rope_theta, float(f32(2 * i) / f32(model.head_size))))
        for position in range(model.seq_len):
            angle = float(f32(position) * frequency)
            table[0, position, i] = cosf(angle)
            table[1, position, i] = sinf(angle)
    return table
