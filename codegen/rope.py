"""Computes RoPE tables as llama2.c would: bit for bit what powf, cosf and sinf of today's glibc and musl return.

Both C libraries take cosf and sinf from ARM's Optimized Routines (math/sincosf.h there): the argument is reduced to
[-pi/4, pi/4] in double precision and goes through a short polynomial in double, rounded once at the end. About one
result in a hundred is not the correctly rounded one, so rounding Python's own cosine would tell other stories in int8.
Their powf (math/powf.c there) is 2^(y log2 x): a logarithm from a table of 16 and a polynomial, a power of two from a table of
32 and another. One result in a thousand is not the correctly rounded one.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from codegen.model import Model
from codegen.tensor import FloatArray

Doubles = npt.NDArray[np.float64]

HALF_PI = float.fromhex("0x1.921FB54442D18p0")
INVERSE_HALF_PI_24 = float.fromhex("0x1.45F306DC9C883p+23")  # 2/pi * 2^24
COS = tuple(
    map(
        float.fromhex,
        ("0x1p0", "-0x1.ffffffd0c621cp-2", "0x1.55553e1068f19p-5", "-0x1.6c087e89a359dp-10", "0x1.99343027bf8c3p-16"),
    )
)
SIN = tuple(map(float.fromhex, ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13")))
# Tabulates for powf (1 / c, log2 c) of c near the middles of 16 intervals from 0.7 on, and both polynomials, of the highest
# power first.
LOG2 = tuple(
    (float.fromhex(inverse), float.fromhex(logarithm))
    for inverse, logarithm in (
        ("0x1.661ec79f8f3bep+0", "-0x1.efec65b963019p-2"), ("0x1.571ed4aaf883dp+0", "-0x1.b0b6832d4fca4p-2"),
        ("0x1.49539f0f010bp+0", "-0x1.7418b0a1fb77bp-2"), ("0x1.3c995b0b80385p+0", "-0x1.39de91a6dcf7bp-2"),
        ("0x1.30d190c8864a5p+0", "-0x1.01d9bf3f2b631p-2"), ("0x1.25e227b0b8eap+0", "-0x1.97c1d1b3b7afp-3"),
        ("0x1.1bb4a4a1a343fp+0", "-0x1.2f9e393af3c9fp-3"), ("0x1.12358f08ae5bap+0", "-0x1.960cbbf788d5cp-4"),
        ("0x1.0953f419900a7p+0", "-0x1.a6f9db6475fcep-5"), ("0x1p+0", "0x0p+0"),
        ("0x1.e608cfd9a47acp-1", "0x1.338ca9f24f53dp-4"), ("0x1.ca4b31f026aap-1", "0x1.476a9543891bap-3"),
        ("0x1.b2036576afce6p-1", "0x1.e840b4ac4e4d2p-3"), ("0x1.9c2d163a1aa2dp-1", "0x1.40645f0c6651cp-2"),
        ("0x1.886e6037841edp-1", "0x1.88e9c2c1b9ff8p-2"), ("0x1.767dcf5534862p-1", "0x1.ce0a44eb17bccp-2"),
    )
)
LOG2_OF = tuple(
    map(
        float.fromhex,
        (
            "0x1.27616c9496e0bp-2", "-0x1.71969a075c67ap-2", "0x1.ec70a6ca7baddp-2", "-0x1.7154748bef6c8p-1",
            "0x1.71547652ab82bp0",
        ),
    )
)
EXP2 = tuple(float(Decimal(2) ** (Decimal(i) / 32)) for i in range(32))
EXP2_OF = tuple(map(float.fromhex, ("0x1.c6af84b912394p-5", "0x1.ebfce50fac4f3p-3", "0x1.62e42ff0c52d6p-1")))
FIRST_INTERVAL = 0x3F330000  # is where the 16 intervals begin, as the bits of a float32
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
SMALL = 120.0  # bounds large arguments: below it, a product in double reduces an argument
PI_63 = float.fromhex("0x1.921FB54442D18p-62")
# Hold 32 bits each of 2/pi, a byte farther each.
WORDS = np.array([int(2 / PI * (1 << 8 * at)) & 0xFFFFFFFF for at in range(1, 25)], np.uint64)


def powf(x: float, y: float) -> float:
    """Computes powf of a normal float32 x > 0 and a float32 y, where the result is a normal number as well."""
    bits = int(np.float32(x).view(np.uint32))
    at = bits - FIRST_INTERVAL
    whole = at >> 23  # is the power of two that is taken out; it may be negative
    fraction = float(np.uint32(bits - (whole << 23)).view(np.float32))
    inverse, logarithm = LOG2[(at >> 19) % 16]
    r = fraction * inverse - 1.0
    square = r * r
    high = LOG2_OF[0] * r + LOG2_OF[1]
    low = (LOG2_OF[2] * r + LOG2_OF[3]) * square + (LOG2_OF[4] * r + (logarithm + whole))
    exponent = y * (high * (square * square) + low)
    n = round(exponent * 32)
    r = exponent - n / 32
    value = (EXP2_OF[0] * r + EXP2_OF[1]) * (r * r) + (EXP2_OF[2] * r + 1.0)
    return float(np.float32(value * math.ldexp(EXP2[n % 32], n // 32)))


def _reduce(x: FloatArray) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Reduces float32 x >= 0 to r + n * pi/2 with r in [-pi/4, pi/4]: r and n, which counts modulo 4."""
    wide = x.astype(np.float64)
    n = (np.minimum(wide, SMALL) * INVERSE_HALF_PI_24).astype(np.int64) + 0x800000 >> 24
    r = wide - n * HALF_PI  # the product is exact enough below SMALL
    large = np.flatnonzero(x >= SMALL)
    r[large], n[large] = _reduce_large(x[large])
    return r, n


def _reduce_large(x: FloatArray) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Reduces x >= SMALL likewise, by its product with 96 bits of 2/pi: from the word on whose whole numbers of quadrants
    matter."""
    bits = x.view(np.uint32).astype(np.uint64)
    first = (bits >> np.uint64(26)) & np.uint64(15)
    mantissa = ((bits & np.uint64(0x7FFFFF)) | np.uint64(0x800000)) << ((bits >> np.uint64(23)) & np.uint64(7))
    high, middle, low = (mantissa * WORDS[first + np.uint64(skip)] for skip in (0, 4, 8))
    product = (low >> np.uint64(32)) + (high << np.uint64(32)) + middle  # modulo 2^64: 62 bits behind the point
    n = (product + np.uint64(1 << 61)) >> np.uint64(62)
    return (product - (n << np.uint64(62))).view(np.int64).astype(np.float64) * PI_63, n.view(np.int64)


def sincosf(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Computes sinf and cosf of float32 x >= 0, (n,) each."""
    r, n = _reduce(x)
    square = r * r
    cube, fourth = r * square, square * square
    sine = (r + cube * SIN[0]) + (cube * square) * (SIN[1] + square * SIN[2])
    cosine = ((COS[0] + square * COS[1]) + fourth * COS[2]) + (fourth * square) * (COS[3] + square * COS[4])
    odd = n % 2 == 1

    def quadrant(even: Doubles, other: Doubles, negative: npt.NDArray[np.bool_]) -> FloatArray:
        value: FloatArray = np.where(odd, other, even).astype(np.float32)
        return np.where(negative, -value, value)

    return quadrant(sine, cosine, n % 4 >= 2), quadrant(cosine, sine, (n + 1) % 4 >= 2)


def frequencies(head_size: int, theta: float) -> FloatArray:
    """Computes (head_size / 2,): 1 / theta^(2i / head_size), each step in float32."""
    f32 = np.float32
    powers = [powf(float(f32(theta)), float(f32(2 * i) / f32(head_size))) for i in range(head_size // 2)]
    return f32(1) / np.array(powers, np.float32)


def rope_table(model: Model, table: str = "rope") -> FloatArray:
    """Computes (2, seq_len, head_size / 2): cosines, then sines, of position * theta^(-2i / head_size) / factor[i], each step in
    float32; without factors nothing is divided, nor in "rope_local"."""
    local = table == "rope_local"
    per_pair = frequencies(model.head_size, model.local_theta if local else model.rope_theta)
    if model.rope_factors and not local:
        per_pair = np.divide(per_pair, np.array(model.rope_factors, np.float32), dtype=np.float32)
    angles = np.arange(model.seq_len, dtype=np.float32)[:, None] * per_pair
    sines, cosines = sincosf(angles.reshape(-1))
    return np.stack((cosines, sines)).astype("<f4").reshape(2, *angles.shape)
