// Tables of options: one row says all that getopt, --help, the manual page and the shells' completions tell of an
// option. The rows are written in options.inc; codegen/manual.py reads the same lines.
#pragma once

#include <climits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"

namespace storybake {

struct Options;
struct OptionRow;

/// Puts an option's value (null for an option that takes none) into the options. Fails with 2.
using SetOption = std::optional<Failure> (*)(Options& options, const OptionRow& row, const char* text);

struct OptionRow {
    char letter;          // 0: it has a long name alone
    const char* name;     // the long one; null in a heading, whose text is `help`
    const char* metavar;  // what its value is, or the values that it takes: "read|map"; null: it takes none
    SetOption set;
    const char* help;  // for people; {word} stands for a fact of the program
    bool own = false;  // the program's alone: no other takes it

    /// Its name as messages have it: the letter, where it has one.
    [[nodiscard]] std::string shown() const;
};

/// A fact that a help text names as {word}.
struct HelpFact {
    const char* word;
    std::string text;
};

/// Sets what the arguments name, row by row; what is no option is added to `operands`. Fails with 2.
std::optional<Failure> read_arguments(int argc, char* const* argv, std::span<const OptionRow> rows, Options& options,
                                      std::vector<const char*>& operands);

/// A table as --help prints it: a heading or an option with its help, wrapped for a terminal of 80 columns.
std::string table_text(std::span<const OptionRow> rows, std::span<const HelpFact> facts);

/// Why the value of an option is refused: "-t "x": expected a number: see --help".
Failure not_a(const char* expected, const OptionRow& row, const char* text);

/// A whole number in decimal within limits, as the value of what `name` says. Fails with 2.
Result<int> parse_number_in(const char* name, const char* text, int least = INT_MIN, int most = INT_MAX);

/// Puts a whole number within limits where it belongs. Fails with 2.
template <class T>
std::optional<Failure> set_number(T& target, const OptionRow& row, const char* text, int least = INT_MIN,
                                  int most = INT_MAX) {
    const Result<int> value = parse_number_in(row.shown().c_str(), text, least, most);
    if (!value) {
        return value.failure();
    }
    target = *value;
    return std::nullopt;
}

}  // namespace storybake
