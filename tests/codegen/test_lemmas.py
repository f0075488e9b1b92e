"""What the products of integers count on, proved by a solver (z3) for all inputs at once: each step in bit vectors as wide as the
kernel's, after the lines of the template that it is written down from. A lemma with one bound moved has to be refuted.

An input is w, any int8, and x, what the quantiser makes: -127 to 127.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import z3

MOST_INT8, MOST_INT4 = (2**31 - 1) // (128 * 127), (2**31 - 1) // (8 * 127)  # columns of a group: codegen/ranges.py refuses more
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
Bits = Any  # z3's expressions are not typed


def wide(value: Bits, bits: int = 32) -> Bits:
    """The same number in more bits of two's complement."""
    return z3.SignExt(bits - value.size(), value)


def within(value: Bits, least: int, most: int) -> Bits:
    return z3.And(value >= least, value <= most)


def fits_int(value: Bits) -> Bits:
    return within(value, -(2**31), 2**31 - 1)


def magnitude(value: Bits) -> Bits:
    """As vpabsb and RISC-V's vmax of x and -x have it: that of -128 stays -128."""
    return z3.If(value < 0, -value, value)


def saturated(value: Bits) -> Bits:
    """32 bits in 16, as vpmaddubsw does it."""
    return z3.Extract(15, 0, z3.If(value > 32767, z3.BitVecVal(32767, 32), z3.If(value < -32768, z3.BitVecVal(-32768, 32), value)))


@dataclass(frozen=True)
class Lemma:
    """`claim(b)` holds for the bound b = `bound`, and not for `broken`; `lines` of a template are what it is about."""

    template: str
    lines: tuple[str, ...]
    claim: Callable[[int], Bits]
    bound: int
    broken: int


def magnitude_times_signed(least: int) -> Bits:
    """AVX2: |w| as uint8 times x with the sign of w is w * x. (A product by a number that is known is easier: each w by itself.)"""
    x = z3.BitVec("x", 8)
    each = []
    for w in range(-128, 128):
        signed = -x if w < 0 else x if w > 0 else z3.BitVecVal(0, 8)
        each.append(abs(w) * wide(signed) == w * wide(x))
    return z3.Implies(x >= least, z3.And(*each))


def pair_fits(most: int) -> Bits:
    """Two products, of which each is at most 128 * 127, are added up in 16 bits without saturating."""
    a, b = z3.BitVecs("a b", 32)
    bounded = z3.And(within(a, -most, most), within(b, -most, most))
    return z3.Implies(bounded, wide(saturated(a + b)) == a + b)


def product_is_bounded(most: int) -> Bits:
    w, x = z3.BitVecs("w x", 8)
    return z3.Implies(x >= -127, within(wide(w) * wide(x), -most, most))


def offset_is_taken_off(offset: int) -> Bits:
    """AVX-512: (w + 128) as uint8 times x, added to what begins with -128 * x, leaves w * x, wherever the sum stands."""
    w, x, isum = z3.BitVec("w", 8), z3.BitVec("x", 8), z3.BitVec("isum", 32)
    stored = w + z3.BitVecVal(128, 8)
    return isum - offset * wide(x) + z3.ZeroExt(24, stored) * wide(x) == isum + wide(w) * wide(x)


def pair_wraps_not(most: int) -> Bits:
    """NEON, where vpaddq_s16 adds them, and plain C++: two products in 16 bits, which they fit."""
    a, b = z3.BitVecs("a b", 16)
    bounded = z3.And(within(a, -most, most), within(b, -most, most))
    return z3.Implies(bounded, wide(a + b) == wide(a) + wide(b))


def wide_marks(above: int) -> Bits:
    """RISC-V: a word of four activations is marked just where their magnitudes add up to more than 255."""
    word = z3.BitVec("word", 32)
    x = [z3.Extract(8 * i + 7, 8 * i, word) for i in range(4)]
    v0 = z3.Concat(*(magnitude(one) for one in reversed(x)))
    v4 = z3.LShR(v0, 8) & 0x00FF00FF
    v0 = (v0 & 0x00FF00FF) + v4
    v0 = v0 + z3.LShR(v0, 16)
    total = sum((z3.ZeroExt(24, magnitude(one)) for one in x), z3.BitVecVal(0, 32))
    return z3.Implies(z3.And(*(one >= -127 for one in x)), ((v0 & above) != 0) == z3.UGT(total, 255))


def product_by_its_factor(most: int) -> Bits:
    """|w * x| is at most 128 * |x|."""
    w, x = z3.BitVecs("w x", 8)
    limit = most * magnitude(wide(x))
    return within(wide(w) * wide(x), -limit, limit)


def four_fit(most: int) -> Bits:
    """Four products, each at most 128 times its |x|, fit 16 bits on the way and at the end where the |x| add up to 255."""
    p, a = [z3.Int(f"p{i}") for i in range(4)], [z3.Int(f"a{i}") for i in range(4)]
    bounded = z3.And(sum(a) <= most, *(z3.And(one >= 0, product <= 128 * one, product >= -128 * one) for one, product in zip(a, p)))
    return z3.Implies(bounded, z3.And(*(within(sum(p[: n + 1]), -32768, 32767) for n in range(4))))


def nibble(shift: int) -> Bits:
    """int4: the AND, and the shift of bytes, give both halves of a byte, 8 added, for any two of -8 to 7."""
    low, high = z3.BitVecs("low high", 8)
    byte = (low + 8) | (high + 8) << 4
    both = z3.And((byte & 0x0F) - 8 == low, z3.LShR(byte, shift) - 8 == high)
    return z3.Implies(z3.And(within(low, -8, 7), within(high, -8, 7)), both)


def scalar_sum_fits(columns: int) -> Bits:
    """Plain C++, int8: after j of a group's columns the sum is within 16,256 j; another column's product, which is an int's, takes
    it no farther than 16,256 (j + 1), and so not out of 32 bits. (In whole numbers: what fits does not wrap.)"""
    x, isum, j = z3.Ints("x isum j")
    most = 128 * 127
    before = z3.And(within(x, -127, 127), j >= 0, j < columns, within(isum, -most * j, most * j))
    after = [isum + w * x for w in range(-128, 128)]
    return z3.Implies(before, z3.And(*(z3.And(fits_int(one), within(one, -most * (j + 1), most * (j + 1))) for one in after)))


def scalar_offset(offset: int) -> Bits:
    """Plain C++, int8 that is stored with 128 added: taken off of what is read as uint8, in int, it leaves the weight."""
    w = z3.BitVec("w", 8)
    return z3.ZeroExt(24, w + z3.BitVecVal(128, 8)) - offset == wide(w)


def scalar_pair_fits(columns: int) -> Bits:
    """Plain C++, int4: the sum begins with -8 x of every column, and what the others have given is within 8 * 127 each, before
    their turn and after it. Two columns' turn, in one expression, puts w * x in place of their -8 * x."""
    x, y, others = z3.Ints("x y others")
    most = 8 * 127 * (columns - 2)
    isum = others - 8 * x - 8 * y
    steps = [(a * x + b * y, isum + (a * x + b * y)) for a in range(16) for b in range(16)]
    return z3.Implies(z3.And(within(x, -127, 127), within(y, -127, 127), within(others, -most, most)),
                      z3.And(fits_int(isum), *(z3.And(fits_int(added), fits_int(after)) for added, after in steps)))


X86, NEON, RVV = "simd_x86.jinja", "simd_neon.jinja", "rvv_matmul_q8.jinja"
WIDE = ('"vrsub.vx"', '"vmax.vv"', '"vsrl.vi") } v4, v0, 8', '"vsrl.vi") } v4, v0, 16', "0x00ff00ff", '"r"(0xff00)')
SIGNED = "dot2((Ints)_mm256_abs_epi8((__m256i)w), (Ints)_mm256_sign_epi8((__m256i)x, (__m256i)w))"
SCALAR = "isum[r] += q[j * kRows + r] * xq[j];"
STORED = 'isum[r] += ${ "(q[at] - %d)" % mat.offset if mat.offset else "q[at]" } * xq[j];'
PAIR = ("kRows, x.start${ mat.offset }[", "isum[r] += (pair & 15) * xq[j + k] + (pair >> 4) * xq[j + kTogether + k];")
TWO = "static_cast<std::int16_t>(q[j * kRows + r] * xq[j] + q[(j + 1) * kRows + r] * xq[j + 1])"
LEMMAS = {
    "plain C++, two products in 16 bits": Lemma("portable_matmul_q8.jinja", (TWO,), pair_wraps_not, 128 * 127, 128 * 128),
    "plain C++, int8": Lemma("portable_matmul_q8.jinja", (SCALAR, STORED), scalar_sum_fits, MOST_INT8, MOST_INT8 + 1),
    "plain C++, 128 added": Lemma("portable_matmul_q8.jinja", (STORED,), scalar_offset, 128, 127),
    "plain C++, int4": Lemma("portable_matmul_q4.jinja", PAIR, scalar_pair_fits, MOST_INT4, MOST_INT4 + 1),
    "a product is at most 16,256": Lemma(X86, ("|w| <= 128 and |x| <= 127",), product_is_bounded, 128 * 127, 128 * 127 - 1),
    "AVX2, |w| times signed x": Lemma(X86, (SIGNED,), magnitude_times_signed, -127, -128),
    "AVX2, a pair does not saturate": Lemma(X86, ("_mm256_maddubs_epi16((__m256i)w",), pair_fits, 128 * 127, 128 * 128),
    "AVX-512, 128 added": Lemma(X86, ("_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w",), offset_is_taken_off, 128, 127),
    "NEON, a pair does not wrap": Lemma(NEON, ("(int32x4_t)sum, vpaddq_s16(low, high)",), pair_wraps_not, 128 * 127, 128 * 128),
    "RISC-V, what is marked": Lemma("rvv_wide.jinja", WIDE, wide_marks, 0xFF00, 0xFE00),
    "RISC-V, a product by its activation": Lemma(RVV, ('"vwmul.vx"', '"vwmacc.vx"'), product_by_its_factor, 128, 127),
    "RISC-V, four of what is not marked": Lemma(RVV, ("the products in 16 bits",), four_fit, 255, 256),
    "int4, both halves of a byte": Lemma("vector_matmul_q4.jinja", ("w & 0x0f0f0f0f", "(Ints)((Bytes)w >> 4)"), nibble, 4, 3),
}


def holds(claim: Bits) -> bool:
    """Whether a claim holds for all values of its variables; what the solver can't decide in a minute fails."""
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add(z3.Not(claim))
    answer = solver.check()
    assert answer != z3.unknown, solver.reason_unknown()
    return bool(answer == z3.unsat)


@pytest.mark.parametrize("name", LEMMAS)
def test_a_lemma_holds_and_only_just(name: str) -> None:
    lemma = LEMMAS[name]
    text = (TEMPLATES / lemma.template).read_text(encoding="utf-8")
    for line in lemma.lines:
        assert line in text, f"{lemma.template} has no {line} any more: write its lemma down again"
    assert holds(lemma.claim(lemma.bound))
    assert not holds(lemma.claim(lemma.broken))
