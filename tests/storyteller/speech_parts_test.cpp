// The parts of the storyteller that need neither a voice nor a sound card.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storyteller/messages.hpp"
#include "storyteller/process.hpp"
#include "storyteller/speaker.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {

// The tests' own, in place of the generated ones.
namespace {
constexpr const char* kTopics[] = {"a dragon", "saying please"};
constexpr const char* kWords[] = {"a", "box", "dog", "it's", "named", "played", "the", "well-known"};
constexpr const char* kAsks[] = {"tell me", "can you tell me", "i want"};
constexpr const char* kStories[] = {"a story", "story", "one"};
constexpr const char* kOthers[] = {"another story", "another one"};
constexpr LengthWords kLengths[] = {{"a short story", -1}, {"a longer one", 1}};
constexpr const char* kLinks[] = {"about", "with"};
constexpr const char* kNamed[] = {"named", "called"};
constexpr const char* kNames[] = {"tom", "daisy"};
constexpr const char* kPolite[] = {"please", "hello", "now", "and"};
constexpr CommandWords kCommands[] = {{"again", Command::kAgain},
                                      {"that one again", Command::kAgain},
                                      {"stop", Command::kStop},
                                      {"help", Command::kHelp}};
}  // namespace
const WishFacts kWishes = {.topics = kTopics,
                           .forbidden = {},
                           .words = kWords,
                           .asks = kAsks,
                           .stories = kStories,
                           .others = kOthers,
                           .lengths = kLengths,
                           .links = kLinks,
                           .named = kNamed,
                           .names = kNames,
                           .polite = kPolite,
                           .commands = kCommands,
                           .pronunciations = {},
                           .prompt_before = "",
                           .prompt_after = "",
                           .prompt_is_told = false,
                           .prompt_for_any = "",
                           .asks_by_chat = false,
                           .grammar = ""};

namespace {

using namespace std::chrono_literals;

TEST(Words, AreSplitAsAShellDoes) {
    EXPECT_EQ(*split_words("x", "arecord -q  -D 'hw:0, 1'"), (Words{"arecord", "-q", "-D", "hw:0, 1"}));
    EXPECT_EQ(*split_words("x", R"(a "b \"c\" \d" e\ f '' $HOME)"), (Words{"a", R"(b "c" \d)", "e f", "", "$HOME"}));
    EXPECT_EQ(split_words("x", "a 'b").failure().exit_code, kExitUsage);
    EXPECT_EQ(split_words("x", " ").failure().exit_code, kExitUsage);
}

TEST(Process, IsEndedEvenWhenItWillNot) {
    Result<Process> process = Process::start("x", {"sh", "-c", "trap '' TERM; echo ready; sleep 60"}, Pipes::kOutput);
    ASSERT_TRUE(process);
    std::vector<std::byte> said;
    EXPECT_EQ(read_some(process->output().get(), said, 5000ms), Moved::kSome);
    EXPECT_FALSE(process->wait(0ms));
    process->end();
    EXPECT_EQ(process->wait(0ms), 128 + SIGKILL);
    EXPECT_EQ(Process::start("x", {"/nonexistent"}, Pipes::kNone).failure().exit_code, kExitUnavailable);
}

TEST(Loudness, ComesWithoutAClickAndRoundsPeaksOff) {
    Level level;
    std::vector<std::int16_t> samples(320, 10000);
    level.set(samples, 1.5);
    EXPECT_LT(samples[0], 200) << "soft from silence";
    EXPECT_NEAR(samples[159], 15000, 1);
    EXPECT_NEAR(samples[319], 15000, 1);
    std::vector<std::int16_t> quieter(320, 10000);
    level.set(quieter, 0.5);
    EXPECT_GT(quieter[0], 14800);
    EXPECT_NEAR(quieter[319], 5000, 1);
    std::vector<std::int16_t> loud(320);
    for (std::size_t i = 160; i < loud.size(); ++i) {
        loud[i] = i % 2 == 0 ? 30000 : -32768;
    }
    level.set(loud, 4.0);
    EXPECT_GT(loud[318], 22500);
    EXPECT_LT(loud[319], -22500);
    EXPECT_GE(loud[319], -22937) << "-3.1 dB";
    level.set({}, 1.0);
}

TEST(Wishes, NameATopicInManyWays) {
    for (const auto& [text, topic] : std::initializer_list<std::pair<std::string_view, const char*>>{
             {"Tell me a story about a Dragon, please.", "a dragon"},
             {"a dragon", "a dragon"},
             {"please, can you tell me a story about a dog and a cat now", "a dog and a cat"},
             {"tell me about a boy named tom", "a boy named Tom"},
             {"a boy named Tom, the brave", "a boy named Tom, the brave"},
             {"one with tom and a dragon please", "Tom and a dragon"},
             {"i want a daisy", "a daisy"},
             {"another story about the sea", "the sea"},
             {"tell me a story about me", "me"},
             {"a story about a bus stop", "a bus stop"},
             {"a story about saying please, please", "saying please"},
             {"the story of a crab", "the story of a crab"},
             {"a caf\xc3\xa9", "a caf\xc3\xa9"},
             {"A dragon", "a dragon"},
             {"A DRAGON", "a dragon"},
             {"TELL ME ABOUT A DOG NAMED TOM AND PEPPA!", "a dog named Tom and Peppa"},
             {"Dragon", "a dragon"},
             {"dragon and daisy", "a dragon and Daisy"},
             {"Tom and the dragon", "Tom and the dragon"},
             {"a dog with Dragon named dragon", "a dog with a dragon named Dragon"},
             {"Peppa and a Box", "Peppa and a Box"},
             {"Saying Please", "saying please"},
             {"a  dragon\t\r\nand\xc2\xa0 Tom", "a dragon and Tom"},
             {"\xef\xbb\xbf"
              "a dragon",
              "a dragon"},
             {"\xe2\x80\x9c"
              "a dragon\xe2\x80\x9d who can\xe2\x80\x99t",
              "a dragon\" who can't"},
             {"a\x1b[31m \xe2\x80\xae"
              "dragon\x7f",
              "a[31m dragon"},
             {std::string_view("a dr\0agon", 10), "a dragon"},
             {"one day in summer", "one day in summer"}}) {
        const std::optional<Wish> wish = understand(text);
        ASSERT_TRUE(wish) << text;
        EXPECT_FALSE(wish->command) << text;
        EXPECT_EQ(wish->topic, topic) << text;
    }
    EXPECT_EQ(understand("a short story about a dragon")->length, -1);
    EXPECT_EQ(understand("tell me a longer one with a dragon")->length, 1);
    EXPECT_EQ(understand("a dragon")->length, 0);
}

TEST(Wishes, MayBeCommands) {
    for (const auto& [text, command] : std::initializer_list<std::pair<const char*, Command>>{
             {"Tell me a story.", Command::kStory},
             {"a story, please", Command::kStory},
             {"please", Command::kStory},
             {"I want a story about", Command::kStory},
             {" Again! ", Command::kAgain},
             {"can you tell me that one again please", Command::kAgain},
             {"another one", Command::kNext},
             {"Tell me another story!", Command::kNext},
             {"hello, help", Command::kHelp},
             {"stop", Command::kStop},
             {"Stop it please", Command::kStop},
             {"no no no please stop now", Command::kStop},
             {"stop the story about a dragon", Command::kStop},
             {"a story about a dragon, stop!", Command::kStop},
             {"stop the train", Command::kStop}}) {
        const std::optional<Wish> wish = understand(text);
        ASSERT_TRUE(wish) << text;
        EXPECT_EQ(wish->command, command) << text;
        EXPECT_EQ(wish->topic, "") << text;
    }
    for (const char* const text : {"", " 123 !", "hello", "Hello, and hello"}) {
        EXPECT_FALSE(understand(text)) << text;
    }
}

TEST(Messages, AreThereInBothLanguagesWithTheSameValues) {
    const auto all = [](Language language) {
        std::vector<std::string> texts;
        set_language(language);
        for (int i = 0; i < static_cast<int>(Message::kCount); ++i) {
            texts.push_back(say(static_cast<Message>(i)));
        }
        set_language(Language::kEnglish);
        return texts;
    };
    const auto values = [](const std::string& text) {
        int count = 0;
        for (std::size_t at = 0; (at = text.find("{}", at)) != std::string::npos; at += 2) {
            ++count;
        }
        return count;
    };
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    const std::vector<std::string> english = all(Language::kEnglish);
    const std::vector<std::string> chinese = all(Language::kChinese);
    for (std::size_t i = 0; i < english.size(); ++i) {
        EXPECT_EQ(values(english[i]), values(chinese[i])) << english[i];
        EXPECT_TRUE(!english[i].empty() && std::all_of(english[i].begin(), english[i].end(), is_ascii)) << english[i];
        EXPECT_FALSE(std::all_of(chinese[i].begin(), chinese[i].end(), is_ascii)) << english[i];
        // What has to be typed is the same: options and the names of packages.
        for (std::size_t at = 0; (at = english[i].find("--", at)) != std::string::npos; at += 2) {
            const std::string option = english[i].substr(at, english[i].find_first_of(" :,", at) - at);
            EXPECT_NE(chinese[i].find(option), std::string::npos) << chinese[i];
        }
    }
}

TEST(Messages, SteerNoTerminal) {
    testing::internal::CaptureStderr();
    show("a\x1b[31m\nb\xe2\x80\xae c\xc2\x9b");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "a?[31m?b c\n");
}

TEST(Messages, TakeTheirValuesInBothLanguages) {
    EXPECT_EQ(say(Message::kHeard, {"a {} b"}), "heard: a {} b");
    set_language(Language::kChinese);
    EXPECT_EQ(say(Message::kHeard, {"x"}), "听到：x");
    set_language(Language::kEnglish);
    EXPECT_FALSE(find_language("fr"));
}

}  // namespace
}  // namespace storybake::speech
