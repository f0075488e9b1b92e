// exp_f32 against the C library's expf. glibc 2.28 and newer and musl 1.2 and newer follow the same method; all 2^32
// arguments were compared by hand once: glibc 2.36 built without fused multiply-adds gives the same bits for every
// one, its variant with them (chosen at run time on x86-64) differs in the last bit of 2.
#include "exp.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>

namespace storybake {
namespace {

std::uint32_t bits(float x) {
    std::uint32_t u;
    std::memcpy(&u, &x, sizeof u);
    return u;
}

float from_bits(std::uint32_t u) {
    float x;
    std::memcpy(&x, &u, sizeof x);
    return x;
}

// The exact bits; any NaN equals any NaN.
bool equals_libc(float x) {
    const float ours = exp_f32(x);
    const float theirs = std::exp(x);
    return std::isnan(theirs) ? std::isnan(ours) : bits(ours) == bits(theirs);
}

TEST(Exp, SpecialValues) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    EXPECT_EQ(bits(exp_f32(0.0F)), bits(1.0F));
    EXPECT_EQ(bits(exp_f32(-0.0F)), bits(1.0F));
    EXPECT_EQ(exp_f32(kInfinity), kInfinity);
    EXPECT_EQ(bits(exp_f32(-kInfinity)), bits(0.0F));
    EXPECT_TRUE(std::isnan(exp_f32(std::numeric_limits<float>::quiet_NaN())));
    EXPECT_TRUE(std::isnan(exp_f32(-std::numeric_limits<float>::quiet_NaN())));
    EXPECT_EQ(exp_f32(std::numeric_limits<float>::max()), kInfinity);
    EXPECT_EQ(bits(exp_f32(std::numeric_limits<float>::lowest())), bits(0.0F));
    EXPECT_EQ(bits(exp_f32(std::numeric_limits<float>::denorm_min())), bits(1.0F));
}

TEST(Exp, EveryArgumentAroundTheLimits) {
    // Around ln 2^128 (overflow), ln 2^-126 (subnormal from here), ln 2^-150 (zero from here) and the clamps.
    for (const float limit : {88.722839F, 89.0F, 88.0F, -87.336544F, -103.278929F, -103.972084F, -104.0F}) {
        const std::uint32_t centre = bits(limit);
        for (std::uint32_t u = centre - 20000; u != centre + 20000; ++u) {
            ASSERT_TRUE(equals_libc(from_bits(u))) << from_bits(u);
        }
    }
}

TEST(Exp, EveryExponentAndSign) {
    std::mt19937 random(1);
    for (std::uint32_t top = 0; top < 512; ++top) {
        for (int i = 0; i < 4096; ++i) {
            const std::uint32_t u = top << 23 | (random() & 0x7fffffU);
            ASSERT_TRUE(equals_libc(from_bits(u))) << std::hexfloat << from_bits(u);
        }
    }
}

TEST(Exp, WhereSoftmaxAndSiluUseIt) {
    std::mt19937 random(2);
    for (int i = 0; i < 2000000; ++i) {
        const float x = -30.0F + 40.0F * static_cast<float>(random()) / 4294967296.0F;
        ASSERT_TRUE(equals_libc(x)) << std::hexfloat << x;
    }
}

}  // namespace
}  // namespace storybake
