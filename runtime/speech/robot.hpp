// The story robot: listens for a wish, thinks, tells the story, and listens again.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fail.hpp"
#include "speech/console.hpp"
#include "speech/microphone.hpp"
#include "speech/process.hpp"
#include "speech/recogniser.hpp"
#include "speech/speech_options.hpp"
#include "speech/teller.hpp"
#include "speech/wishes.hpp"

namespace storybake::speech {

/// What hearing and telling take of memory, in bytes.
struct MemoryNeed {
    std::uint64_t telling;    // model and voice
    std::uint64_t listening;  // 0 without an acoustic model
    std::uint64_t available;  // of this machine, now; 0 when it doesn't say

    /// Whether the recogniser can stay while a story is told; else it is loaded for each wish anew.
    [[nodiscard]] bool both_fit() const { return telling + listening <= available; }
};
MemoryNeed memory_need(const std::string& acoustic_model);

class Robot {
public:
    /// Opens what the options ask for. Fails with 2, 65, 66, 69, 71 and 74.
    static Result<std::unique_ptr<Robot>> open(const SpeechOptions& options);

    /// Tells a story, or with --loop one after the other. Fails with 65, 69 and 74.
    std::optional<Failure> run();

private:
    using Clock = std::chrono::steady_clock;
    enum class Ear { kWish, kNotUnderstood, kNothing, kEnded };

    explicit Robot(const SpeechOptions& options) : options_(options) {}

    std::optional<Failure> open_ears();
    std::optional<Failure> loop();
    std::optional<Failure> ask(std::optional<Wish>& wish);
    Result<Ear> listen(std::optional<Wish>& wish);
    Result<Ear> hear_speech(std::optional<Wish>& wish);
    Result<Ear> read_line(std::optional<Wish>& wish, bool press_is_enough);
    std::optional<Failure> tell(const Story& story, const std::string& topic);
    std::optional<Failure> say(const std::string& text);
    Story story_about(const std::string& topic);
    bool take_at_once(const std::string& line);
    void change_volume(Command command);
    void run_hook(const Words& words);
    [[nodiscard]] bool bedtime() const;

    const SpeechOptions& options_;
    Fd lock_;
    std::unique_ptr<Teller> teller_;
    std::string acoustic_model_;
    bool keep_recogniser_ = false;
    std::unique_ptr<Recogniser> recogniser_;
    std::optional<Microphone> recording_;
    Words recorder_;
    std::vector<Process> hooks_;
    std::uint64_t seed_ = 0;
    Clock::time_point started_ = Clock::now();
    Clock::time_point wished_ = Clock::now();
    std::atomic<bool> telling_ = false;
    std::unique_ptr<Console> console_;  // last: its thread uses the rest
};

}  // namespace storybake::speech
