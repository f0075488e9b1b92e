// Converts float16 (IEEE 754 binary16), as 16 bits, to and from float32: the same bits on every target, which need not
// know it.
#pragma once

#include <cstdint>
#include <cstring>

namespace storybake {

/// Returns the float32 of the same value; a NaN stays one. Exact.
///
/// A half's exponent and mantissa, moved to where a float has them, read as the value times 2^-112; the subnormals too.
inline float half_to_float(std::uint16_t half) {
    const std::uint32_t magnitude = (half & 0x7fffU) << 13;
    float value;
    std::memcpy(&value, &magnitude, sizeof value);
    value *= 0x1p+112F;
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits |= (half & 0x7c00U) == 0x7c00U ? 0x7f800000U : 0U;  // infinity and NaN
    bits |= (half & 0x8000U) << 16;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// Returns the nearest float16, of two equally near the even one; from 65520 on infinity. A NaN stays one.
///
/// The rounding is that of a float addition: to the magnitude is added the power of two whose last place as a float is
/// the half's.
inline std::uint16_t float_to_half(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t sign = bits >> 16 & 0x8000U;
    std::uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) {
        return static_cast<std::uint16_t>(sign | 0x7e00U);
    }
    constexpr std::uint32_t kInfinity = 0x47800000;        // 65536: what overflows, overflows here
    constexpr std::uint32_t kSmallestNormal = 0x38800000;  // 2^-14
    magnitude = magnitude < kInfinity ? magnitude : kInfinity;
    std::uint32_t exponent = magnitude & 0x7f800000U;
    exponent = exponent > kSmallestNormal ? exponent : kSmallestNormal;

    const std::uint32_t power_bits = exponent + (13U << 23);
    float power;
    std::memcpy(&power, &power_bits, sizeof power);
    std::memcpy(&value, &magnitude, sizeof value);
    value += power;
    std::memcpy(&bits, &value, sizeof bits);
    // The sum's mantissa counts last places of the half: 1024 and more for a normal one, which is its exponent's 1.
    return static_cast<std::uint16_t>(sign | (((exponent - kSmallestNormal) >> 13) + (bits - power_bits)));
}

}  // namespace storybake
