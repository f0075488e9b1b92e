// The storyteller's command line: the model's options, and those of its voice and ears.
#pragma once

#include <optional>
#include <string>

#include "fail.hpp"
#include "options.hpp"
#include "speech/messages.hpp"
#include "speech/process.hpp"
#include "speech/voice.hpp"

namespace storybake::speech {

struct SpeechOptions {
    Options model;
    std::optional<std::string> wish;  // "-": a line of standard input
    bool mute = false;                // text alone
    std::string voice;                // empty: the default
    Manner manner;
    int volume = 100;   // percent
    std::string wav;    // file to write; empty: none
    Words snd_command;  // empty: found, unless there is a WAV file
    int max_sentences = 0;
    Language language = Language::kEnglish;
};

/// Fails with 2.
Result<SpeechOptions> parse_speech_options(int argc, char* const* argv);

/// The text of --help.
std::string speech_help_text(const char* name);

}  // namespace storybake::speech
