// Reads samples from a command that records, or from a WAV file in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fail.hpp"
#include "storyteller/process.hpp"
#include "storyteller/sound_card.hpp"

namespace storybake::speech {

/// Finds the command that records raw samples to its standard output: arecord or tinycap, whichever is in PATH, from
/// the first card of `devices` that records. Fails with 69 when neither is.
Result<Words> find_recorder(const std::string& devices);

class Microphone {
public:
    /// Starts the command. Fails with 69.
    static Result<Microphone> start(const Words& recorder);

    /// Makes a microphone of a recording; the silence that follows it has no end.
    static Microphone of(std::vector<std::int16_t> recording);

    /// Reads a tenth of a second, or what has come by then. Fails with 69 when the command has ended.
    Result<std::vector<std::int16_t>> read();

    /// Tells whether it is a recording that has been read to its end.
    [[nodiscard]] bool exhausted() const { return !process_ && at_ >= recording_.size(); }

private:
    Microphone() = default;

    std::optional<Process> process_;
    std::vector<std::byte> bytes_;  // came from the pipe: less than a sample
    std::vector<std::int16_t> recording_;
    std::size_t at_ = 0;
};

}  // namespace storybake::speech
