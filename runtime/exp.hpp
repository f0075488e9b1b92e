// Defines storybake's own exp in float32: the same bits on every target, and those of today's glibc and musl.
#pragma once

#include <cstdint>
#include <cstring>

namespace storybake {

/// Holds the bits of 2^(i/32), rounded to nearest, less i << 47: adding k << 47 for any k with k % 32 == i gives the
/// bits of 2^(k/32).
inline constexpr std::uint64_t kExp2Bits[32] = {
    // clang-format off
    0x3ff0000000000000, 0x3fefd9b0d3158574, 0x3fefb5586cf9890f, 0x3fef9301d0125b51,
    0x3fef72b83c7d517b, 0x3fef54873168b9aa, 0x3fef387a6e756238, 0x3fef1e9df51fdee1,
    0x3fef06fe0a31b715, 0x3feef1a7373aa9cb, 0x3feedea64c123422, 0x3feece086061892d,
    0x3feebfdad5362a27, 0x3feeb42b569d4f82, 0x3feeab07dd485429, 0x3feea47eb03a5585,
    0x3feea09e667f3bcd, 0x3fee9f75e8ec5f74, 0x3feea11473eb0187, 0x3feea589994cce13,
    0x3feeace5422aa0db, 0x3feeb737b0cdc5e5, 0x3feec49182a3f090, 0x3feed503b23e255d,
    0x3feee89f995ad3ad, 0x3feeff76f2fb5e47, 0x3fef199bdd85529c, 0x3fef3720dcef9069,
    0x3fef5818dcfba487, 0x3fef7c97337b9b5f, 0x3fefa4afa2a490da, 0x3fefd0765b6e4540,
    // clang-format on
};

// The method and its constants are those of the expf of Arm's Optimized Routines (Szabolcs Nagy, 2017), which glibc
// (2.28 and newer) and musl (1.2.0 and newer) took over, so that a baked model follows llama2.c built with either.
// With x = (k + r) * ln2 / 32, k whole and |r| <= 1/2: e^x = 2^(k/32) * 2^(r/32), from a table and a cubic in double
// precision. It must be built without contraction (-ffp-contract=off): a fused multiply-add changes a few results.
inline constexpr float kLowestExp = -104.0F;               // is where e^x becomes 0, as it is for all that is less
inline constexpr double kExpScale = 0x1.71547652b82fep+5;  // 32 / ln2
inline constexpr double kExpShift = 0x1.8p+52;             // adding it rounds to a whole number
// 2^(r/32) = 1 + c2 r + c1 r^2 + c0 r^3, a minimax fit; the divisions by powers of 32 are exact.
inline constexpr double kExpC0 = 0x1.c6af84b912394p-5 / (32.0 * 32.0 * 32.0);
inline constexpr double kExpC1 = 0x1.ebfce50fac4f3p-3 / (32.0 * 32.0);
inline constexpr double kExpC2 = 0x1.62e42ff0c52d6p-1 / 32.0;

/// Returns e^x for kLowestExp <= x <= 89, correctly rounded but for about one argument in 25000 (error below 0.502
/// ulp): beyond these, the conversion to float overflows or underflows by itself. No branches, so that a compiler can
/// interleave or vectorise it.
inline float exp_f32_in_range(float x) {
    const double z = kExpScale * static_cast<double>(x);
    const double shifted = z + kExpShift;
    std::uint64_t k;
    std::memcpy(&k, &shifted, sizeof k);
    const double r = z - (shifted - kExpShift);

    const std::uint64_t scale_bits = kExp2Bits[k % 32] + (k << 47);
    double scale;
    std::memcpy(&scale, &scale_bits, sizeof scale);

    const double high = kExpC0 * r + kExpC1;
    const double low = kExpC2 * r + 1.0;
    return static_cast<float>((high * (r * r) + low) * scale);
}

/// Returns e^x for any x: overflow gives infinity, underflow zero or a subnormal, NaN gives NaN.
inline float exp_f32(float x) {
    x = x < kLowestExp ? kLowestExp : x;
    x = x > 89.0f ? 89.0f : x;
    return exp_f32_in_range(x);
}

}  // namespace storybake
