// Makes the beginning of a story that goes on with one that was told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace storybake::speech {

/// Holds what the next story's prompt is: how the last one ended, and an opening, which is told.
struct Sequel {
    std::string before;
    std::string opening;  // "The next day, Molly and Theo"
};

/// Makes the prompt of what happens next: the last `sentences` of a story, and an opening with its hero, whom its first
/// sentence names, or else whom it names most often, and the friend who is named often. Where nobody has a name, the
/// first sentence comes before the last. `seed` chooses among the openings. Nothing for a text without a sentence.
std::optional<Sequel> sequel_of(std::string_view told, std::uint64_t seed, std::size_t sentences);

}  // namespace storybake::speech
