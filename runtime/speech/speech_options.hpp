// The storyteller's command line: the model's options, and those of its voice and ears.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "fail.hpp"
#include "options.hpp"
#include "speech/hooks.hpp"
#include "speech/messages.hpp"
#include "speech/process.hpp"
#include "speech/voice.hpp"

namespace storybake::speech {

struct SpeechOptions {
    Options model;
    std::optional<std::string> wish;  // "-" becomes a line of standard input, of each story with --loop
    bool mute = false;                // text alone
    std::string voice;                // empty: the default
    Manner manner;
    int volume = 100;   // percent
    std::string wav;    // file to write; empty: none
    Words snd_command;  // empty: found, unless there is a WAV file
    int max_sentences = 0;
    Language language = Language::kEnglish;
    bool listen = false;
    std::string mic_wav;         // a recording in place of the microphone; empty: none
    Words mic_command;           // empty: found
    std::string acoustic_model;  // folder; empty: found
    bool push = false;           // listen only after Enter
    std::string button;          // Button::open()'s name; empty: none
    bool say_wish = false;
    bool loop = false;
    std::chrono::seconds sleep{0};  // 0: never
    bool report = false;
    HookCommands on;

    /// Whether wishes are said, not typed.
    [[nodiscard]] bool listens() const {
        return listen || !mic_wav.empty() || !mic_command.empty() || push || !button.empty() || (loop && !wish);
    }
};

/// Fails with 2.
Result<SpeechOptions> parse_speech_options(int argc, char* const* argv);

/// The text of --help.
std::string speech_help_text(const char* name);

}  // namespace storybake::speech
