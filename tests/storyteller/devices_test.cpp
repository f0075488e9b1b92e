// What hangs, dies or comes late around the robot: players, espeak-ng, hooks and buttons, with less patience than
// theirs.

#include <gtest/gtest.h>
#include <linux/gpio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "storyteller/button.hpp"
#include "storyteller/hooks.hpp"
#include "storyteller/microphone.hpp"
#include "storyteller/speaker.hpp"
#include "storyteller/voice.hpp"
#include "text_output.hpp"

namespace storybake::speech {

// Flite's is not linked in; the tests' espeak-ng gives kSampleRate.
std::vector<std::int16_t> resample(const std::vector<std::int16_t>& samples, int rate) {
    EXPECT_EQ(rate, kSampleRate);
    return samples;
}

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Samples = std::vector<std::int16_t>;

const Samples kSecond(kSampleRate, 1000);
constexpr auto kLittle = 600ms;  // enough for a program to start on a busy machine

/// A folder that is the first of PATH, for programs of a few lines of shell.
class DevicesTest : public testing::Test {
protected:
    DevicesTest() : path_(std::getenv("PATH")) {
        std::string pattern = (fs::temp_directory_path() / "devices-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        ::setenv("PATH", (folder_.string() + ":" + path_).c_str(), 1);
    }

    ~DevicesTest() override {
        ::setenv("PATH", path_.c_str(), 1);
        fs::remove_all(folder_);
    }

    /// `$F` is the folder.
    Words program(const std::string& name, const std::string& script) {
        std::ofstream(folder_ / name) << "#!/bin/sh\nF=" << folder_.string() << "\n" << script << "\n";
        ::chmod((folder_ / name).c_str(), 0755);
        return {(folder_ / name).string()};
    }

    void write(const std::string& name, std::span<const std::byte> bytes) {
        std::ofstream(folder_ / name, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }

    /// The words of a file; none while it isn't there.
    std::vector<std::string> words(const std::string& name) {
        std::ifstream file(folder_ / name);
        return {std::istream_iterator<std::string>(file), {}};
    }

    std::string in_folder(const std::string& name) { return (folder_ / name).string(); }

private:
    std::string path_;
    fs::path folder_;
};

// ---- Players

class SpeakerTest : public DevicesTest {
protected:
    std::atomic<bool> cut_ = false;
    int begun_ = 0;

    Speaker speaker(const std::vector<Words>& players, PlayerPatience patience = {.stuck = kLittle, .tail = kLittle}) {
        return {players, nullptr, cut_, [this] { ++begun_; }, patience};
    }
};

TEST_F(SpeakerTest, EndsAPlayerThatHangsAndGivesUp) {
    const std::vector<Words> players = {program("player", "echo started >>$F/calls\nexec sleep 60")};
    Speaker hung = speaker(players);
    testing::internal::CaptureStderr();
    const std::optional<Failure> failed = hung.play(kSecond);
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->exit_code, kExitUnavailable);
    EXPECT_NE(failed->message.find("ended without playing, 3 times"), std::string::npos) << failed->message;
    EXPECT_NE(said.find("took no sample for 0 s and was ended"), std::string::npos) << said;
    EXPECT_EQ(words("calls").size(), 3U);
    EXPECT_EQ(begun_, 1);
}

TEST_F(SpeakerTest, LeavesTheRestAsTextWhenThePlayerHangsLater) {
    const std::vector<Words> players = {program("player",
                                                "[ -e $F/dead ] || head -c 32000 >$F/heard\n"
                                                "touch $F/dead\nexec sleep 60")};
    Speaker hung = speaker(players);
    EXPECT_FALSE(hung.play(kSecond));
    testing::internal::CaptureStderr();
    EXPECT_FALSE(hung.play(kSecond));
    EXPECT_FALSE(hung.play(kSecond));
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.find("the story goes on as text"), said.rfind("the story goes on as text")) << said;
    EXPECT_TRUE(hung.silent());
    EXPECT_FALSE(hung.finish());
    EXPECT_EQ(fs::file_size(in_folder("heard")), 32000U);
}

TEST_F(SpeakerTest, WaitsForTheTailOnlySoLong) {
    const std::vector<Words> players = {program("player", "cat >/dev/null\nexec sleep 60")};
    Speaker hung = speaker(players);
    EXPECT_FALSE(hung.play(kSecond));
    testing::internal::CaptureStderr();
    EXPECT_FALSE(hung.finish()) << "all was said";
    EXPECT_NE(testing::internal::GetCapturedStderr().find("was ended"), std::string::npos);
}

TEST_F(SpeakerTest, EndsAtOnceWhenItIsCut) {
    const std::vector<Words> players = {program("player", "exec sleep 60")};
    Speaker cut = speaker(players);
    cut_ = true;
    EXPECT_FALSE(cut.play(kSecond));
    EXPECT_FALSE(cut.finish());
    EXPECT_FALSE(cut.first_sound());
    EXPECT_EQ(begun_, 0);
}

TEST_F(SpeakerTest, PlaysAgainAfterItsEnd) {
    const std::vector<Words> players = {program("player", "wc -c >>$F/heard")};
    Speaker speaks = speaker(players, {});
    for (int i = 0; i < 2; ++i) {
        EXPECT_FALSE(speaks.play(kSecond));
        EXPECT_FALSE(speaks.finish());
    }
    EXPECT_EQ(words("heard"), (std::vector<std::string>{"32000", "32000"}));
    EXPECT_EQ(begun_, 1);
}

// ---- Microphones

TEST_F(DevicesTest, AMicrophoneGivesWhatHasComeInWholeSamples) {
    Result<Microphone> microphone = Microphone::start(program("mic", "printf abc\nsleep 0.3\nprintf d"));
    ASSERT_TRUE(microphone);
    Samples heard;
    int empty = 0;
    while (true) {
        const Result<Samples> samples = microphone->read();
        if (!samples) {
            EXPECT_EQ(samples.failure().exit_code, kExitUnavailable);
            break;
        }
        heard.insert(heard.end(), samples->begin(), samples->end());
        empty += samples->empty() ? 1 : 0;
    }
    EXPECT_EQ(heard, (Samples{0x6261, 0x6463}));
    EXPECT_GT(empty, 0) << "nothing had come for a tenth of a second";
    EXPECT_FALSE(Microphone::start({"/nonexistent/mic"}));
}

// ---- espeak-ng

class EspeakTest : public DevicesTest {
protected:
    void SetUp() override {
        const std::array<std::byte, 44> header = wav_header(0xffffffff);
        std::vector<std::byte> wav(header.begin(), header.end());
        const auto bytes = sample_bytes(kSecond);
        wav.insert(wav.end(), bytes.begin(), bytes.end());
        write("speech.wav", wav);
    }

    /// What is heard of a sentence.
    std::optional<Failure> speak(Samples& heard) {
        Result<std::unique_ptr<Voice>> voice = open_espeak("espeak", {}, kLittle);
        if (!voice) {
            return voice.failure();
        }
        return (*voice)->speak("Hello.", [&heard](std::span<const std::int16_t> samples) {
            heard.insert(heard.end(), samples.begin(), samples.end());
            return true;
        });
    }
};

TEST_F(EspeakTest, IsStartedAgainWhenItHangs) {
    program("espeak-ng",
            "echo $$ >>$F/calls\n[ -e $F/hung ] || { touch $F/hung; exec sleep 60; }\n"
            "cat >$F/text\nexec cat $F/speech.wav");
    Samples heard;
    EXPECT_FALSE(speak(heard));
    EXPECT_EQ(heard, kSecond);
    EXPECT_EQ(words("text"), (std::vector<std::string>{"Hello."}));
    const std::vector<std::string> processes = words("calls");
    ASSERT_EQ(processes.size(), 2U);
    EXPECT_NE(::kill(std::stoi(processes[0]), 0), 0) << "the one that hung is left";
}

TEST_F(EspeakTest, IsGivenUpWhenItHangsAgain) {
    program("espeak-ng", "echo $$ >>$F/calls\nexec sleep 60");
    Samples heard;
    const std::optional<Failure> failed = speak(heard);
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->exit_code, kExitUnavailable);
    EXPECT_NE(failed->message.find("gave no sound for 0 s and was ended"), std::string::npos) << failed->message;
    EXPECT_EQ(words("calls").size(), 2U);
    EXPECT_TRUE(heard.empty());
}

TEST_F(EspeakTest, IsGivenUpWhenItSpokeAndDoesNotEnd) {
    program("espeak-ng", "cat $F/speech.wav\nexec sleep 60 >/dev/null");
    Samples heard;
    const std::optional<Failure> failed = speak(heard);
    ASSERT_TRUE(failed);
    EXPECT_NE(failed->message.find("ended with -1, expected 0"), std::string::npos) << failed->message;
}

// ---- Hooks

TEST_F(DevicesTest, AHookThatRunsOnIsEndedAWhileAfterTheNextEvent) {
    HookCommands commands;
    commands[0] = program("listen", "echo listen:$STORYTELLER_TEXT >>$F/log\necho $$ >$F/number\nexec sleep 60");
    commands[1] = program("think", "echo $STORYTELLER_EVENT:$STORYTELLER_TEXT >>$F/log");
    {
        Hooks hooks(commands, 100ms);
        hooks.run(Event::kListen);
        hooks.run(Event::kThink, "a dragon; $(id)");
        hooks.run(Event::kSpeak);  // has no command
    }
    EXPECT_EQ(words("log"), (std::vector<std::string>{"listen:", "think:a", "dragon;", "$(id)"}));
    EXPECT_NE(::kill(std::stoi(words("number").at(0)), 0), 0);
}

TEST_F(DevicesTest, AHookMayTakeItsTimeWhileNothingElseHappens) {
    HookCommands commands;
    commands[3] = program("error", "sleep 0.3\necho done >>$F/log");
    {
        Hooks hooks(commands, 5000ms);
        hooks.run(Event::kError, "x");
    }
    EXPECT_EQ(words("log"), (std::vector<std::string>{"done"}));
}

// ---- Buttons

/// The kernel's record of a press, as read from a GPIO line. (No chip is at hand: a pipe stands for the line.)
std::span<const std::byte> press() {
    static const gpio_v2_line_event event{.timestamp_ns = 1,
                                          .id = GPIO_V2_LINE_EVENT_RISING_EDGE,
                                          .offset = 28,
                                          .seqno = 1,
                                          .line_seqno = 1,
                                          .padding = {}};
    return std::as_bytes(std::span(&event, 1));
}

TEST(Button, TellsThePressesOfALine) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    Button button = Button::of_events(Fd(ends[0]));
    Fd line(ends[1]);
    EXPECT_EQ(button.events(), ends[0]);
    EXPECT_FALSE(button.pressed());
    for (int i = 0; i < 3; ++i) {  // a contact that bounces in spite of the kernel's filter is one press
        ASSERT_EQ(::write(line.get(), press().data(), press().size()), static_cast<ssize_t>(press().size()));
    }
    EXPECT_TRUE(button.pressed());
    EXPECT_FALSE(button.pressed());
    line.close();
    testing::internal::CaptureStderr();
    EXPECT_FALSE(button.pressed());
    EXPECT_FALSE(button.pressed());
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("can't be read any more"), std::string::npos);
    EXPECT_EQ(said.find("can't be read"), said.rfind("can't be read")) << "it is said once";
    EXPECT_LT(button.events(), 0);
}

TEST_F(DevicesTest, AButtonThatIsNoGpioChip) {
    EXPECT_EQ(Button::open("/dev/gpiochip77:1").failure().exit_code, kExitMissingFile);
    EXPECT_EQ(Button::open("/dev/gpiochip77").failure().exit_code, kExitUsage);
    EXPECT_EQ(Button::open("/dev/gpiochip77:70000").failure().exit_code, kExitUsage);
    const Failure other = Button::open("/dev/null:1").failure();
    EXPECT_EQ(other.exit_code, kExitUnavailable);
    EXPECT_NE(other.message.find("not a GPIO chip: Inappropriate ioctl"), std::string::npos) << other.message;
}

}  // namespace
}  // namespace storybake::speech
