// A family's rules, its day, and what the robot remembers.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "storyteller/day.hpp"
#include "storyteller/diary.hpp"
#include "storyteller/rules.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;
using std::chrono::hours;

struct Read {
    std::map<std::string, std::string> rules;
    std::vector<RuleMistake> mistakes;
};

/// Reads rules of which "volume" must be a number.
Read read(std::string_view text) {
    Read result;
    result.mistakes =
        parse_rules(text, [&](const std::string& key, const std::string& value) -> std::optional<std::string> {
            if (key == "volume" && value.find_first_not_of("0123456789") != std::string::npos) {
                return "\"" + value + "\": expected a number";
            }
            result.rules[key] = value;
            return std::nullopt;
        });
    return result;
}

TEST(Rules, AreReadAsEditorsWriteThem) {
    const std::map<std::string, std::string> expected = {
        {"volume", "60"}, {"night-volume", "20"}, {"child", "Zo\xc3\xab"}};
    const std::string plain = "# rules\nvolume = 60 # not loud\n\n Night  Volume=20\t\nchild = \"Zo\xc3\xab\"";
    std::string crlf;
    std::string cr;
    std::string little("\xff\xfe");
    std::string big("\xfe\xff");
    for (const char c : plain) {
        crlf.append(c == '\n' ? "\r\n" : std::string(1, c));
        cr += c == '\n' ? '\r' : c;
    }
    for (const char c :
         plain.substr(0, plain.find("\xc3\xab")) + "\xeb\"") {  // of Latin-1, UTF-16 has the same numbers
        little.append(1, c).append(1, '\0');
        big.append(1, '\0').append(1, c);
    }
    for (const std::string& text : {plain, crlf, cr, "\xef\xbb\xbf" + plain, little, big, plain + "\n"}) {
        const Read result = read(text);
        EXPECT_EQ(result.rules, expected);
        EXPECT_TRUE(result.mistakes.empty());
    }
}

TEST(Rules, AreToldByTheLineWhereTheyAreWrong) {
    const Read result = read("volume = loud\n\nvolume = 40\nno rule\nchild = Zo\xeb\r\n");
    ASSERT_EQ(result.mistakes.size(), 4U);
    EXPECT_EQ(result.mistakes[0].line, 1);
    EXPECT_EQ(result.mistakes[0].what, "volume: \"loud\": expected a number");
    EXPECT_EQ(result.mistakes[1].what, "\"volume\" stands in line 1 already, which counts");
    EXPECT_EQ(result.mistakes[2].line, 4);
    EXPECT_EQ(result.mistakes[3].what, "\"child\": not UTF-8: save the file as UTF-8");
    EXPECT_EQ(mistakes_words(result.mistakes), "I did not understand lines 1, 3, 4 and 5 of my rules.");
    EXPECT_EQ(read("= 5").mistakes.at(0).what, "\"= 5\": expected a rule: volume = 60");
}

TEST(Rules, EverySpellingOfANameAndOfAValue) {
    for (const std::string_view key :
         {"NIGHT_VOLUME", "night-volume", "night volume", "Night\tVolume", "night - volume", "-night_-volume"}) {
        EXPECT_EQ(read(std::string(key) + " = 1").rules, (std::map<std::string, std::string>{{"night-volume", "1"}}))
            << key;
    }
    EXPECT_EQ(read("night@[z`{volume = 1").rules.begin()->first, "night@[z`{volume");
    const std::map<std::string_view, std::string> values = {
        {"\"a\"", "a"}, {"'a'", "a"}, {"\"a'", "\"a'"},  {"'", "'"},      {"\"", "\""},
        {"aba", "aba"}, {"\"\"", ""}, {"a#b #c", "a#b"}, {"a\t# c", "a"}, {"#", ""}};
    for (const auto& [written, meant] : values) {
        EXPECT_EQ(read("child = " + std::string(written)).rules["child"], meant) << written;
    }
    EXPECT_TRUE(read("# = 5").mistakes.empty());
}

TEST(Rules, OfUtf16WithPairsAndHalves) {
    const auto utf16 = [](std::initializer_list<unsigned> units) {
        std::string text("\xff\xfe");
        for (const unsigned unit : units) {
            text.append(1, static_cast<char>(unit & 0xffU)).append(1, static_cast<char>(unit >> 8));
        }
        return text;
    };
    EXPECT_EQ(read(utf16({'a', '=', 0xd83d, 0xde00})).rules["a"], "\xf0\x9f\x98\x80");
    EXPECT_EQ(read(utf16({'a', '=', 0xe000, 0xd7ff})).rules["a"], "\xee\x80\x80\xed\x9f\xbf") << "no halves";
    for (const auto& units :
         {utf16({'a', '=', 0xd83d, 'x'}), utf16({'a', '=', 0xd83d}), utf16({'a', '=', 0xdc00, 0xde00})}) {
        EXPECT_EQ(read(units).mistakes.at(0).what, "\"a\": not UTF-8: save the file as UTF-8");
    }
}

TEST(Rules, AreShownShortAndCounted) {
    EXPECT_EQ(read(std::string(41, '~')).mistakes.at(0).what,
              "\"" + std::string(40, '~') + "...\": expected a rule: volume = 60");
    EXPECT_EQ(read(std::string(40, '\x7f')).mistakes.at(0).what,
              "\"" + std::string(40, '?') + "\": expected a rule: volume = 60");
    EXPECT_EQ(mistakes_words(read("x").mistakes), "I did not understand line 1 of my rules.");
    const std::string path = ::testing::TempDir() + "/rules." + std::to_string(getpid());
    std::ofstream(path) << "volume = 7\n";
    std::string volume;
    EXPECT_TRUE(read_rules(path, [&](const std::string&, const std::string& value) -> std::optional<std::string> {
                    volume = value;
                    return std::nullopt;
                }).empty());
    EXPECT_EQ(volume, "7");
    std::remove(path.c_str());
}

TEST(Rules, OfAFileThatIsNoneDoNothing) {
    const std::string program(
        "\x7f"
        "ELF\x02\x01\x01\0\0\0volume = 5\n",
        21);
    EXPECT_EQ(read(program).mistakes.at(0).line, 0);
    EXPECT_TRUE(read(program).rules.empty());
    EXPECT_EQ(mistakes_words(read(program).mistakes), "I can not read my rules.");
    std::string noise;
    for (int i = 0; i < 1000; ++i) {
        noise += "\x1b[2J\x9b line " + std::to_string(i) + "\n";
    }
    const Read result = read(noise);
    EXPECT_EQ(result.mistakes.size(), 21U);
    for (const RuleMistake& mistake : result.mistakes) {
        EXPECT_EQ(mistake.what.find('\x1b'), std::string::npos);
        EXPECT_LT(mistake.what.size(), 100U);
    }
    EXPECT_EQ(mistakes_words(result.mistakes), "I did not understand many lines of my rules. The first is line 1.");
    EXPECT_EQ(read_rules("/nonexistent/rules", {}).at(0).line, 0);
    EXPECT_EQ(read_rules("/dev/zero", {}).at(0).what, "more than 65536 bytes: expected a rules file");
    EXPECT_TRUE(read("").mistakes.empty());
    EXPECT_EQ(mistakes_words({}), "");
}

TEST(QuietHours, MayPassMidnight) {
    const std::optional<QuietHours> night = parse_quiet_hours("20:00 - 6:30");
    ASSERT_TRUE(night);
    for (const auto& [minute, quiet] :
         std::map<int, bool>{{0, true}, {389, true}, {390, false}, {1199, false}, {1200, true}}) {
        EXPECT_EQ(night->has(minute), quiet) << minute;
    }
    EXPECT_FALSE(parse_quiet_hours("13:00-14:00")->has(0));
    EXPECT_TRUE(parse_quiet_hours("13:00-14:00")->has(780));
    for (const char* const text : {"", "20:00", "20-6", "20:00-24:00", "20:60-6:00", "8:00-8:00", "20:00-6:3",
                                   "-1:00-6:00", "20:00-6:30x", "99999999999:00-6:00", "20:00-6:30:10"}) {
        EXPECT_FALSE(parse_quiet_hours(text)) << text;
    }
}

TEST(Day, BeginsWithTheStartWhereThereIsNoClock) {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    const QuietHours night{20 * 60, 6 * 60};
    const Moment none = moment_of(1000, 90min, night);
    EXPECT_FALSE(none.clock);
    EXPECT_EQ(none.minute, 7 * 60 + 30);
    EXPECT_FALSE(night.has(none.minute));
    EXPECT_TRUE(night.has(moment_of(1000, hours(15), night).minute));
    EXPECT_EQ(moment_of(1000, hours(25), night).day, 1);
    const Moment known = moment_of(1795962600, hours(1), night);  // 2026-11-29 14:30
    EXPECT_TRUE(known.clock);
    EXPECT_EQ(known.minute, 14 * 60 + 30);
}

TEST(StoryCount, BeginsAnewWithTheDayAndNoJumpOfTheClock) {
    StoryCount count;
    count.add({true, 100, 0});
    count.add({true, 100, 5});
    EXPECT_EQ(count.at({true, 100, 9}), 2);
    EXPECT_EQ(count.at({true, 99, 9}), 2) << "the clock went back";
    EXPECT_EQ(count.at({true, 100, 9}), 2) << "and forth";
    EXPECT_EQ(count.at({true, 101, 0}), 0);
    StoryCount wrong;
    wrong.restore({true, 30000, 0}, 5);  // as a clock had it that was years ahead
    EXPECT_EQ(wrong.at({true, 100, 9}), 0) << "the clock was set right";
    wrong.add({true, 100, 10});
    EXPECT_EQ(wrong.at({true, 100, 11}), 1);
    StoryCount unset;
    unset.add({false, 0, 0});
    EXPECT_EQ(unset.at({true, 20000, 0}), 1) << "the clock was set";
    EXPECT_EQ(unset.at({true, 20001, 0}), 0);
    StoryCount restored;
    restored.restore({true, 100, 0}, 3);
    EXPECT_EQ(restored.at({true, 100, 50}), 3);
    EXPECT_EQ(restored.at({true, 101, 0}), 0);
}

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Diary, IsReadBackAndNoPartOfIt) {
    const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "diary";
    std::filesystem::create_directory(folder);
    const std::string path = folder / "memory";
    std::filesystem::remove(path);
    EXPECT_FALSE(*read_diary(path));
    std::ofstream(path + ".new") << "left by a power cut, and longer than what is written over it: "
                                 << std::string(500, 'x');
    EXPECT_FALSE(write_diary(path, {"a boy named Tom", 0xfedcba9876543210, -1, 20786, 3}));
    EXPECT_FALSE(std::filesystem::exists(path + ".new"));
    const Result<std::optional<Remembered>> read = read_diary(path);
    ASSERT_TRUE(read && *read);
    EXPECT_EQ((*read)->topic, "a boy named Tom");
    EXPECT_EQ((*read)->seed, 0xfedcba9876543210);
    EXPECT_EQ((*read)->length, -1);
    EXPECT_EQ((*read)->day, 20786);
    EXPECT_EQ((*read)->stories, 3);
    const std::string whole = content(path);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        std::ofstream(path, std::ios::binary) << whole.substr(0, size);
        const Result<std::optional<Remembered>> cut = read_diary(path);
        EXPECT_TRUE(cut && !*cut) << size;
    }
    std::filesystem::create_symlink("memory",
                                    folder / "link");  // is written through, to what is there and what is not yet
    for (int seed = 1; seed < 3; ++seed) {
        EXPECT_FALSE(write_diary(folder / "link", {"a cat", static_cast<std::uint64_t>(seed), 0, 0, 0}));
        EXPECT_EQ((**read_diary(path)).seed, seed);
        EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
        std::filesystem::remove(path);
    }
    ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);  // stands for devices too: nothing is put in their place
    EXPECT_EQ(write_diary(folder / "pipe", {})->exit_code, 74);
    EXPECT_EQ(read_diary(folder / "pipe").failure().exit_code, 66);
    EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
    EXPECT_EQ(write_diary("/nonexistent/memory", {})->exit_code, 74);
    EXPECT_EQ(read_diary(folder).failure().exit_code, 66) << "a folder";
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace storybake::speech
