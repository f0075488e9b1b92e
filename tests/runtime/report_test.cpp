#include "report.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <string>

namespace storybake {
namespace {

template <class Print>
std::string printed(Print print) {
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* const to = open_memstream(&text, &size);
    print(to);
    std::fclose(to);
    std::string result(text, size);
    std::free(text);
    return result;
}

TEST(Report, StatsOfARun) {
    const std::array<float, 4> logits{1, 2, 3, 4};
    Stats stats;
    stats.prompt_positions = 5;
    stats.prompt_seconds = 0.5;
    stats.positions = 200;
    stats.seconds = 2.0;
    stats.logits = logits;
    EXPECT_EQ(printed([&](std::FILE* to) {
                  print_stats(to, kModel, stats, {2, true, 42});
              }),
              "achieved tok/s: 100.000000\n"
              "200 tokens, 100.0 tok/s, 10.000 ms a token, 0.00 GB/s of weights, prompt 5 tokens at 10.0 tok/s, "
              "2 threads, seed 42, logits 0x04d29434f75b611b\n");
}

TEST(Report, ARunWithoutTokensHasNoRate) {
    const Stats stats;
    EXPECT_EQ(printed([&](std::FILE* to) { print_stats(to, kModel, stats, {1, false, 42}); }), "0 tokens, 1 thread\n");
}

TEST(Report, AClockThatStandsStillGivesNumbers) {
    Stats stats;
    stats.positions = 3;
    stats.prompt_positions = 2;
    const std::string text = printed([&](std::FILE* to) { print_stats(to, kModel, stats, {1, false, 42}); });
    EXPECT_EQ(text.find("inf"), std::string::npos) << text;
    EXPECT_EQ(text.find("nan"), std::string::npos) << text;
}

TEST(Report, ProfileSharesAddUp) {
    std::array<Profile::Row, 2> rows;
    rows[0] = {10, 1000000};  // 10 calls of 1000 bytes in 1 ms: 0.01 GB/s
    rows[1] = {5, 500000};
    EXPECT_EQ(printed([&](std::FILE* to) { print_profile(to, kOps, rows, 0.002); }),
              "operation                 calls           ms   share     GB/s\n"
              "first                        10        1.000   50.0%     0.01\n"
              "second                        5        0.500   25.0%\n"
              "outside of the model                   0.500   25.0%\n");
}

TEST(Report, InfoAddsUpTheMemory) {
    const PackedData packed{};
    const std::string info = printed([&](std::FILE* to) { print_info(to, kModel, packed); });
    for (const char* line : {"model              fake", "vocab_size                  264",
                             "memory                     1234 bytes", "weights are        in a file"}) {
        EXPECT_NE(info.find(line), std::string::npos) << line << "\n" << info;
    }
}

TEST(Report, InfoNamesTheClassifiersTypeWhereItIsAnotherOne) {
    ModelFacts mixed = kModel;
    mixed.weight_type = "q4";
    mixed.classifier_type = "f16";
    mixed.group_size = 32;
    const PackedData packed{};
    const std::string info = printed([&](std::FILE* to) { print_info(to, mixed, packed); });
    EXPECT_NE(info.find("weight type        q4, classifier f16, groups of 32\n"), std::string::npos) << info;
}

}  // namespace
}  // namespace storybake
