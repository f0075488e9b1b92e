// What must not be told: found however it is written, and left out of stories sentence by sentence.

#include "storyteller/guard.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storyteller/narrator.hpp"
#include "storyteller/sentences.hpp"

namespace storybake::speech {
namespace {

Guard some_words() {
    Guard guard;
    for (const char* const word :
         {"gun", "pistol*", "spider-man", "sex", "mcdonald*", "hell", "\xe6\x89\x93\xe6\x9e\xb6",
          "\xd0\xb2\xd0\xbe\xd0\xb9\xd0\xbd\xd0\xb0", "", "-", "*"}) {
        guard.forbid(word);
    }
    return guard;
}

TEST(Guard, FindsAWordHoweverItIsWritten) {
    const Guard guard = some_words();
    for (const char* const text : {"a gun",
                                   "A GUN!",
                                   "Gun's",
                                   "(gun)",
                                   "a toy-gun",
                                   "gun-metal",
                                   "g\xc3\xbcn",
                                   "g\xc5\xabn",
                                   "gu\xcc\x88n",
                                   "g\xe2\x80\x8bu\xc2\xadn\xef\xbb\xbf",
                                   "g\x01u\x7fn",
                                   "g\xffun",
                                   "\xef\xbc\xa7\xef\xbd\x95\xef\xbd\x8e",
                                   "g-u-n",
                                   "gu\xe2\x80\x91n",
                                   "g u n",
                                   "a G.U.N!",
                                   "g_u_n",
                                   "me and a g u n",
                                   "\xe2\x80\x9cgun\xe2\x80\x9d",
                                   "gun\xf0\x9f\x94\xab",
                                   "no\ngun",
                                   "no\xc2\xa0gun"}) {
        EXPECT_EQ(guard.find(text), "gun") << text;
    }
    for (const char* const text : {"Spider-Man", "spider man", "SpiderMan", "spider \xe2\x80\x93 man", "spi-der-man"}) {
        EXPECT_TRUE(guard.find(text)) << text;
    }
    EXPECT_EQ(guard.find("two pistols"), "pistols");
    EXPECT_EQ(guard.find("at McDonald\xe2\x80\x99s"), "mcdonald");
    EXPECT_TRUE(guard.find("\xe6\x88\x91\xe4\xbb\xac\xe6\x89\x93\xe6\x9e\xb6\xe5\x90\xa7")) << "a text without spaces";
    EXPECT_TRUE(guard.find("\xd0\x92\xd0\x9e\xd0\x99\xd0\x9d\xd0\x90")) << "capitals that are not Latin";
}

TEST(Guard, FindsNoneWithinOtherWords) {
    const Guard guard = some_words();
    for (const char* const text :
         {"", " ", "Gunnar had begun in Sussex", "shells", "he'll say hello", "a spider, then a man and a spider",
          "Gun\xc3\xbey", "a pist", "I gu n", "g u", "\xff\xfe", "\xe6\x89\x93", "\xe6\x9e\xb6\xe6\x89\x93", "gunn"}) {
        EXPECT_FALSE(guard.find(text)) << text << ": " << *guard.find(text);
    }
    EXPECT_FALSE(Guard().find("a gun, a pistol"));
    EXPECT_FALSE(guard.find(std::string(100'000, 'g')));
    EXPECT_TRUE(guard.find(std::string(100'000, ' ') + "gun"));
}

TEST(Guard, LetsPassWhatTheFamilyAllows) {
    Guard guard = some_words();
    guard.allow("Man, the G\xc3\xbcn");
    EXPECT_FALSE(guard.find("the gun"));
    EXPECT_TRUE(guard.find("spider man")) << "only a part of it is allowed";
    guard.allow("spider");
    EXPECT_FALSE(guard.find("spider man"));
    EXPECT_EQ(guard.find("gun and pistol"), "pistol");
}

TEST(Guard, KnowsLettersWithoutTheirAccents) {
    EXPECT_EQ(plain_letter(0xeb), 'e');
    EXPECT_EQ(plain_letter(0x141), 'L');
    EXPECT_EQ(plain_letter(0x178), 'Y');
    EXPECT_EQ(plain_letter(0x17e), 'z');
    for (const std::uint32_t code : {0x41U, 0xbfU, 0xd7U, 0x180U, 0x110000U}) {
        EXPECT_EQ(plain_letter(code), '\0') << code;
    }
    EXPECT_EQ(speakable("\xc5\x81ukasz"), "Lukasz");
}

struct Told {
    std::string text;  // as it stands on the screen
    std::string told;
    int left_out = 0;
    bool closed = false;
};

/// Tells a text, a few bytes at a time, until the narrator has enough.
Told tell(std::string_view text, StoryLimits limits) {
    const Guard guard = some_words();
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe(pipe.data()), 0);
    Told result;
    {
        Controls controls;
        TextOutput screen(pipe[1], true);
        Speaker speaker({}, nullptr, controls.cut, [] {});
        Narrator narrator(nullptr, speaker, screen, controls, guard, limits);
        for (; !text.empty() && !narrator.full(); text.remove_prefix(std::min<std::size_t>(text.size(), 3))) {
            narrator.write(text.substr(0, 3));
            narrator.end_token();
        }
        EXPECT_FALSE(narrator.end());
        result = {"", narrator.told(), narrator.left_out(), narrator.closed()};
    }
    ::close(pipe[1]);
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(pipe[0], buffer.data(), buffer.size());
    result.text.assign(buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    ::close(pipe[0]);
    EXPECT_EQ(result.text, result.told.empty() ? "" : result.told + "\n");
    return result;
}

TEST(Guard, LeavesOutASentenceOfAStory) {
    const Told one = tell("Once there was a fox. It had a gun. It was happy. All went home.", {});
    EXPECT_EQ(one.told, "Once there was a fox. It was happy. All went home.");
    EXPECT_TRUE(one.left_out == 1 && !one.closed);
    EXPECT_EQ(tell("It had a gun. It was happy.", {}).told, "It was happy.");
    EXPECT_EQ(tell("It was happy. It had a gun.", {}).told, "It was happy.");
    EXPECT_EQ(tell("It was happy. It had a gun and", {}).told, "It was happy. The end.")
        << "where the model breaks off";
    EXPECT_EQ(tell("Hm\n\nIt had a gun. It was happy.", {}).told, "Hm It was happy.");
}

TEST(Guard, EndsAStoryThatHasMoreOfIt) {
    const Told two = tell("Once there was a fox. It had a gun. It was happy. Its gun was big. All went home.", {});
    EXPECT_EQ(two.told, "Once there was a fox. It was happy. The end.");
    EXPECT_TRUE(two.left_out == 2 && two.closed);
    EXPECT_EQ(tell("It had a gun. Its gun was big. All went home.", {}).told, "The end.");
    EXPECT_EQ(tell("A fox. A gun. All went home.", {.left_out = 0}).told, "A fox. The end.");
}

TEST(Guard, LeavesOutTheRestOfASentenceThatIsSpokenInParts) {
    std::string sentence = "He saw";
    while (sentence.size() < 190) {
        sentence += " a tree and";
    }
    const Told first = tell("Hm. " + sentence + " a gun, and he ran and ran, and came to a hill. He slept.", {});
    EXPECT_EQ(first.told.find("gun"), std::string::npos);
    EXPECT_TRUE(first.left_out == 1 && first.told.ends_with(" He slept.")) << first.told;
    std::string split = sentence.substr(0, sentence.rfind(" a tree"));
    split.resize(kMaxSentence - 7, 'e');
    const Told across = tell("Hm. " + split + " spider man came, and he ran and ran. He slept.", {});
    EXPECT_EQ(across.told.find("man came"), std::string::npos) << "a word of two across the place where it is split";
    EXPECT_EQ(across.left_out, 1);
}

}  // namespace
}  // namespace storybake::speech
