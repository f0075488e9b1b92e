// Finds words that must not be told, in wishes and in stories.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace storybake::speech {

/// Knows words that must not be told; none at first.
///
/// It reads a text as people do: capitals, accents, characters without width and full-width letters make no other word,
/// nor do hyphens inside one ("g-u-n"), and letters that stand apart are a word too ("g u n", three or more). A word
/// within another ("begun") is none.
class Guard {
public:
    /// Takes a word: "gun"; "pistol*", any ending; "spider-man", with a space, a hyphen or nothing between. What has no
    /// letter is none.
    void forbid(std::string_view word);

    /// Lets words pass that are forbidden, such as the child's name.
    void allow(std::string_view text);

    /// Returns the first forbidden word of a text, in small letters; nothing when it has none.
    [[nodiscard]] std::optional<std::string> find(std::string_view text) const;

private:
    std::vector<std::string>
        forbidden_;  // are small letters, with a space between words, and perhaps a star at the end
    std::set<std::string, std::less<>> allowed_;
};

}  // namespace storybake::speech
