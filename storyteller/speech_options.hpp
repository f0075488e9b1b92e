// Reads the storyteller's command line: the model's options, and those of its voice and ears.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fail.hpp"
#include "options.hpp"
#include "storyteller/day.hpp"
#include "storyteller/hooks.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/process.hpp"
#include "storyteller/rules.hpp"
#include "storyteller/voice.hpp"

namespace storybake::speech {

/// Says when it listens: always, after a press, or after its wake word.
enum class Attention { kAlways, kPress, kWakeWord };

struct SpeechOptions : Options {
    std::optional<std::string> wish;  // is a line of standard input for "-", with --loop one for each story

    // Say how the story is told.
    std::string voice;  // empty: the default
    Manner manner;
    int volume = 100;  // percent
    int max_sentences = 0;
    int rehearsals = 0;  // are what a story that lacks what was wished for is replaced by at most
    std::string wav;     // file to write; empty: none
    Words snd_command;   // empty: found, unless there is a WAV file
    HookCommands on;

    // Say how the story is wished for.
    std::string mic_wav;            // is a recording in place of the microphone; empty: none
    Words mic_command;              // empty: found
    std::string acoustic_model;     // folder; empty: found
    std::string button;             // Button::open()'s name; empty: none
    std::chrono::seconds sleep{0};  // 0: never
    std::string watchdog;           // file or device; empty: none

    // Are a family's rules.
    std::string rules;  // the file that they are from; empty: none
    std::vector<RuleMistake> rule_mistakes;
    int volume_ceiling = 400;  // percent
    int night_volume = 0;      // in the quiet hours; 0: no stories
    std::optional<QuietHours> quiet_hours;
    int stories_a_day = 0;                     // 0: any number
    int length = 0;                            // -1: short; 1: long
    std::vector<std::string> topics;           // empty: all
    std::string child;                         // empty: not known
    bool guard = true;                         // against what must not be told
    std::vector<std::string> forbidden_words;  // beside the model's list
    std::optional<Attention> attention;        // none: after a press with --push or --button, else always
    std::string wake_word = "hello teddy";
    bool remember = true;
    std::string memory;  // file; empty: none

    Language language = Language::kEnglish;
    bool choices = false;  // offer two ways on in the middle of a story
    bool mute = false;     // text alone
    bool report = false;
    bool say_wish = false;
    bool listen = false;
    bool push = false;  // listen only after Enter
    bool loop = false;

    /// Tells whether it listens only after a press.
    [[nodiscard]] bool after_press() const {
        return attention ? *attention == Attention::kPress : push || !button.empty();
    }

    /// Tells whether it listens only after its wake word.
    [[nodiscard]] bool waits_for_wake_word() const { return attention == Attention::kWakeWord; }

    /// Tells whether wishes are said, not typed.
    [[nodiscard]] bool listens() const {
        return listen || !mic_wav.empty() || !mic_command.empty() || push || !button.empty() || (loop && !wish) ||
               waits_for_wake_word();
    }
};

/// Reads the arguments. Fails with 2.
Result<SpeechOptions> parse_speech_options(int argc, char* const* argv);

/// Returns the text of --help.
std::string speech_help_text(const char* name);

}  // namespace storybake::speech
