#include "engine.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "fake_model.hpp"

namespace storybake {
namespace {

std::vector<float> copy(std::span<const float> values) {
    return {values.begin(), values.end()};
}

class EngineTest : public testing::Test {
protected:
    void SetUp() override { fake::reset(); }
    const volatile std::sig_atomic_t& stop_ = fake::interrupted;
};

TEST_F(EngineTest, BatchesAndThreadsGiveTheSameBits) {
    std::vector<int> tokens(23);
    std::iota(tokens.begin(), tokens.end(), 1);
    Engine one(nullptr, 1, 1, nullptr);
    std::vector<float> expected;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        expected = copy(one.forward({&tokens[i], 1}, static_cast<int>(i), Logits::kLast));
    }
    for (int threads = 1; threads <= most_threads(); ++threads) {
        for (int batch = 1; batch <= kModel.max_batch; ++batch) {
            for (std::size_t split = 0; split < tokens.size(); split += 4) {
                fake::reset();
                Engine engine(nullptr, threads, batch, nullptr);
                if (split > 0) {
                    engine.prefill(std::span(tokens).first(split), 0, stop_);
                }
                const auto logits = engine.prefill(std::span(tokens).subspan(split), static_cast<int>(split), stop_);
                ASSERT_EQ(copy(logits), expected) << threads << " threads, batch " << batch << ", split " << split;
            }
        }
    }
}

TEST_F(EngineTest, PrefillWantsOnlyTheLastLogits) {
    const std::vector<int> tokens(12, 3);
    Engine engine(nullptr, 1, 5, nullptr);
    EXPECT_EQ(engine.prefill(tokens, 2, stop_).size(), 264U);
    ASSERT_EQ(fake::calls.size(), 3U);
    const int sizes[] = {5, 5, 2};
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(fake::calls[i].n, sizes[i]);
        EXPECT_EQ(fake::calls[i].pos, 2 + 5 * static_cast<int>(i));
        EXPECT_EQ(fake::calls[i].wanted, i == 2 ? Logits::kLast : Logits::kNone);
    }
}

TEST_F(EngineTest, PrefillStopsBetweenBatches) {
    const std::vector<int> tokens(20, 3);
    fake::interrupt_position = 6;
    Engine engine(nullptr, 1, 5, nullptr);
    EXPECT_TRUE(engine.prefill(tokens, 0, stop_).empty());
    EXPECT_EQ(fake::calls.size(), 2U);
}

TEST_F(EngineTest, WithoutLogitsThereAreNone) {
    const int token = 1;
    EXPECT_TRUE(Engine(nullptr, 1, 1, nullptr).forward({&token, 1}, 0, Logits::kNone).empty());
}

TEST_F(EngineTest, ProfileCountsOneThread) {
    for (const int threads : {1, most_threads()}) {
        std::vector<Profile::Row> rows(kOps.size());
        Profile profile(rows);
        Engine engine(nullptr, threads, 1, &profile);
        const std::vector<int> tokens(10, 3);
        engine.prefill(tokens, 0, stop_);
        EXPECT_EQ(rows[0].calls, 10U);
        EXPECT_EQ(rows[0].positions, 10U);
        EXPECT_EQ(rows[1].calls, 0U);
    }
}

constexpr std::uint64_t kLarge = 1000000000;

TEST(ChooseThreads, AsAskedWithinTheLimits) {
    for (int threads = 1; threads <= 4; ++threads) {
        const auto chosen = choose_threads(threads, "2", 1, 4, 1);
        ASSERT_TRUE(chosen);
        EXPECT_EQ(chosen->count, threads);
        EXPECT_EQ(chosen->warning, "");
    }
    for (const int threads : {0, -1, 5, 1000000}) {
        const auto chosen = choose_threads(threads, nullptr, 1, 4, 1);
        ASSERT_FALSE(chosen);
        EXPECT_EQ(chosen.failure().exit_code, kExitUsage);
        EXPECT_NE(chosen.failure().message.find("expected 1 to 4"), std::string::npos);
    }
}

TEST(ChooseThreads, ByTheEnvironment) {
    for (const char* sane : {"3", " 3", "3 ", "3,2", "3 , 2"}) {
        const auto chosen = choose_threads({}, sane, 1, 4, 1);
        EXPECT_EQ(chosen->count, 3) << sane;
        EXPECT_EQ(chosen->warning, "") << sane;
    }
    for (const char* nonsense : {"", "0", "-2", "5", "x", "3x", "99999999999999999999", "2.5", ","}) {
        const auto chosen = choose_threads({}, nonsense, 2, 4, kLarge);
        EXPECT_EQ(chosen->count, 2) << nonsense;
        EXPECT_NE(chosen->warning.find("OMP_NUM_THREADS"), std::string::npos) << nonsense;
    }
    EXPECT_EQ(choose_threads({}, "nonsense", 2, 1, kLarge)->warning, "") << "there is nothing to choose";
}

TEST(StartableThreads, AreAsManyAsTheSystemGives) {
    EXPECT_EQ(startable_threads(1), 1);
    EXPECT_EQ(startable_threads(3), 3);
}

TEST(ChooseThreads, ByCoresAndWork) {
    EXPECT_EQ(choose_threads({}, nullptr, 8, 4, kLarge)->count, 4);
    EXPECT_EQ(choose_threads({}, nullptr, 2, 4, kLarge)->count, 2);
    EXPECT_EQ(choose_threads({}, nullptr, 8, 8, 260000)->count, 1) << "stories260K";
    EXPECT_EQ(choose_threads({}, nullptr, 8, 8, 0)->count, 1);
}

}  // namespace
}  // namespace storybake
