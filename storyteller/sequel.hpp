// Makes the beginning of a story that goes on with one that was told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace storybake::speech {

/// Holds what the next story's prompt is: the sentence that introduced the hero, and an opening, which is told.
struct Sequel {
    std::string introduction;
    std::string opening;  // "The next day, Molly and Theo"
};

/// Finds who a story was about: its first sentence, and the one or two names that it has most often. `seed` chooses
/// among the openings. Nothing for a text without a sentence.
std::optional<Sequel> sequel_of(std::string_view told, std::uint64_t seed);

}  // namespace storybake::speech
