// Makes voices speak: text to samples. Flite's are in the program; espeak-ng is a command.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"
#include "storyteller/wav.hpp"

namespace storybake::speech {

/// Says how a voice speaks, in percent of its own way.
struct Manner {
    int speed = 100;  // 50 to 200
    int pitch = 100;  // 50 to 200
};

/// Takes the next samples, at kSampleRate; false when no more are wanted.
using TakeSamples = std::function<bool(std::span<const std::int16_t>)>;

/// Says how many samples are handed on together: half a second, which is more than the player's pipe holds, so that a
/// player that has taken them is known to play.
constexpr std::size_t kSamplesAtOnce = kSampleRate / 2;

/// Hands on the samples of a sentence that is computed as a whole.
void hand_on_all(std::span<const std::int16_t> samples, const TakeSamples& take);

/// Says how loud every voice is made, in LUFS, as EBU R128 counts a whole programme.
constexpr double kLoudness = -23.0;

class Voice {
public:
    /// Takes the loudness of its stories before they are levelled, measured.
    explicit Voice(double loudness) : gain_(std::pow(10.0, (kLoudness - loudness) / 20.0)) {}
    Voice(const Voice&) = delete;
    Voice& operator=(const Voice&) = delete;
    virtual ~Voice() = default;

    /// Returns what its samples have to be multiplied by to be as loud as other voices.
    [[nodiscard]] double gain() const { return gain_; }

    /// Hands on the samples of a sentence (speakable(), not empty) as they are computed. Fails with 69 when the voice
    /// is lost.
    virtual std::optional<Failure> speak(const std::string& text, const TakeSamples& take) = 0;

private:
    double gain_;
};

/// Lists the names that open_voice() knows, with commas between them; the first is the default.
std::string voice_names();

/// Opens a voice by its name. Fails with 2 for a name that is not known, 69 when the voice isn't installed.
Result<std::unique_ptr<Voice>> open_voice(const std::string& name, Manner manner);

/// Opens espeak-ng, with its language or variant behind a colon: "espeak", "espeak:en-gb". Once it has given no sound
/// for `patience` it is ended and started again; a sentence for which that does not help either is a failure.
Result<std::unique_ptr<Voice>> open_espeak(const std::string& name, Manner manner,
                                           std::chrono::milliseconds patience = std::chrono::seconds(10));

/// Says how Flite would pronounce a word by its letter-to-sound rules, in the phones of the CMU dictionary: "D R AE G
/// AH N".
std::string pronounce(const std::string& word);

/// Converts samples of another rate to kSampleRate.
std::vector<std::int16_t> resample(const std::vector<std::int16_t>& samples, int rate);

}  // namespace storybake::speech
