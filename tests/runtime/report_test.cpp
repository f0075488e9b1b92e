#include "report.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

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
                  print_stats(to, kModel, stats, {2, true, 42, 1, Loading{Load::kMap, 1, 0.25}});
              }),
              "achieved tok/s: 100.000000\n"
              "200 tokens, 100.0 tok/s, 10.000 ms a token, 0.00 GB/s of weights, prompt 5 tokens at 10.0 tok/s, "
              "weights mapped in 250.0 ms, 2 threads, seed 42, logits 0x04d29434f75b611b\n");
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
    rows[0] = {10, 20, 1000000};  // 10 calls of 1000 bytes in 1 ms: 0.01 GB/s; 20 positions of 10 MACs: 5 µs each
    rows[1] = {5, 5, 500000};
    EXPECT_EQ(printed([&](std::FILE* to) {
                  print_profile(to, {kOps, rows, 0.002, {0.0, 2.5e9}}, {Load::kRead, 17100000, 0.8});
              }),
              "operation                 calls           ms   share     GB/s   ns/MAC\n"
              "first                        10        1.000   50.0%     0.01 5000.0000\n"
              "second                        5        0.500   25.0%\n"
              "outside of the model                   0.500   25.0%\n"
              "clock: not told\n"
              "loading the weights: 17.1 MB read in 800.0 ms, 21.4 MB/s\n"
              "reading the weights, one thread: 2.50 GB/s\n");
}

TEST(Report, TokensThatFellBackAreCounted) {
    ModelFacts model = kModel;
    model.classifier_bytes = 400;
    Stats stats;
    stats.positions = 200;
    stats.seconds = 2.0e-6;
    stats.tail_rows = model.vocab_size / 2;
    stats.certified = 190;
    stats.fallen_back = 10;
    const auto text = [&] { return printed([&](std::FILE* to) { print_stats(to, model, stats, {1, false, 42}); }); };
    EXPECT_NE(text().find(", 10 of 200 tokens fell back to all logits"), std::string::npos) << text();
    EXPECT_NE(text().find(" 81.00 GB/s"), std::string::npos) << "190 of 200 read 200 bytes fewer than 1000\n" << text();
    stats.certified = 0;
    stats.fallen_back = 200;
    EXPECT_NE(text().find(", 200 of 200 tokens fell back to all logits"), std::string::npos) << text();
    EXPECT_NE(text().find(" 100.00 GB/s"), std::string::npos) << text();
    stats.fallen_back = 0;
    EXPECT_EQ(text().find("fell back"), std::string::npos) << "nothing is left out\n" << text();
}

TEST(Report, GuessesAreCounted) {
    Stats stats;
    stats.positions = 200;
    stats.seconds = 2.0e-6;
    stats.drafts = {80, 50, 1.25};
    const std::string text = printed([&](std::FILE* to) { print_stats(to, kModel, stats, {1, false, 42}); });
    EXPECT_NE(text.find(", 50 of 80 guesses right"), std::string::npos) << text;
    EXPECT_NE(text.find(" 75.00 GB/s"), std::string::npos) << "150 passes read 1000 bytes each\n" << text;
    std::array<Profile::Row, 2> rows;
    const ProfileFacts profile{kOps, rows, 0.002, {850e6, 1e9}, stats.drafts};
    const std::string page = printed([&](std::FILE* to) { print_profile(to, profile, {}); });
    EXPECT_NE(page.find("two positions at once: 1.25 times one; guesses: 50 of 80 right\n"), std::string::npos) << page;
    const std::string json = printed([&](std::FILE* to) {
        print_json(to, kModel, stats, {1, false, 42}, {}, std::nullopt);
    });
    EXPECT_NE(json.find("\"guesses\": 80, \"guesses_right\": 50, "), std::string::npos) << json;
}

TEST(Report, AKnownClockMakesCycles) {
    std::array<Profile::Row, 2> rows;
    rows[0] = {10, 20, 1000000};
    const std::string text = printed([&](std::FILE* to) { print_profile(to, {kOps, rows, 0.002, {850e6, 1e9}}, {}); });
    for (const char* part : {" ns/MAC cycles/MAC\n", "0.01 5000.0000   4250.000\n", "clock: 850.0 MHz, of rdcycle\n"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    }
}

TEST(Report, JsonIsOneLineWithNullForWhatWasNotMeasured) {
    const Stats none;
    EXPECT_EQ(printed([&](std::FILE* to) {
                  print_json(to, kModel, none, {1, false, 42}, {}, std::nullopt);
              }),
              "{\"model\": \"fake\", \"target\": \"test\", \"weight_type\": \"f32\", \"stories\": 1, \"threads\": 1, "
              "\"seed\": "
              "null, \"prompt_tokens\": 0, \"prompt_seconds\": 0.000000000, \"tokens\": 0, \"seconds\": 0.000000000, "
              "\"tokens_per_second\": null, \"bytes_per_token\": 1000, \"loading\": null, \"guesses\": 0, "
              "\"guesses_right\": 0, \"logits\": null, "
              "\"warnings\": [], "
              "\"profile\": null}\n");
}

TEST(Report, JsonHasWarningsAndTheProfile) {
    const std::array<float, 4> logits{1, 2, 3, 4};
    Stats stats;
    stats.positions = 200;
    stats.seconds = 2.0;
    stats.logits = logits;
    std::array<Profile::Row, 2> rows;
    rows[0] = {10, 20, 1000000};
    const std::string warnings[] = {"a \"quote\" and a \\", "a\nline \xff \xe2\x80\xae"};
    const std::string text = printed([&](std::FILE* to) {
        print_json(to, kModel, stats, {2, true, 18446744073709551615U, 3, Loading{Load::kMap, 7, 0.25}}, warnings,
                   ProfileFacts{kOps, rows, 0.002, {0.0, 2.5e9}});
    });
    EXPECT_EQ(text.find('\n'), text.size() - 1);
    for (const char* part :
         {"\"seed\": 18446744073709551615", "\"tokens_per_second\": 100.000000", "\"stories\": 3",
          "\"loading\": {\"how\": \"mapped\", \"bytes\": 7, \"seconds\": 0.250000000}",
          "\"logits\": \"0x04d29434f75b611b\"",
          "\"warnings\": [\"a \\\"quote\\\" and a \\\\\", \"a?line \xef\xbf\xbd \"]", "\"hertz\": null",
          "{\"name\": \"first\", \"calls\": 10, \"positions\": 20, \"seconds\": 0.001000000"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
    }
}

TEST(Machine, ReadsTheWeightsAtSomeSpeed) {
    const std::vector<std::byte> weights(std::size_t{1} << 16);
    const MachineFacts machine = measure_machine(weights);
    EXPECT_GT(machine.bytes_per_second, 0.0);
    EXPECT_LT(machine.bytes_per_second, 1e13);  // or nothing was read
#ifndef __riscv
    EXPECT_EQ(machine.hertz, 0.0);
#endif
}

TEST(Report, InfoAddsUpTheMemory) {
    const PackedData packed{};
    const std::string info = printed([&](std::FILE* to) { print_info(to, kModel, packed, Load::kMap); });
    for (const char* line :
         {"model              fake", "vocab_size                  264", "memory                     1234 bytes",
          "weights are        in a file", "weights will be    mapped"}) {
        EXPECT_NE(info.find(line), std::string::npos) << line << "\n" << info;
    }
}

TEST(Report, InfoSaysHowManyRowsATokenNeeds) {
    PackedData packed{};
    const auto info = [&] { return printed([&](std::FILE* to) { print_info(to, kModel, packed, Load::kRead); }); };
    EXPECT_EQ(info().find("rows a token needs"), std::string::npos) << "all\n" << info();
    packed.certificate.head_rows = 96;
    EXPECT_NE(info().find("rows a token needs           96 of 264, the others proved needless for most\n"),
              std::string::npos)
        << info();
}

TEST(Report, InfoNamesTheClassifiersTypeWhereItIsAnotherOne) {
    ModelFacts mixed = kModel;
    mixed.weight_type = "q4";
    mixed.classifier_type = "f16";
    mixed.group_size = 32;
    const PackedData packed{};
    const std::string info = printed([&](std::FILE* to) { print_info(to, mixed, packed, Load::kRead); });
    EXPECT_NE(info.find("weight type        q4, classifier f16, groups of 32\n"), std::string::npos) << info;
}

}  // namespace
}  // namespace storybake
