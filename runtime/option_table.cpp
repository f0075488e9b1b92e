#include "option_table.hpp"

#include <getopt.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace storybake {
namespace {

constexpr int kFirstLongCode = 256;  // begins getopt's codes of rows without a letter
constexpr std::size_t kHelpColumn = 28;
constexpr std::size_t kColumns = 80;
constexpr std::size_t kMostShown = 100;  // bytes of a value that a message shows

/// Returns "  -i, --prompt TEXT", or without a letter "      --threads NUMBER".
std::string label(const OptionRow& row) {
    std::string text = row.letter != 0 ? std::string("  -") + row.letter + ", --" : "      --";
    text += row.name;
    return row.metavar == nullptr ? text : text + " " + row.metavar;
}

/// Shows the beginning of what somebody gave for a value, so that a message says what was expected too.
std::string cut(std::string_view text) {
    return std::string(text.substr(0, kMostShown)) + (text.size() > kMostShown ? "..." : "");
}

/// Names what getopt_long does not know: an option; a letter among others, behind which it has not gone on yet; or a
/// value that an option does not take.
Failure unknown(int argc, char* const* argv) {
    const auto has = [](std::string_view word) {
        return word.size() > 1 && word[0] == '-' && word[1] != '-' &&
               word.find(static_cast<char>(optopt), 1) != std::string_view::npos;
    };
    const bool inside = optopt != 0 && optind < argc && has(argv[optind]);
    const std::string_view word = inside ? argv[optind] : argv[optind - 1];
    if (word.starts_with("--") && optopt != 0) {
        const std::string name(word.substr(0, word.find('=')));
        return failure(kExitUsage, "%s: expected no value: see --help", cut(name).c_str());
    }
    const bool among_others = optopt > ' ' && optopt < '\x7f' && word.size() > 2 && word[1] != '-';
    const std::string letter = among_others ? std::string("-") + static_cast<char>(optopt) + " in " : "";
    return failure(kExitUsage, "unknown option or value %s%s: see --help", letter.c_str(), cut(word).c_str());
}

/// Puts a help text's facts in place of their words.
std::string filled(const char* help, std::span<const HelpFact> facts) {
    std::string text = help;
    for (const HelpFact& fact : facts) {
        const std::string word = std::string("{") + fact.word + "}";
        for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; at += fact.text.size()) {
            text.replace(at, word.size(), fact.text);
        }
    }
    return text;
}

}  // namespace

std::string OptionRow::shown() const {
    return letter != 0 ? std::string("-") + letter : std::string("--") + name;
}

std::optional<Failure> read_arguments(int argc, char* const* argv, std::span<const OptionRow> rows, Options& options,
                                      std::vector<const char*>& operands) {
    std::string letters = ":";  // tells a missing value (':') from an unknown option ('?')
    std::vector<option> names;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const OptionRow& row = rows[i];
        if (row.name != nullptr) {
            const int code = row.letter != 0 ? row.letter : kFirstLongCode + static_cast<int>(i);
            names.push_back({row.name, row.metavar != nullptr ? required_argument : no_argument, nullptr, code});
        }
        if (row.letter != 0) {
            letters.append(1, row.letter).append(row.metavar != nullptr ? ":" : "");
        }
    }
    names.push_back({nullptr, 0, nullptr, 0});
    opterr = 0;
    optind = 0;  // starts at the beginning, however often this is called
    int code = 0;
    while ((code = ::getopt_long(argc, argv, letters.c_str(), names.data(), nullptr)) != -1) {
        if (code == ':') {
            return failure(kExitUsage, "%s needs a value: see --help", argv[optind - 1]);
        }
        if (code == '?') {
            return unknown(argc, argv);
        }
        const auto row = code < kFirstLongCode
                             ? std::find_if(rows.begin(), rows.end(), [&](auto& known) { return known.letter == code; })
                             : rows.begin() + (code - kFirstLongCode);
        if (std::optional<Failure> failed = row->set(options, *row, optarg)) {
            return failed;
        }
    }
    operands.assign(argv + optind, argv + argc);
    return std::nullopt;
}

std::string table_text(std::span<const OptionRow> rows, std::span<const HelpFact> facts) {
    std::string text;
    for (const OptionRow& row : rows) {
        if (row.name == nullptr) {
            text.append("\n").append(row.help).append(":\n");
            continue;
        }
        std::string line = label(row);
        if (line.size() + 2 > kHelpColumn) {
            text += line + "\n";
            line.clear();
        }
        line.resize(kHelpColumn, ' ');
        text += line;
        add_wrapped(text, kHelpColumn, filled(row.help, facts), kHelpColumn);
    }
    return text;
}

void add_wrapped(std::string& to, std::size_t column, std::string_view words, std::size_t first) {
    while (!words.empty()) {
        const std::string_view word = words.substr(0, words.find(' '));
        if (column > first && column + 1 + word.size() > kColumns) {
            to.append("\n").append(first, ' ');
            column = first;
        } else if (column > first) {
            to += ' ';
            ++column;
        }
        to += word;
        column += word.size();
        words.remove_prefix(std::min(words.size(), word.size() + 1));
    }
    to += '\n';
}

Failure not_a(const char* expected, const OptionRow& row, const char* text) {
    return failure(kExitUsage, "%s \"%s\": expected %s: see --help", row.shown().c_str(), cut(text).c_str(), expected);
}

Result<int> parse_number_in(const char* name, const char* text, int least, int most) {
    char* end = nullptr;
    errno = 0;
    const long value = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && std::isspace(static_cast<unsigned char>(*text)) == 0 && errno != ERANGE &&
        value >= least && value <= most) {
        return static_cast<int>(value);
    }
    if (least == INT_MIN && most == INT_MAX) {
        return failure(kExitUsage, "%s \"%s\": expected a whole number of at most ten digits: see --help", name,
                       cut(text).c_str());
    }
    return failure(kExitUsage, "%s \"%s\": expected a whole number from %d to %d: see --help", name, cut(text).c_str(),
                   least, most);
}

}  // namespace storybake
