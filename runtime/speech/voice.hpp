// Voices: text to samples. Flite's are in the program; espeak-ng is a command.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fail.hpp"

namespace storybake::speech {

/// How a voice speaks, in percent of its own way.
struct Manner {
    int speed = 100;  // 50 to 200
    int pitch = 100;  // 50 to 200
};

class Voice {
public:
    Voice() = default;
    Voice(const Voice&) = delete;
    Voice& operator=(const Voice&) = delete;
    virtual ~Voice() = default;

    /// The samples of a sentence (speakable(), not empty) at kSampleRate. Fails with 69 when the voice is lost.
    virtual Result<std::vector<std::int16_t>> speak(const std::string& text) = 0;
};

/// The names that open_voice() knows, with commas between them; the first is the default.
std::string voice_names();

/// Fails with 2 for a name that is not known, 69 when the voice isn't installed.
Result<std::unique_ptr<Voice>> open_voice(const std::string& name, Manner manner);

/// espeak-ng, and its language or variant behind a colon: "espeak", "espeak:en-gb".
Result<std::unique_ptr<Voice>> open_espeak(const std::string& name, Manner manner);

/// How Flite would pronounce a word by its letter-to-sound rules, in the phones of the CMU dictionary: "D R AE G AH N".
std::string pronounce(const std::string& word);

/// Samples of another rate at kSampleRate.
std::vector<std::int16_t> resample(const std::vector<std::int16_t>& samples, int rate);

}  // namespace storybake::speech
