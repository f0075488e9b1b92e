// This build's own model, where its classifier has a tail: no token is another for leaving the tail out.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <vector>

#include "baked_weights.hpp"
#include "engine.hpp"
#include "model.hpp"
#include "sampler.hpp"

namespace storybake {
namespace {

/// Tokens that are drawn twice; fewer under an emulator, many on request (STORYBAKE_TEST_TOKENS).
int tokens_to_draw() {
    const char* asked = std::getenv("STORYBAKE_TEST_TOKENS");
    const bool emulated = std::getenv("STORYBAKE_TEST_POSITIONS") != nullptr;
    return asked != nullptr ? std::atoi(asked) : emulated ? 60 : 3000;
}

/// Whether the tail's logits lie in the range that was told before they were computed, and the head's are what they
/// were.
bool as_told(const HeadLogits& head, std::span<const float> of_head, std::span<const float> logits) {
    bool as_told = true;
    for (std::size_t row = 0; row < head.token_of_row.size(); ++row) {
        const float logit = logits[head.token_of_row[row]];
        const auto value = static_cast<double>(logit);
        as_told &= row < of_head.size() ? logit == of_head[row] : value >= head.tail.low && value <= head.tail.high;
    }
    return as_told;
}

TEST(Certificate, NoTokenIsAnotherForLeavingTheTailOut) {
    if (kPackedData.certificate.head_rows == 0) {
        return;  // nothing is left out
    }
    ASSERT_EQ(kPackedData.certificate.token_of_row.size(), static_cast<std::size_t>(kModel.vocab_size));
    ASSERT_TRUE(baked_weights()) << baked_weights().failure().message;
    const volatile std::sig_atomic_t go_on = 0;
    std::mt19937_64 random(3);
    int drawn = 0;
    int proven = 0;
    for (int threads = 1; drawn < tokens_to_draw(); threads = threads % std::min(most_threads(), 3) + 1) {
        Engine engine(baked_weights()->data(), threads, kModel.max_batch, nullptr);
        const float temperatures[] = {0.0F, 0.3F, 1.0F, 1.0F, 2.0F};
        const float topps[] = {0.9F, 0.5F, 0.0F, 0.99F};
        const float temperature = temperatures[random() % 5];
        const float topp = topps[random() % 4];
        const std::uint64_t seed = random();
        const Sampling samplings[] = {
            {}, {}, {40, 0.0F, 1.0F, 64}, {0, 0.05F, 1.0F, 64}, {0, 0.0F, 1.1F, 64}, {20, 0.02F, 1.2F, 16},
        };
        const Sampling sampling = samplings[random() % 6];
        Sampler certified(kModel.vocab_size, temperature, topp, seed, sampling);
        Sampler whole(kModel.vocab_size, temperature, topp, seed, sampling);
        int token = 1 % kModel.vocab_size;
        const int end = std::min(kModel.seq_len, 200);
        for (int pos = 0; pos < end && drawn < tokens_to_draw(); ++pos, ++drawn) {
            engine.prefill({&token, 1}, pos, go_on, Logits::kHead);
            const HeadLogits head = head_logits();
            ASSERT_TRUE(head.facts.finite);
            const std::optional<int> found = certified.sample_head(head);
            const std::vector<float> of_head(head.logits.begin(), head.logits.end());
            const std::span<const float> logits = engine.complete();
            ASSERT_TRUE(as_told(head, of_head, logits)) << "position " << pos << ", seed " << seed;
            token = whole.sample(logits, logits_facts().largest);
            whole.accept(token);
            ASSERT_EQ(found ? *found : certified.sample(logits, logits_facts().largest), token)
                << "proven " << found.has_value() << ", temperature " << temperature << ", topp " << topp << ", seed "
                << seed << ", position " << pos << ", " << threads << " threads";
            certified.accept(token);
            proven += found ? 1 : 0;
        }
    }
    RecordProperty("drawn", drawn);
    RecordProperty("proven", proven);
    std::printf("%d of %d tokens proved\n", proven, drawn);
}

TEST(Certificate, TheHeadsOfTwoPositionsAreThoseOfEach) {
    if (kPackedData.certificate.head_rows == 0 || kModel.seq_len < 2) {
        return;  // nothing is left out
    }
    ASSERT_TRUE(baked_weights()) << baked_weights().failure().message;
    for (const int threads : {1, std::min(most_threads(), 3)}) {
        Engine engine(baked_weights()->data(), threads, 1, nullptr);
        const int both[] = {1, kModel.vocab_size / 3};
        std::vector<std::vector<float>> expected;
        std::vector<LogitRange> ranges;
        for (const int pos : {0, 1}) {
            engine.forward({both + pos, 1}, pos, Logits::kHead);
            ranges.push_back(head_logits().tail);
            const std::span<const float> all = engine.complete();
            expected.emplace_back(all.begin(), all.end());
        }
        engine.forward(both, 0, Logits::kHeadOfTwo);
        for (const std::size_t i : {0U, 1U}) {
            choose_logits(static_cast<int>(i));
            const HeadLogits head = head_logits();
            EXPECT_EQ(head.tail.low, ranges[i].low);
            EXPECT_EQ(head.tail.high, ranges[i].high);
            EXPECT_TRUE(as_told(head, head.logits, expected[i]));
        }
        engine.complete();
        for (const std::size_t i : {1U, 0U}) {
            choose_logits(static_cast<int>(i));
            EXPECT_TRUE(std::equal(expected[i].begin(), expected[i].end(), logits().begin()));
        }
    }
}

TEST(Certificate, AllLogitsAreInTheOrderOfTokensHoweverTheyWereComputed) {
    ASSERT_TRUE(baked_weights()) << baked_weights().failure().message;
    const volatile std::sig_atomic_t go_on = 0;
    Engine engine(baked_weights()->data(), 1, 1, nullptr);
    const int token = kModel.vocab_size / 2;
    const std::span<const float> at_once = engine.prefill({&token, 1}, 0, go_on);
    const std::vector<float> expected(at_once.begin(), at_once.end());
    engine.prefill({&token, 1}, 0, go_on, Logits::kHead);
    const std::span<const float> completed = engine.complete();
    for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(expected[i], completed[i]) << i;
    }
}

}  // namespace
}  // namespace storybake
