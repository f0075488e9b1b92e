// Holds what the robot hears with: the microphone, or a recording in its place, the end of speech, and the recogniser.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"
#include "storyteller/denoiser.hpp"
#include "storyteller/microphone.hpp"
#include "storyteller/process.hpp"
#include "storyteller/recogniser.hpp"
#include "storyteller/speech_options.hpp"

namespace storybake::speech {

/// Says what came of listening once.
struct Heard {
    enum class Kind { kWords, kNotUnderstood, kNothing, kInterrupted };
    Kind kind;
    std::string words;                              // are the words of kWords
    std::chrono::steady_clock::time_point ended{};  // is the time of the last sound of kWords and kNotUnderstood
};

class Ears {
public:
    /// Limits the seconds without a sound, after which nothing was heard.
    static constexpr double kSilence = 8.0;

    /// Opens the recording, or finds the microphone's command, and loads the recogniser. Fails with 65, 66, 69, 74.
    static Result<std::unique_ptr<Ears>> open(const SpeechOptions& options);

    /// Listens until somebody has spoken, or for kSilence; ends at once when `interrupted`, which is asked ten times a
    /// second. The microphone runs only as long. Fails with 65, 69 and 74.
    Result<Heard> hear(const std::function<bool()>& interrupted);

    /// Waits for the wake word; returns whether it came, which it has not when the recording is over or `interrupted`.
    /// Fails with 65, 69 and 74.
    Result<bool> wait_for_wake_word(const std::function<bool()>& interrupted);

    /// Tells whether it hears through a sound device.
    [[nodiscard]] bool uses_microphone() const { return !recording_; }

    /// Tells whether it is a recording that has been heard to its end.
    [[nodiscard]] bool exhausted() const { return recording_ && recording_->exhausted(); }

private:
    Ears() = default;
    std::optional<Failure> load();
    Result<Microphone*> start(std::optional<Microphone>& started);
    void begin(Recogniser::For what, std::span<const std::int16_t> before);
    void hear_more(std::span<const std::int16_t> samples, double quiet_seconds);

    std::string acoustic_model_;
    std::string wake_word_;         // empty: none
    bool keep_recogniser_ = false;  // keeps it while a story is told
    std::unique_ptr<Recogniser> recogniser_;
    std::optional<Denoiser> denoiser_;  // of the utterance
    std::vector<std::int16_t> after_;   // is silence in it, or after it
    double heard_after_ = 0.0;          // seconds of silence that are heard
    std::optional<Microphone> recording_;
    Words recorder_;
};

}  // namespace storybake::speech
