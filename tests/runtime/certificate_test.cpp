// A token drawn from the head alone is the token that all logits give, whatever they are; and what can't be proved is
// drawn from all of them with the same random number.
#include "certificate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include "sampler.hpp"

namespace storybake {
namespace {

using Floats = std::vector<float>;

/// Counts rounds, a tenth of the usual ones under a sanitizer (STORYBAKE_TEST_SANITIZED), which is for each kind of
/// access.
int rounds(int usual) {
    return std::getenv("STORYBAKE_TEST_SANITIZED") != nullptr ? usual / 10 : usual;
}

/// Logits of a vocabulary by token, and which tokens are the tail.
struct Case {
    Floats logits;
    std::vector<bool> in_tail;
    double low = 0, high = 0;
};

/// Draws once from the head and, where that proves nothing, from all; whether the head was enough. Fails when the token
/// is not the one that a sampler of the same seed draws from all logits.
bool draws_the_same(const Case& one, float temperature, float topp, std::uint64_t seed, const Sampling& sampling = {},
                    const std::vector<int>& forbidden = {}, const std::vector<int>& heard = {}) {
    std::vector<std::uint32_t> tokens;
    Floats head;
    for (const bool tail : {false, true}) {
        for (std::size_t i = 0; i < one.logits.size(); ++i) {
            if (one.in_tail[i] == tail) {
                tokens.push_back(static_cast<std::uint32_t>(i));
                if (!tail) {
                    head.push_back(one.logits[i]);
                }
            }
        }
    }
    const auto count = static_cast<int>(one.logits.size());
    Sampler whole(count, temperature, topp, seed, sampling);
    Sampler certified(count, temperature, topp, seed, sampling);
    for (Sampler* sampler : {&whole, &certified}) {
        sampler->forbid(forbidden);
        std::for_each(heard.begin(), heard.end(), [&](int token) { sampler->accept(token); });
    }
    std::vector<std::uint32_t> rows(tokens.size());
    for (std::size_t row = 0; row < tokens.size(); ++row) {
        rows[tokens[row]] = static_cast<std::uint32_t>(row);
    }
    const int expected = whole.sample(one.logits);
    const std::optional<int> proven =
        certified.sample_head({head, tokens, rows, {argmax(head), true}, {one.low, one.high}});
    const int found = proven ? *proven : certified.sample(one.logits);
    EXPECT_EQ(found, expected) << "proven " << proven.has_value() << ", temperature " << temperature << ", topp "
                               << topp << ", seed " << seed << ", " << count << " tokens";
    EXPECT_EQ(certified.sample(one.logits), whole.sample(one.logits)) << "the next draw of seed " << seed;
    return proven.has_value();
}

/// `size` logits with a standard deviation of `scale`, on a grid of eighths where `ties`; half of them a tail that lies
/// `below` the largest, within `width` of its middle and at both edges of the range.
Case random_case(std::mt19937& random, std::size_t size, float scale, bool ties, float below, float width) {
    std::normal_distribution<float> normal(0.0F, scale);
    Case one;
    for (std::size_t i = 0; i < size; ++i) {
        const float x = normal(random);
        one.logits.push_back(ties ? std::round(x * 8) / 8 : x);
        one.in_tail.push_back(i > 0 && random() % 2 == 0);
    }
    float largest = one.logits[0];
    for (std::size_t i = 0; i < size; ++i) {
        largest = one.in_tail[i] ? largest : std::max(largest, one.logits[i]);
    }
    const float middle = largest - below;
    one.low = static_cast<double>(middle - width);
    one.high = static_cast<double>(middle + width);
    std::uniform_real_distribution<float> within(middle - width, middle + width);
    for (std::size_t i = 0; i < size; ++i) {
        if (one.in_tail[i]) {
            const float edges[] = {middle - width, middle + width, std::min(within(random), middle + width)};
            one.logits[i] = edges[random() % 3];
        }
    }
    return one;
}

TEST(Certificate, NeverChangesAToken) {
    std::mt19937 random(11);
    int proven = 0;
    int drawn = 0;
    for (int round = 0; round < rounds(4000); ++round) {
        const std::size_t size = 2 + random() % (round % 10 == 0 ? 3000 : 60);
        const float scales[] = {0.001F, 0.5F, 3.0F, 8.0F, 20.0F};
        const float depths[] = {-1.0F, 0.0F, 0.5F, 4.0F, 12.0F, 20.0F};
        const float widths[] = {0.0F, 0.001F, 0.1F, 2.0F};
        const Case one = random_case(random, size, scales[random() % 5], random() % 3 == 0, depths[random() % 6],
                                     widths[random() % 4]);
        for (const float temperature : {0.0F, 1e-31F, 0.01F, 0.7F, 1.0F, 100.0F}) {
            for (const float topp : {0.0F, 0.0001F, 0.5F, 0.9F, 0.99999F, 1.0F}) {
                proven += draws_the_same(one, temperature, topp, random() + 1ULL) ? 1 : 0;
                ++drawn;
            }
        }
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(proven, drawn / 4) << "of " << drawn << ": otherwise nothing was tested";
    EXPECT_LT(proven, drawn) << "some of these can't be proved";
}

TEST(Certificate, NeverChangesATokenThatIsChosenAmongFewer) {
    // Top-k, min-p, the penalty and forbidden tokens, alone and together, on logits with and without equals.
    std::mt19937 random(17);
    int proven = 0;
    int drawn = 0;
    for (int round = 0; round < rounds(6000); ++round) {
        const std::size_t size = 2 + random() % (round % 20 == 0 ? 2000 : 40);
        const float scales[] = {0.5F, 3.0F, 8.0F};
        const float depths[] = {0.0F, 0.5F, 4.0F, 12.0F, 20.0F};
        const Case one = random_case(random, size, scales[random() % 3], random() % 2 == 0, depths[random() % 5],
                                     random() % 2 == 0 ? 0.0F : 0.1F);
        std::vector<int> forbidden;
        std::vector<int> heard;
        const auto some = [&](std::vector<int>& tokens, std::size_t most) {
            for (std::size_t i = random() % (most + 1); i > 0; --i) {
                tokens.push_back(static_cast<int>(random() % size));
            }
        };
        if (random() % 2 == 0) {
            some(forbidden, std::min<std::size_t>(size - 1, 4));
        }
        some(heard, 5);
        const Sampling samplings[] = {
            {},
            {static_cast<int>(1 + random() % 12), 0.0F, 1.0F, 64},
            {0, static_cast<float>(random() % 100) / 100.0F, 1.0F, 64},
            {0, 0.0F, random() % 2 == 0 ? 1.3F : 0.8F, static_cast<int>(random() % 4)},
            {static_cast<int>(1 + random() % 12), 0.05F, 1.2F, 3},
        };
        for (const Sampling& sampling : samplings) {
            for (const float temperature : {0.0F, 0.5F, 1.0F, 30.0F}) {
                for (const float topp : {0.0F, 0.5F, 0.9F}) {
                    proven +=
                        draws_the_same(one, temperature, topp, random() + 1ULL, sampling, forbidden, heard) ? 1 : 0;
                    ++drawn;
                }
            }
        }
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(proven, drawn / 4) << "of " << drawn;
    EXPECT_LT(proven, drawn);
}

TEST(Certificate, WhatHasNoChanceBesideTheHeadNeedsNoBracket) {
    // Flat logits: the set of top-p reaches far, but k and min-p end before the tail begins.
    std::mt19937 random(18);
    Case one{Floats(400), std::vector<bool>(400, false), -1.0, -0.9};
    for (std::size_t i = 0; i < 400; ++i) {
        one.in_tail[i] = i % 2 == 1;
        one.logits[i] = one.in_tail[i] ? -0.95F : static_cast<float>(random() % 1000) / 1000.0F;
    }
    EXPECT_FALSE(draws_the_same(one, 1.0F, 0.99F, 3));
    EXPECT_TRUE(draws_the_same(one, 1.0F, 0.99F, 3, {150, 0.0F, 1.0F, 64}));
    EXPECT_TRUE(draws_the_same(one, 1.0F, 0.99F, 3, {0, 0.2F, 1.0F, 64}));
    EXPECT_FALSE(draws_the_same(one, 1.0F, 0.99F, 3, {201, 0.0F, 1.0F, 64})) << "one of the tail is among them";
    EXPECT_FALSE(draws_the_same(one, 1.0F, 0.99F, 3, {0, 0.1F, 1.0F, 64}));
}

TEST(Certificate, TokensOfTheTailThatWereThereLatelyEndNoProof) {
    // A distribution with a top, whose tail is penalised by a few or as a whole: what is lowered has a bound from
    // above.
    std::mt19937 random(19);
    int proven = 0;
    int raised = 0;
    constexpr int kRounds = 2000;
    for (int round = 0; round < kRounds; ++round) {
        const Case one = random_case(random, 40, 8.0F, false, round % 2 == 0 ? 12.0F : 30.0F, 0.1F);
        std::vector<int> heard;
        for (std::size_t token = 0; token < one.in_tail.size(); ++token) {
            if (one.in_tail[token] && (round % 4 == 0 || random() % 4 == 0)) {
                heard.push_back(static_cast<int>(token));
            }
        }
        const float topp = round % 3 == 0 ? 0.0F : 0.9F;
        for (const float temperature : {0.0F, 0.8F}) {
            proven += draws_the_same(one, temperature, topp, random() + 1ULL, {0, 0.0F, 1.3F, 64}, {}, heard) ? 1 : 0;
            raised += draws_the_same(one, temperature, topp, random() + 1ULL, {0, 0.0F, 0.7F, 64}, {}, heard) ? 1 : 0;
        }
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(proven, kRounds * 2 * 9 / 10);
    EXPECT_LT(raised, kRounds / 10) << "what is raised has none, and ends the proof";
}

/// The first random number of a seed.
double coin_of(std::uint64_t seed) {
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return static_cast<double>((seed * 0x2545F4914F6CDD1DU) >> 40) / 16777216.0;
}

TEST(Certificate, NeverChangesATokenThatTheCoinBarelyTakes) {
    // Two tokens of the head, whose border lies where the coin falls, but for a few units of the last place; the tail
    // far below, or so near that it moves the border.
    std::mt19937 random(12);
    int proven = 0;
    for (int round = 0; round < 20000; ++round) {
        const std::uint64_t seed = random() + 1ULL;
        const double coin = std::clamp(coin_of(seed), 1e-6, 1 - 1e-6);
        for (const float topp : {0.0F, 0.99F}) {
            Case one{{0.0F, 0.0F, 0.0F, 0.0F}, {false, true, false, true}, 0, 0};
            auto difference = static_cast<float>(std::log(coin / (1 - coin)));
            for (int steps = static_cast<int>(random() % 40) - 20; steps != 0; steps += steps < 0 ? 1 : -1) {
                difference = std::nextafter(difference, steps < 0 ? -100.0F : 100.0F);
            }
            one.logits[0] = difference;
            const float depth = random() % 2 == 0 ? 14.0F : 25.0F;
            const float tail = std::max(difference, 0.0F) - depth;
            one.low = static_cast<double>(tail - 0.1F);
            one.high = static_cast<double>(tail + 0.1F);
            one.logits[1] = random() % 2 == 0 ? tail - 0.1F : tail + 0.1F;
            one.logits[3] = random() % 2 == 0 ? tail - 0.1F : tail + 0.1F;
            proven += draws_the_same(one, 1.0F, topp, seed) ? 1 : 0;
        }
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(proven, 100) << "those whose border is far enough";
    EXPECT_LT(proven, 39000) << "these borders are near";
}

TEST(Certificate, NeverChangesTheOrderOfNearEquals) {
    // Probabilities that differ by less than their rounding, in every order, and an end of the set among them.
    std::mt19937 random(13);
    for (int round = 0; round < 20000; ++round) {
        const std::size_t size = 3 + random() % 12;
        Case one{Floats(size + 2), std::vector<bool>(size + 2, false), -20.1, -19.9};
        for (std::size_t i = 0; i < size; ++i) {
            float x = 0.0F;
            for (auto steps = random() % 6; steps > 0; --steps) {
                x = std::nextafter(x + 1.0F, 0.0F) - 1.0F;
            }
            one.logits[i] = x;
        }
        one.logits[size] = one.logits[size + 1] = -20.0F;
        one.in_tail[size] = one.in_tail[size + 1] = true;
        const float topp = static_cast<float>(random() % 1000) / 1000.0F;
        draws_the_same(one, 1.0F, topp, random() + 1ULL);
        if (HasFailure()) {
            return;
        }
    }
}

TEST(Certificate, NeverTrustsASumThatDrifts) {
    // Thousands of equal exponentials, whose float32 sum is off by up to a thousandth, more than a token's share of it.
    std::mt19937 random(15);
    int proven = 0;
    for (int round = 0; round < 60; ++round) {
        const std::size_t size = 3000 + random() % 30000;
        const float flat = -static_cast<float>(1 + random() % 2000) / 1000.0F;
        Case one{Floats(size, flat), std::vector<bool>(size, false), -20.1, -19.9};
        one.logits[random() % size] = round % 2 == 0 ? 0.0F : 9.0F;
        for (std::size_t i = random() % 4; i < size; i += 4) {
            one.in_tail[i] = one.logits[i] < 0;
            one.logits[i] = one.in_tail[i] ? -20.0F : one.logits[i];
        }
        for (const float topp : {0.0F, 0.9F}) {
            proven += draws_the_same(one, 1.0F, topp, random() + 1ULL) ? 1 : 0;
        }
    }
    EXPECT_GT(proven, 5) << "the token that stands out";
}

TEST(Certificate, NeverTrustsTheFarTooMuch) {
    // A few tokens near the top, and thousands so far below that their exponentials are bracketed, with a good part of
    // the whole sum: the set that exceeds topp ends somewhere in the few, or beyond.
    std::mt19937 random(16);
    std::uniform_real_distribution<float> near(-3.0F, 0.0F);
    int proven = 0;
    int drawn = 0;
    for (int round = 0; round < rounds(400); ++round) {
        const std::size_t size = 500 + random() % 5000;
        const float depth = 8.02F + static_cast<float>(random() % 100) / 100.0F;
        Case one{Floats(size, -depth), std::vector<bool>(size, false), -20.1, -19.9};
        for (std::size_t i = 3 + random() % 8; i > 0; --i) {
            one.logits[random() % size] = near(random);
        }
        for (std::size_t i = 0; i < size; i += 3) {
            one.in_tail[i] = one.logits[i] < -8.0F;
            one.logits[i] = one.in_tail[i] ? -20.0F : one.logits[i];
        }
        for (int i = 0; i < 20; ++i, ++drawn) {
            const float topp = static_cast<float>(1 + random() % 998) / 1000.0F;
            proven += draws_the_same(one, 1.0F, topp, random() + 1ULL) ? 1 : 0;
        }
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(proven, drawn / 4);
}

TEST(Certificate, TheRangeHoldsEveryRow) {
    // Rows at exactly the radius, towards the activation and away from it, and random ones, summed as kernels sum.
    std::mt19937 random(14);
    std::normal_distribution<float> normal(0.0F, 1.0F);
    for (int round = 0; round < 300; ++round) {
        const std::size_t dim = 1 + random() % 300;
        Floats centroid(dim);
        Floats x(dim);
        std::vector<double> exact(dim);
        double magnitudes = 0;
        double norm = 0;
        for (std::size_t j = 0; j < dim; ++j) {
            centroid[j] = normal(random);
            x[j] = normal(random) * (random() % 8 == 0 ? 30.0F : 1.0F);
            exact[j] = static_cast<double>(x[j]);
            magnitudes += std::fabs(static_cast<double>(centroid[j]) * exact[j]);
            norm += exact[j] * exact[j];
        }
        norm = std::sqrt(norm);
        for (const double wanted : {0.0, 1e-4, 0.3}) {
            for (const double direction : {-1.0, 1.0}) {
                Floats row(dim);
                double distance = 0;
                float logit = 0.0F;
                for (std::size_t j = 0; j < dim; ++j) {
                    row[j] = static_cast<float>(static_cast<double>(centroid[j]) +
                                                direction * wanted * static_cast<double>(x[j]) / norm);
                    const double off = static_cast<double>(row[j]) - static_cast<double>(centroid[j]);
                    distance += off * off;
                    logit += row[j] * x[j];
                }
                const Certificate certificate{0, {}, {}, centroid, std::sqrt(distance) * (1 + 1e-12)};
                const LogitRange range = tail_range(certificate, exact);
                ASSERT_LE(static_cast<double>(logit), range.high) << dim << " " << wanted;
                ASSERT_GE(static_cast<double>(logit), range.low) << dim << " " << wanted;
                ASSERT_LE(range.high - range.low, 2.1 * std::sqrt(distance) * norm + 1e-3 * (1 + magnitudes));
            }
        }
    }
}

}  // namespace
}  // namespace storybake
