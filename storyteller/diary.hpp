// Keeps what the robot remembers from one start to the next: a small file, of words and numbers alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fail.hpp"

namespace storybake::speech {

/// Holds what is remembered: the last story's wish and seed, which make it the same story again, and the day's count.
struct Remembered {
    std::string topic;  // empty: of the model's choice
    std::uint64_t seed = 0;
    int length = 0;
    int day = 0;  // 0: without a clock
    int stories = 0;
};

/// Reads the file. Nothing when there is none, or it is not what write_diary() has written. Fails with 74 when it can't
/// be read.
Result<std::optional<Remembered>> read_diary(const std::string& path);

/// Writes the file beside itself, has it reach the card, and puts it in the old one's place: a power cut leaves the old
/// or the new one. Fails with 74.
std::optional<Failure> write_diary(const std::string& path, const Remembered& remembered);

}  // namespace storybake::speech
