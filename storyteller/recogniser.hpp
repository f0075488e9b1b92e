// Hears wishes: PocketSphinx with the grammar of the model's topics.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"

namespace storybake::speech {

/// Finds a folder with an acoustic model, mdef and its other files: `named`, else en-us/ beside the program, else that
/// of Debian's pocketsphinx-en-us. Fails with 69 when there is none.
Result<std::string> find_acoustic_model(const std::string& named);

class Recogniser {
public:
    Recogniser() = default;
    Recogniser(const Recogniser&) = delete;
    Recogniser& operator=(const Recogniser&) = delete;
    virtual ~Recogniser() = default;

    /// Says what is listened for, a wish, or the wake word alone, and whether over noise, which was lowered.
    enum class For { kWish, kWakeWord };
    virtual void begin(For what, bool noisy) = 0;

    /// Takes what came before what is heard: over noise, the soft beginning of an utterance passes for the room. Only
    /// "stop" is listened for there, which is to be understood above all: of noise, a grammar makes words too.
    virtual void take_earlier(std::span<const std::int16_t> samples) = 0;

    /// Takes the next samples, at kSampleRate.
    virtual void hear(std::span<const std::int16_t> samples) = 0;

    /// Tells whether the wake word was heard since begin().
    virtual bool woken() = 0;

    /// Returns the words that were heard since begin(), as the grammar has them, or "wake" for the wake word; empty
    /// when they were none of it.
    virtual std::string end() = 0;
};

/// Loads the model at `acoustic_model`. The words of the wishes are baked; one that the dictionary lacked is heard as
/// Flite would pronounce it, and so are the wake word's, which may be empty. Fails with 65 and 69.
Result<std::unique_ptr<Recogniser>> open_recogniser(const std::string& acoustic_model, const std::string& wake_word);

}  // namespace storybake::speech
