// Which sound card and which player is taken where nobody said: on boards the first card may have no output.
#include "storyteller/sound_card.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fail.hpp"
#include "storyteller/microphone.hpp"
#include "storyteller/speaker.hpp"

namespace storybake::speech {
namespace {

namespace fs = std::filesystem;

/// A folder as the kernel fills /dev/snd, and another one in PATH with programs that do nothing.
class SoundCardTest : public testing::Test {
protected:
    SoundCardTest() : path_(std::getenv("PATH")) {
        std::string pattern = (fs::temp_directory_path() / "sound-card-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        fs::create_directories(folder_ / "bin");
        ::setenv("PATH", (folder_ / "bin").c_str(), 1);
    }

    ~SoundCardTest() override {
        ::setenv("PATH", path_.c_str(), 1);
        fs::remove_all(folder_);
    }

    std::string devices(const std::vector<std::string>& names) {
        fs::create_directories(folder_ / "snd");
        for (const std::string& name : names) {
            std::ofstream(folder_ / "snd" / name).put(' ');
        }
        return folder_ / "snd";
    }

    void install(const std::string& program) {
        std::ofstream(folder_ / "bin" / program) << "#!/bin/sh\n";
        ::chmod((folder_ / "bin" / program).c_str(), 0755);
    }

private:
    std::string path_;
    fs::path folder_;
};

std::string shown(const std::optional<SoundCard>& card) {
    return card ? card->number + "," + card->device : "none";
}

/// Whether two words of a command follow each other.
bool has(const Words& words, const std::string& first, const std::string& second) {
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i - 1] == first && words[i] == second) {
            return true;
        }
    }
    return false;
}

TEST_F(SoundCardTest, FirstCardWithTheDirection) {
    const std::string duo = devices({"controlC0", "controlC1", "pcmC1D0p", "pcmC0D0c", "timer"});
    EXPECT_EQ(shown(find_card(duo, 'p')), "1,0");
    EXPECT_EQ(shown(find_card(duo, 'c')), "0,0");
}

TEST_F(SoundCardTest, TheDuosOwnCodecComesLast) {
    const std::string duo = devices({"pcmC0D0c", "pcmC1D0p", "pcmC2D0p", "pcmC2D0c"});
    for (const char* card : {"card0", "card1", "card2"}) {
        fs::create_directories(fs::path(duo) / card);
    }
    std::ofstream(fs::path(duo) / "card0/id") << "cv182xaadc\n";
    std::ofstream(fs::path(duo) / "card1/id") << "cv182xadac\n";
    std::ofstream(fs::path(duo) / "card2/id") << "Device\n";  // a USB sound card's
    EXPECT_EQ(shown(find_card(duo, 'p', duo)), "2,0");
    EXPECT_EQ(shown(find_card(duo, 'c', duo)), "2,0");
    fs::remove(fs::path(duo) / "pcmC2D0c");
    EXPECT_EQ(shown(find_card(duo, 'c', duo)), "0,0") << "better than none";
}

TEST_F(SoundCardTest, SmallestNumbersWhateverTheirOrder) {
    const std::string pc = devices({"pcmC10D0p", "pcmC2D7p", "pcmC2D3p", "pcmC2D3c"});
    EXPECT_EQ(shown(find_card(pc, 'p')), "2,3");
}

TEST_F(SoundCardTest, NoneInOtherNamesAndMissingFolders) {
    EXPECT_EQ(shown(find_card(devices({"pcmC0", "pcmCxD0p", "seq"}), 'p')), "none");
    EXPECT_EQ(shown(find_card("/nonexistent", 'p')), "none");
}

TEST_F(SoundCardTest, PlayersAreToldTheCardThatPlays) {
    install("aplay");
    install("tinyplay");
    const auto players = find_players(devices({"pcmC0D0c", "pcmC1D0p"}));
    ASSERT_TRUE(players);
    ASSERT_EQ(players->size(), 2U);
    EXPECT_EQ((*players)[0][0], "aplay");
    EXPECT_TRUE(has((*players)[0], "-D", "plughw:1,0"));
    EXPECT_EQ((*players)[1][0], "tinyplay");
    EXPECT_TRUE(has((*players)[1], "-D", "1"));
    EXPECT_TRUE(has((*players)[1], "-d", "0"));
    EXPECT_FALSE(has((*players)[1], "-b", "16"));  // not every tinyplay knows it
}

TEST_F(SoundCardTest, WhatTheSystemCallsDefaultIsLeftToIt) {
    install("aplay");
    for (const std::string& folder : {devices({"pcmC0D0p", "pcmC1D0p"}), std::string("/nonexistent")}) {
        const auto players = find_players(folder);
        ASSERT_TRUE(players);
        ASSERT_EQ(players->size(), 1U);
        EXPECT_EQ((*players)[0].back(), "raw");
    }
}

TEST_F(SoundCardTest, NoPlayerIsUnavailable) {
    const auto players = find_players(devices({"pcmC0D0p"}));
    ASSERT_FALSE(players);
    EXPECT_EQ(players.failure().exit_code, kExitUnavailable);
    EXPECT_NE(players.failure().message.find("--snd-command"), std::string::npos);
}

TEST_F(SoundCardTest, TheRecorderTakesTheFirstCardThatRecords) {
    EXPECT_EQ(find_recorder(devices({})).failure().exit_code, kExitUnavailable);
    install("tinycap");
    EXPECT_TRUE(has(*find_recorder(devices({"pcmC2D3c", "pcmC1D0p"})), "-D", "2"));
    EXPECT_TRUE(has(*find_recorder(devices({})), "-d", "3"));
    install("arecord");  // which is preferred, and finds card 0 itself
    EXPECT_TRUE(has(*find_recorder(devices({})), "-D", "plughw:2,3"));
    const Words first = *find_recorder(devices({"pcmC0D0c"}));
    EXPECT_EQ(first.front(), "arecord");
    EXPECT_FALSE(has(first, "-D", "plughw:0,0"));
}

}  // namespace
}  // namespace storybake::speech
