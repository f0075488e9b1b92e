// Reads a family's rules: a file of lines like "volume = 60", written by people on any computer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace storybake::speech {

/// Says what is wrong with a line, counted from 1, or with the whole file, line 0.
struct RuleMistake {
    int line;
    std::string what;
};

/// Sets a rule; returns what is wrong with it, if anything is. A key has small letters and hyphens: "night-volume".
using SetRule = std::function<std::optional<std::string>(const std::string& key, const std::string& value)>;

/// Reads the text of a rules file: `key = value` lines, # and what follows it a comment. UTF-8, or UTF-16 with its
/// mark, as editors write them; lines end with LF, CRLF or CR. Of a rule that comes twice the first counts. Returns the
/// mistakes in the order of their lines; each leaves its rule as it was.
std::vector<RuleMistake> parse_rules(std::string_view text, const SetRule& set);

/// Reads the file, likewise; one that can't be read, or is too large for one, is a mistake of line 0.
std::vector<RuleMistake> read_rules(const std::string& path, const SetRule& set);

/// Puts the mistakes into words to be said: "I did not understand lines 4 and 7 of my rules." Empty without one.
std::string mistakes_words(const std::vector<RuleMistake>& mistakes);

}  // namespace storybake::speech
