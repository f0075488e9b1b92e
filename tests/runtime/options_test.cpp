#include "options.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <limits>
#include <set>

namespace storybake {
namespace {

Result<Options> parse(std::initializer_list<const char*> arguments) {
    static char name[] = "stories";
    std::vector<std::string> copies(arguments.begin(), arguments.end());
    std::vector<char*> argv{name};
    for (std::string& copy : copies) {
        argv.push_back(copy.data());
    }
    argv.push_back(nullptr);
    return parse_options(static_cast<int>(argv.size()) - 1, argv.data());
}

void expect_refused(std::initializer_list<const char*> arguments, const char* expected) {
    const Result<Options> options = parse(arguments);
    ASSERT_FALSE(options) << expected;
    EXPECT_EQ(options.failure().exit_code, kExitUsage);
    EXPECT_NE(options.failure().message.find(expected), std::string::npos) << options.failure().message;
}

TEST(Options, DefaultsAreLlama2cs) {
    const auto options = parse({});
    ASSERT_TRUE(options);
    EXPECT_EQ(options->temperature, 1.0F);
    EXPECT_EQ(options->topp, 0.9F);
    EXPECT_EQ(options->seed, 0U);
    EXPECT_EQ(options->steps, 256);
    EXPECT_EQ(options->mode, Mode::kGenerate);
    EXPECT_EQ(options->action, Action::kRun);
    EXPECT_FALSE(options->prompt || options->system_prompt || options->threads || options->batch || options->profile);
    EXPECT_EQ(options->checkpoint + options->tokenizer + options->weights + options->logits, "");
    EXPECT_TRUE(options->warnings.empty());
}

TEST(Options, ShortAndLongNames) {
    const auto check = [](const Result<Options>& options) {
        ASSERT_TRUE(options) << options.failure().message;
        EXPECT_EQ(options->checkpoint, "model.bin");
        EXPECT_EQ(options->temperature, 0.5F);
        EXPECT_EQ(options->topp, 0.25F);
        EXPECT_EQ(options->seed, 18446744073709551615U);
        EXPECT_EQ(options->steps, 7);
        EXPECT_EQ(options->prompt, "Once");
        EXPECT_EQ(options->tokenizer, "t.bin");
        EXPECT_EQ(options->mode, Mode::kChat);
        EXPECT_EQ(options->system_prompt, "-y");
    };
    check(parse({"model.bin", "-t", "0.5", "-p", ".25", "-s", "18446744073709551615", "-n", "7", "-i", "Once", "-z",
                 "t.bin", "-m", "chat", "-y", "-y"}));
    check(parse({"--temperature=0.5", "--top-p", "0.25", "--seed", "18446744073709551615", "--steps=7", "--prompt",
                 "Once", "--tokenizer=t.bin", "--mode=chat", "--system-prompt", "-y", "--", "model.bin"}));
}

TEST(Options, OwnOptions) {
    const auto options =
        parse({"--threads", "2", "--batch=3", "--logits", "l", "--weights=w", "--load=map", "--profile"});
    ASSERT_TRUE(options);
    EXPECT_EQ(options->threads, 2);
    EXPECT_EQ(options->batch, 3);
    EXPECT_EQ(options->logits, "l");
    EXPECT_EQ(options->weights, "w");
    EXPECT_EQ(options->load, Load::kMap);
    EXPECT_EQ(parse({"--load", "read"})->load, Load::kRead);
    EXPECT_FALSE(parse({})->load) << "what suits the memory";
    EXPECT_TRUE(options->profile);
    EXPECT_EQ(parse({"--help"})->action, Action::kHelp);
    EXPECT_EQ(parse({"-h"})->action, Action::kHelp);
    EXPECT_EQ(parse({"--version"})->action, Action::kVersion);
    EXPECT_EQ(parse({"--info"})->action, Action::kInfo);
}

TEST(Options, ADashReadsThePromptFromStandardInput) {
    EXPECT_TRUE(parse({"-i", "-"})->prompt_from_stdin);
    EXPECT_FALSE(parse({"-i", "--"})->prompt_from_stdin);
    EXPECT_EQ(parse({"-i", "-x"})->prompt, "-x");
    expect_refused({"-i", "-", "-m", "chat"}, "-m chat");
}

TEST(Options, WhatLlama2cClampsIsClampedWithAWarning) {
    EXPECT_EQ(parse({"-t", "-1"})->temperature, 0.0F);
    EXPECT_EQ(parse({"-t", "-1"})->warnings.size(), 1U);
    for (const char* topp : {"-0.1", "1.1", "1e30"}) {
        EXPECT_EQ(parse({"-p", topp})->topp, 0.9F) << topp;
        EXPECT_EQ(parse({"-p", topp})->warnings.size(), 1U) << topp;
    }
    EXPECT_EQ(parse({"-n", "-5"})->steps, 0);
    EXPECT_EQ(parse({"-n", "-5"})->warnings.size(), 1U);
    for (const char* fine : {"0", "1"}) {
        EXPECT_TRUE(parse({"-p", fine, "-t", fine, "-n", fine})->warnings.empty());
    }
}

TEST(Options, NumbersAreStrict) {
    for (const char* text : {"", "abc", "1x", " 1", "1 ", "nan", "inf", "-inf", "1e999", "0x", "--"}) {
        expect_refused({"-t", text}, "-t \"");
        expect_refused({"-p", text}, "-p \"");
    }
    expect_refused({"-t", "1e-40"}, "expected 0");
    expect_refused({"-t", "1e39"}, "expected 0");
    EXPECT_TRUE(parse({"-t", "1e-30"}));
    for (const char* text :
         {"", "abc", "1x", "1.5", " 1", "99999999999", "-99999999999", "1e3", "99999999999999999999"}) {
        expect_refused({"-n", text}, "-n \"");
        expect_refused({"--threads", text}, "--threads \"");
        expect_refused({"--batch", text}, "--batch \"");
    }
    for (const char* text : {"", "-1", "+1", "abc", "1x", " 1", "18446744073709551616"}) {
        expect_refused({"-s", text}, "-s \"");
    }
    expect_refused({"-m", "talk"}, "expected generate, chat or ask");
    expect_refused({"-m", "ask"}, "-m ask: expected what to ask");
    EXPECT_TRUE(parse({"-m", "ask", "-i", "a"}) && parse({"-m", "ask", "-i", "-"}) && parse({"-m", "ask", "-f", "a"}));
    expect_refused({"--logits", ""}, "--logits");
    expect_refused({"-z", ""}, "-z");
}

TEST(Options, LimitsOfSampling) {
    const auto options = parse({"--top-k", "5", "--min-p", "0.5", "--repeat-penalty", "1.5", "--stop", "x"});
    ASSERT_TRUE(options) << options.failure().message;
    EXPECT_EQ(options->sampling.top_k, 5);
    EXPECT_EQ(options->sampling.min_p, 0.5F);
    EXPECT_EQ(options->sampling.repeat_penalty, 1.5F);
    EXPECT_TRUE(parse({"--min-p", "0"}) && parse({"--min-p", "1"}));
    EXPECT_TRUE(parse({"--repeat-penalty", "0.1"}) && parse({"--repeat-penalty", "10"}));
    for (const char* text : {"-0.1", "1.1", "x"}) {
        expect_refused({"--min-p", text}, "a number from 0 (no limit) to 1");
    }
    for (const char* text : {"0.05", "10.1", "x"}) {
        expect_refused({"--repeat-penalty", text}, "a number from 0.1 to 10");
    }
    const std::string long_stop(1000, 'x');
    EXPECT_TRUE(parse({"--stop", long_stop.c_str()}));
    for (const std::string& text : {std::string(), long_stop + "x"}) {
        expect_refused({"--stop", text.c_str()}, "a text of 1 to 1000 bytes");
    }
#define FOUR "--stop=a", "--stop=a", "--stop=a", "--stop=a"
    EXPECT_EQ(parse({FOUR, FOUR, FOUR, FOUR})->stops.size(), 16U);
    expect_refused({FOUR, FOUR, FOUR, FOUR, "--stop=a"}, "16 of them at most");
#undef FOUR
}

TEST(Options, MessagesShowTheBeginningOfALongValue) {
    const std::string digits(200, '9');
    expect_refused({"-n", digits.c_str()},
                   ("-n \"" + digits.substr(0, 100) + "...\": expected a whole number").c_str());
    expect_refused({"-r", digits.c_str()}, "999...\": expected a whole number from 1 to 1000000");
    expect_refused({"-m", digits.c_str()}, "999...\": expected generate, chat or ask");
    expect_refused({"-m", digits.substr(0, 100).c_str()}, "9999\": expected generate, chat or ask");
    const Result<int> no_least = parse_number_in("least", "x", std::numeric_limits<int>::min(), 5);
    EXPECT_EQ(no_least.failure().message, "least \"x\": expected a whole number from -2147483648 to 5: see --help");
}

TEST(Options, WaysToDrawAndToTell) {
    EXPECT_EQ(parse({"--draft", "auto"})->drafting, Drafting::kAuto);
    EXPECT_EQ(parse({"--draft", "always"})->drafting, Drafting::kAlways);
    EXPECT_EQ(parse({"--draft", "never"})->drafting, Drafting::kNever);
    expect_refused({"--draft", "often"}, "auto, always or never");
    EXPECT_EQ(parse({"-m", "generate", "-r", "2"})->repeat, 2);
    EXPECT_TRUE(parse({"-m", "chat", "-r", "1"}));
    expect_refused({"-m", "chat", "-r", "2"}, "-r cannot be used with -m chat");
    expect_refused({"-r", "0"}, "a whole number from 1 to 1000000");
    expect_refused({"-r", "1000001"}, "a whole number from 1 to 1000000");
}

TEST(Options, UnknownOptionsAreNamed) {
    expect_refused({"-x"}, "-x");
    expect_refused({"--nonsense"}, "--nonsense");
    expect_refused({"--nonsense=3"}, "--nonsense");
    expect_refused({"--help=3"}, "--help");
    expect_refused({"-t"}, "-t needs a value");
    expect_refused({"--threads"}, "--threads needs a value");
    expect_refused({"--load", "mmap"}, "--load \"mmap\": expected read or map");
    expect_refused({"model.bin", "upon", "a"}, "unexpected argument \"upon\"");
}

TEST(Options, APromptComesFromOnePlace) {
    EXPECT_EQ(parse({"-f", "prompt.txt"})->prompt_file, "prompt.txt");
    EXPECT_TRUE(parse({"-f", "-"})->prompt_from_stdin);
    EXPECT_EQ(parse({"--prompt-file=-"})->prompt_file, "");
    expect_refused({"-f", "-", "-m", "chat"}, "-m chat");
    expect_refused({"-f", "prompt.txt", "-i", "Once"}, "-i and -f");
    expect_refused({"-f", ""}, "-f \"\"");
}

TEST(Options, WhatIsTold) {
    const auto options = parse({"-q", "--json", "--separator", "* * *", "-r", "2"});
    ASSERT_TRUE(options);
    EXPECT_TRUE(options->quiet && options->json);
    EXPECT_EQ(options->separator, "* * *");
    EXPECT_EQ(parse({})->separator, "---");
    EXPECT_FALSE(parse({})->quiet || parse({})->json);
}

TEST(Options, OneRowAnOption) {
    std::set<std::string> names;
    std::set<char> letters;
    for (const OptionRow& row : option_rows()) {
        if (row.name == nullptr) {
            continue;
        }
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
        EXPECT_TRUE(row.letter == 0 || letters.insert(row.letter).second) << row.name;
        EXPECT_NE(row.set, nullptr) << row.name;
        EXPECT_GT(std::strlen(row.help), 5U) << row.name;
        const std::string name = std::string("--") + row.name;
        if (row.metavar != nullptr) {
            expect_refused({name.c_str()}, "needs a value");
        } else {
            EXPECT_TRUE(parse({name.c_str()})) << name;
            expect_refused({(name + "=1").c_str()}, (name + ": expected no value").c_str());
            expect_refused({(name + "=").c_str()}, (name + ": expected no value").c_str());
        }
    }
    EXPECT_GT(names.size(), 20U);
}

TEST(Options, HelpNamesEveryOption) {
    const std::string help = help_text("stories", 512, 4, 8);
    for (const OptionRow& row : option_rows()) {
        const std::string letter = row.letter != 0 ? std::string("  -") + row.letter + ", " : "      ";
        const std::string line = row.name != nullptr ? letter + "--" + row.name : std::string(row.help) + ":\n";
        EXPECT_NE(help.find("\n" + line), std::string::npos) << line;
    }
    std::size_t width = 0;
    std::string words;
    for (const char c : help) {
        width = c == '\n' ? 0 : width + 1;
        EXPECT_LE(width, 80U) << words;
        if (c != ' ' && c != '\n') {
            words += c;
        } else if (!words.empty() && words.back() != ' ') {
            words += ' ';
        }
    }
    for (const char* fact : {" all 512 ", " 1 to 4 ", " 1 to 8 "}) {
        EXPECT_NE(words.find(fact), std::string::npos) << fact;
    }
    EXPECT_EQ(help.find('{'), std::string::npos) << "a fact without a value";
    EXPECT_EQ(help.back(), '\n');
    EXPECT_EQ(version_text("stories", "duo", "q8").rfind("stories (q8, duo), baked by storybake ", 0), 0U);
}

}  // namespace
}  // namespace storybake
