// Declares tables of options: one row says all that getopt, --help, the manual page and the shells' completions tell of
// an option. The rows are written in options.inc; codegen/manual.py reads the same lines.
#pragma once

#include <climits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fail.hpp"

namespace storybake {

struct Options;
struct OptionRow;

/// Puts an option's value (null for an option that takes none) into the options. Fails with 2.
using SetOption = std::optional<Failure> (*)(Options& options, const OptionRow& row, const char* text);

struct OptionRow {
    char letter;          // 0: it has a long name alone
    const char* name;     // is the long name; null in a heading, whose text is `help`
    const char* metavar;  // names its value, or the values that it takes: "read|map"; null: it takes none
    SetOption set;
    const char* help;  // explains it to people; {word} stands for a fact of the program
    bool own = false;  // marks an option of the program alone: no other takes it

    /// Returns its name as messages have it: the letter, where it has one.
    [[nodiscard]] std::string shown() const;
};

/// Gives a fact that a help text names as {word}.
struct HelpFact {
    const char* word;
    std::string text;
};

/// Sets what the arguments name, row by row; what is no option is added to `operands`. Fails with 2.
std::optional<Failure> read_arguments(int argc, char* const* argv, std::span<const OptionRow> rows, Options& options,
                                      std::vector<const char*>& operands);

/// Returns a table as --help prints it: a heading or an option with its help, wrapped for a terminal of 80 columns.
std::string table_text(std::span<const OptionRow> rows, std::span<const HelpFact> facts);

/// Adds words to a line of help that has `column` characters, from `first` on in as many lines as they need; ends the
/// last.
void add_wrapped(std::string& to, std::size_t column, std::string_view words, std::size_t first);

/// Says why the value of an option is refused: "-t "x": expected a number: see --help".
Failure not_a(const char* expected, const OptionRow& row, const char* text);

/// Reads a whole number in decimal within limits, the value of the option `name`. Fails with 2.
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
