// The generated forward pass of this build's model against the oracle: every logit, bit for bit.
#include "model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "baked_weights.hpp"
#include "engine.hpp"
#include "oracle.hpp"

namespace storybake {
namespace {

using Floats = std::vector<float>;

/// Positions that a test computes; fewer under an emulator (STORYBAKE_TEST_POSITIONS).
int positions() {
    const char* asked = std::getenv("STORYBAKE_TEST_POSITIONS");
    return std::min(asked != nullptr ? std::atoi(asked) : 40, kModel.seq_len);
}

std::vector<int> random_tokens(int count, unsigned seed) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> token(0, kModel.vocab_size - 1);
    std::vector<int> tokens(static_cast<std::size_t>(count));
    std::generate(tokens.begin(), tokens.end(), [&] { return token(random); });
    return tokens;
}

/// Bit for bit; a NaN equals nothing, not even itself.
::testing::AssertionResult equal(const Floats& expected, std::span<const float> actual) {
    if (expected.size() != actual.size()) {
        return ::testing::AssertionFailure() << expected.size() << " logits expected, " << actual.size() << " found";
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const bool same = std::bit_cast<std::uint32_t>(expected[i]) == std::bit_cast<std::uint32_t>(actual[i]);
        if (!same || !std::isfinite(expected[i])) {
            return ::testing::AssertionFailure()
                   << "logit " << i << ": expected " << expected[i] << ", found " << actual[i];
        }
    }
    return ::testing::AssertionSuccess();
}

class ModelTest : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        const char* path = std::getenv("STORYBAKE_VALUES");
        ASSERT_NE(path, nullptr) << "STORYBAKE_VALUES names the values of what was baked: python3 -m codegen values";
        oracle_ = std::make_unique<oracle::Model>(path, std::string_view(kModel.kv_type) == "f16");
        tokens_ = random_tokens(positions(), 7);
        for (const int token : tokens_) {
            expected_.push_back(oracle_->forward(token));
        }
        ASSERT_TRUE(baked_weights()) << baked_weights().failure().message;
        weights_ = baked_weights()->data();
    }
    static void TearDownTestSuite() { oracle_.reset(); }

    /// forward() by a team of threads.
    static void compute(const std::byte* weights, std::span<const int> tokens, int pos, int threads,
                        Logits wanted = Logits::kLast) {
        SpinBarrier barrier(threads <= available_cores());
        std::vector<std::jthread> team;
        for (int rank = 1; rank < threads; ++rank) {
            team.emplace_back([&, rank] {
                forward(weights, tokens, pos, wanted, Team{rank, threads, &barrier}, nullptr);
            });
        }
        forward(weights, tokens, pos, wanted, Team{0, threads, &barrier}, nullptr);
    }

    /// Computes all tokens in batches; the logits after each batch, and what is said of them, must be the oracle's.
    static void expect_oracle(int batch, int threads) {
        for (int pos = 0; pos < static_cast<int>(tokens_.size()); pos += batch) {
            const auto count =
                std::min<std::size_t>(static_cast<std::size_t>(batch), tokens_.size() - static_cast<std::size_t>(pos));
            compute(weights_, {tokens_.data() + pos, count}, pos, threads);
            const Floats& expected = expected_[static_cast<std::size_t>(pos) + count - 1];
            ASSERT_TRUE(equal(expected, logits()))
                << "at position " << pos << ", batches of " << batch << ", " << threads << " threads";
            ASSERT_EQ(logits_facts().largest, std::max_element(expected.begin(), expected.end()) - expected.begin());
            ASSERT_TRUE(logits_facts().finite);
        }
    }

    static inline std::unique_ptr<oracle::Model> oracle_;
    static inline std::vector<int> tokens_;
    static inline std::vector<Floats> expected_;
    static inline const std::byte* weights_ = nullptr;
};

TEST_F(ModelTest, DimensionsAreTheModels) {
    EXPECT_EQ(kModel.dim, oracle_->dim);
    EXPECT_EQ(kModel.hidden_dim, oracle_->hidden_dim);
    EXPECT_EQ(kModel.n_layers, oracle_->n_layers);
    EXPECT_EQ(kModel.n_heads, oracle_->n_heads);
    EXPECT_EQ(kModel.n_kv_heads, oracle_->n_kv_heads);
    EXPECT_EQ(kModel.vocab_size, oracle_->vocab_size);
    EXPECT_EQ(kModel.seq_len, oracle_->seq_len);
    EXPECT_EQ(kModel.group_size, oracle_->group_size);
}

TEST_F(ModelTest, OfEqualLogitsTheFirstIsTheLargestWhoeverComputesThem) {
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    const std::unique_ptr<std::byte, Free> zeros(
        static_cast<std::byte*>(std::aligned_alloc(64, kPackedData.weights_size)));
    ASSERT_NE(zeros, nullptr);
    std::memset(zeros.get(), 0, kPackedData.weights_size);
    const int token = 1;
    for (const int threads : {1, 2, 3, 8}) {
        if (threads <= kModel.max_threads) {
            compute(zeros.get(), {&token, 1}, 0, threads);
            EXPECT_EQ(logits_facts().largest, 0) << threads << " threads";
            EXPECT_TRUE(logits_facts().finite) << threads << " threads";
        }
    }
}

TEST_F(ModelTest, OneByOneEqualsTheOracle) {
    expect_oracle(1, 1);
}

TEST_F(ModelTest, BatchesEqualTheOracle) {
    for (int batch = 2; batch <= kModel.max_batch; ++batch) {
        expect_oracle(batch, 1);
    }
}

TEST_F(ModelTest, ThreadsEqualTheOracle) {
    for (const int threads : {2, 3, 7}) {
        expect_oracle(1, std::min(threads, kModel.max_threads));
        expect_oracle(kModel.max_batch, std::min(threads, kModel.max_threads));
    }
}

TEST_F(ModelTest, LogitsOfTwoPositionsEqualTheOracle) {
    for (const int threads : {1, 2, 3}) {
        for (int batch = 2, pos = 0; pos + batch <= static_cast<int>(tokens_.size());
             pos += batch, batch = batch % kModel.max_batch + (batch == kModel.max_batch ? 2 : 1)) {
            compute(weights_, {tokens_.data() + pos, static_cast<std::size_t>(batch)}, pos,
                    std::min(threads, kModel.max_threads), Logits::kLastTwo);
            for (const int i : {0, 1, 0}) {
                const Floats& expected = expected_[static_cast<std::size_t>(pos + batch - 2 + i)];
                choose_logits(i);
                ASSERT_TRUE(equal(expected, logits())) << "at position " << pos + batch - 2 + i;
                ASSERT_EQ(logits_facts().largest,
                          std::max_element(expected.begin(), expected.end()) - expected.begin());
                ASSERT_TRUE(logits_facts().finite);
            }
        }
    }
}

TEST_F(ModelTest, WhatWasGuessedWrongLeavesNoTrace) {
    for (int pos = 0; pos + 1 < static_cast<int>(tokens_.size()); ++pos) {
        const auto at = static_cast<std::size_t>(pos);
        const int both[] = {tokens_[at], (tokens_[at + 1] + 1) % kModel.vocab_size};
        compute(weights_, both, pos, 1, Logits::kLastTwo);
        ASSERT_TRUE(equal(expected_[at], logits())) << "at position " << pos;
    }
}

/// Fills the caches, and all else, with numbers that float32 and float16 can hold, other ones at each place.
void fill_working_memory() {
    std::mt19937 random(11);
    const std::span<std::byte> memory = working_memory();
    for (std::size_t at = 0; at + 2 <= memory.size(); at += 2) {
        const auto half = static_cast<std::uint16_t>(0x3000 + random() % 0xc00);  // 0.125 to 1
        std::memcpy(memory.data() + at, &half, sizeof half);
    }
}

TEST_F(ModelTest, TheLastPositionsOfTheContextAreTheSameTogetherAndAlone) {
    for (int n = 2; n <= std::min(kModel.max_batch, kModel.seq_len); n += kModel.max_batch - 2) {
        const std::vector<int> tokens = random_tokens(n, 13);
        const int first = kModel.seq_len - n;
        std::vector<Floats> alone;
        fill_working_memory();
        for (int i = 0; i < n; ++i) {
            compute(weights_, {tokens.data() + i, 1}, first + i, 1);
            alone.emplace_back(logits().begin(), logits().end());
        }
        for (const int threads : {1, std::min(2, kModel.max_threads)}) {
            fill_working_memory();
            compute(weights_, tokens, first, threads, Logits::kLastTwo);
            for (const int i : {0, 1}) {
                choose_logits(i);
                ASSERT_TRUE(equal(alone[static_cast<std::size_t>(n - 2 + i)], logits()))
                    << "position " << kModel.seq_len - 2 + i << " of " << n << ", " << threads << " threads";
            }
        }
    }
}

TEST_F(ModelTest, ACacheThatOverflowsEndsWhatIsDrawnFromItAndNothingElse) {
    if (std::string_view(kModel.kv_type) != "f16" || kModel.seq_len < 2) {
        return;  // it holds every float
    }
    // Larger and larger keys and values, until those of one token are too large and those of another are not.
    std::vector<std::byte> memory(kPackedData.weights_size + 64);
    std::byte* weights = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
    std::memcpy(weights, weights_, kPackedData.weights_size);
    const auto section = std::find_if(kPackedData.sections.begin(), kPackedData.sections.end(), [](const auto& s) {
        return std::string_view(s.tensor) == "rms_att_weight" && s.layer == 0;
    });
    ASSERT_NE(section, kPackedData.sections.end());
    auto* norm = reinterpret_cast<float*>(weights + section->offset);
    int both[2] = {};
    const auto finite = [&](Logits wanted, int i) {
        compute(weights, both, 0, 1, wanted);
        choose_logits(i);
        return wanted == Logits::kHeadOfTwo ? head_logits().facts.finite : logits_facts().finite;
    };
    const bool has_tail = kPackedData.certificate.head_rows > 0;
    const Logits wanted = has_tail ? Logits::kHeadOfTwo : Logits::kLastTwo;
    const auto enlarge = [&](float times) {
        std::for_each(norm, norm + kModel.dim, [=](float& weight) { weight *= times; });
    };
    both[1] = 1;
    for (int round = 0; round < 500 && finite(wanted, 0) && finite(wanted, 1); ++round) {
        enlarge(1.2F);
    }
    enlarge(1 / 1.5F);
    bool apart = false;
    for (int round = 0; round < 80 && !apart; ++round) {
        enlarge(1.01F);
        for (int pair = 0; pair < 36 && !apart; ++pair) {
            both[0] = pair / 6 * (kModel.vocab_size / 6);
            both[1] = pair % 6 * (kModel.vocab_size / 6);
            apart = finite(wanted, 0) && !finite(wanted, 1);
        }
    }
    ASSERT_TRUE(apart) << "no two tokens whose keys and values differ enough";
    EXPECT_TRUE(finite(Logits::kLastTwo, 0));
    EXPECT_FALSE(finite(Logits::kLastTwo, 1));
    compute(weights, {both, 1}, 0, 1);
    EXPECT_TRUE(logits_facts().finite) << "the position that overflowed is no part of the text any more";
    enlarge(1e6F);
    EXPECT_FALSE(finite(wanted, 0));
}

TEST_F(ModelTest, TheLastPositionOfTheContextEqualsTheOracle) {
    const std::vector<int> tokens = random_tokens(kModel.seq_len, 11);
    oracle_->restart();
    Floats last;
    for (const int token : tokens) {
        last = oracle_->forward(token);
    }
    for (int pos = 0; pos < kModel.seq_len; pos += kModel.max_batch) {
        const auto count = std::min(kModel.max_batch, kModel.seq_len - pos);
        const std::span<const int> part(tokens.data() + pos, static_cast<std::size_t>(count));
        const bool end = pos + count == kModel.seq_len;
        forward(weights_, part, pos, end ? Logits::kLast : Logits::kNone, Team{}, nullptr);
    }
    EXPECT_TRUE(equal(last, logits()));
}

TEST_F(ModelTest, NoLogitsAreComputedWhenNobodyWantsThem) {
    std::fill(logits().begin(), logits().end(), 42.0F);
    forward(weights_, std::span<const int>(tokens_.data(), 1), 0, Logits::kNone, Team{}, nullptr);
    EXPECT_TRUE(std::all_of(logits().begin(), logits().end(), [](float v) { return v == 42.0F; }));
}

TEST_F(ModelTest, TheProfileCountsEveryProduct) {
    std::vector<Profile::Row> rows(kOps.size());
    Profile profile(rows);
    forward(weights_, std::span<const int>(tokens_.data(), 1), 0, Logits::kLast, Team{}, &profile);
    std::uint64_t macs = 0;
    std::uint64_t calls = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(rows[i].positions, rows[i].calls) << kOps[i].name;
        macs += rows[i].positions * kOps[i].macs;
        calls += kOps[i].macs > 0 ? rows[i].calls : 0;
    }
    EXPECT_EQ(macs, kModel.macs_per_token);
    EXPECT_EQ(calls, static_cast<std::uint64_t>(7 * kModel.n_layers + 1));
}

}  // namespace
}  // namespace storybake
