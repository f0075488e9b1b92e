// float16 against its definition in double, and against the compiler's own where it has one. All 2^32 floats were
// compared by hand once; the tests take the limits and a sample.
#include "half.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace storybake {
namespace {

/// What the bits mean.
double meaning(std::uint16_t half) {
    const int exponent = half >> 10 & 31;
    const int mantissa = half & 0x3ff;
    const double sign = half >> 15 != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
        return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
    }
    return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

/// Whether `half` is the nearest to `value`, of two the even one: no farther than half of the way to its neighbours.
::testing::AssertionResult nearest(float value, std::uint16_t half) {
    const auto wrong = [&] {
        return ::testing::AssertionFailure() << std::hexfloat << value << " became " << std::hex << half;
    };
    if (std::isnan(value)) {
        return std::isnan(meaning(half)) ? ::testing::AssertionSuccess() : wrong();
    }
    if (std::signbit(value) != (half >> 15 != 0)) {
        return wrong();
    }
    const double exact = std::fabs(static_cast<double>(value));
    const auto magnitude = static_cast<std::uint16_t>(half & 0x7fff);
    if (magnitude > 0x7c00) {
        return wrong();
    }
    // Infinity takes the place of 65536.
    const auto place = [](int m) { return m == 0x7c00 ? 65536.0 : meaning(static_cast<std::uint16_t>(m)); };
    const double below = magnitude == 0 ? 0.0 : (place(magnitude - 1) + place(magnitude)) / 2;
    const double above =
        magnitude == 0x7c00 ? std::numeric_limits<double>::infinity() : (place(magnitude) + place(magnitude + 1)) / 2;
    const bool even = magnitude % 2 == 0;
    const bool right = (exact > below || (exact == below && even)) && (exact < above || (exact == above && even));
    return right ? ::testing::AssertionSuccess() : wrong();
}

TEST(Half, EveryHalfWidensExactly) {
    for (std::uint32_t h = 0; h <= 0xffff; ++h) {
        const auto half = static_cast<std::uint16_t>(h);
        const float wide = half_to_float(half);
        if (std::isnan(meaning(half))) {
            ASSERT_TRUE(std::isnan(wide)) << h;
        } else {
            ASSERT_EQ(std::bit_cast<std::uint32_t>(wide),
                      std::bit_cast<std::uint32_t>(static_cast<float>(meaning(half))))
                << h;
            ASSERT_EQ(float_to_half(wide), half);
        }
    }
}

TEST(Half, EveryHalfAndEveryMidpointWithItsNeighbours) {
    for (std::uint32_t h = 0; h <= 0x7c00; ++h) {
        const double here = meaning(static_cast<std::uint16_t>(h));
        const double next = h + 1 < 0x7c00 ? meaning(static_cast<std::uint16_t>(h + 1)) : 65536.0;
        for (const double centre : {here, (here + next) / 2}) {
            const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(centre));
            for (std::uint32_t u = bits < 3 ? 0 : bits - 3; u <= bits + 3; ++u) {
                ASSERT_TRUE(nearest(std::bit_cast<float>(u), float_to_half(std::bit_cast<float>(u))));
                ASSERT_TRUE(nearest(-std::bit_cast<float>(u), float_to_half(-std::bit_cast<float>(u))));
            }
        }
    }
}

TEST(Half, EveryExponentAndSign) {
    std::mt19937 random(3);
    for (std::uint32_t top = 0; top < 512; ++top) {
        for (int i = 0; i < 2048; ++i) {
            const float value = std::bit_cast<float>(top << 23 | (static_cast<std::uint32_t>(random()) & 0x7fffffU));
            ASSERT_TRUE(nearest(value, float_to_half(value)));
        }
    }
}

TEST(Half, SpecialValues) {
    EXPECT_EQ(float_to_half(0.0F), 0);
    EXPECT_EQ(float_to_half(-0.0F), 0x8000);
    EXPECT_EQ(float_to_half(65504.0F), 0x7bff);
    EXPECT_EQ(float_to_half(65519.996F), 0x7bff);
    EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
    EXPECT_EQ(float_to_half(-std::numeric_limits<float>::max()), 0xfc00);
    EXPECT_EQ(float_to_half(std::numeric_limits<float>::infinity()), 0x7c00);
    EXPECT_EQ(float_to_half(0x1p-25F), 0);  // half of the smallest: to even
    EXPECT_EQ(float_to_half(0x1.000002p-25F), 1);
    EXPECT_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0);
    EXPECT_EQ(half_to_float(1), 0x1p-24F);
}

}  // namespace
}  // namespace storybake
