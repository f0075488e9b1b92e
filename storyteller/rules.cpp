#include "storyteller/rules.hpp"

#include <algorithm>
#include <cstdint>
#include <map>

#include "files.hpp"
#include "storyteller/spoken.hpp"
#include "utf8.hpp"

namespace storybake::speech {
namespace {

constexpr std::size_t kMaxFile = 65536;
constexpr std::size_t kMaxShown = 40;     // bytes of what somebody wrote, in a message
constexpr std::size_t kMaxMistakes = 20;  // are told one by one
constexpr std::size_t kMaxSaid = 4;       // lines are named aloud
constexpr std::string_view kSpaces = " \t";

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(kSpaces);
    return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

/// Returns what somebody wrote as a message can show it: short, and nothing that steers a terminal.
std::string shown(std::string_view text) {
    std::string safe(text.substr(0, kMaxShown));
    for (char& c : safe) {
        c = c >= ' ' && c <= '~' ? c : '?';
    }
    return safe + (text.size() > kMaxShown ? "..." : "");
}

std::string quoted(std::string_view text) {
    std::string result = "\"";
    return result.append(shown(text)).append("\"");
}

/// Makes UTF-8 of UTF-16 behind its mark. Half a pair becomes what is no UTF-8.
std::string from_utf16(std::string_view text, bool big_endian) {
    std::string result;
    const auto unit = [&](std::size_t at) {
        const auto first = static_cast<std::uint32_t>(static_cast<unsigned char>(text[at]));
        const auto second = static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + 1]));
        return big_endian ? first << 8 | second : second << 8 | first;
    };
    for (std::size_t at = 2; at + 1 < text.size(); at += 2) {
        std::uint32_t code = unit(at);
        if (code >= 0xd800 && code < 0xdc00 && at + 3 < text.size() && unit(at + 2) >> 10 == 0x37) {
            at += 2;
            code = 0x10000 + ((code - 0xd800) << 10) + (unit(at) - 0xdc00);
        }
        append_utf8(result, code);
    }
    return result;
}

/// Tells whether bytes are UTF-8.
bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const Decoded next = decode_utf8(text);
        if (next.code == kNoCharacter) {
            return false;
        }
        text.remove_prefix(next.size);
    }
    return true;
}

/// Removes a comment: a # at the beginning, or behind a space.
std::string_view without_comment(std::string_view line) {
    for (std::size_t at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1)) {
        if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') {
            return line.substr(0, at);
        }
    }
    return line;
}

/// Makes the name of a rule of what was written: small, "night volume" and "night_volume" as "night-volume".
std::string key_of(std::string_view text) {
    std::string key;
    for (const char c : trimmed(text)) {
        const char small = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
        const bool gap = small == ' ' || small == '\t' || small == '_' || small == '-';
        if (!gap || (!key.empty() && key.back() != '-')) {
            key += gap ? '-' : small;
        }
    }
    return key;
}

std::string_view unquoted(std::string_view value) {
    const bool quoted =
        value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front();
    return quoted ? value.substr(1, value.size() - 2) : value;
}

class Parser {
public:
    explicit Parser(const SetRule& set) : set_(set) {}

    void take(std::string_view whole) {
        ++line_;
        const std::string_view text = trimmed(without_comment(whole));
        if (text.empty()) {
            return;
        }
        const std::size_t equals = text.find('=');
        if (equals == std::string_view::npos || equals == 0) {
            add(quoted(text) + ": expected a rule: volume = 60");
            return;
        }
        const std::string key = key_of(text.substr(0, equals));
        const std::string value(unquoted(trimmed(text.substr(equals + 1))));
        if (!is_utf8(text)) {
            add(quoted(key) + ": not UTF-8: save the file as UTF-8");
        } else if (const auto [known, is_new] = lines_.emplace(key, line_); !is_new) {
            add(quoted(key) + " stands in line " + std::to_string(known->second) + " already, which counts");
        } else if (const std::optional<std::string> wrong = set_(key, value)) {
            add(shown(key) + ": " + *wrong);
        }
    }

    std::vector<RuleMistake> mistakes;

private:
    void add(std::string what) { mistakes.push_back({line_, std::move(what)}); }

    const SetRule& set_;
    int line_ = 0;
    std::map<std::string, int> lines_;  // where each key came first
};

}  // namespace

std::vector<RuleMistake> parse_rules(std::string_view text, const SetRule& set) {
    std::string converted;
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
        converted = from_utf16(text, text.front() == '\xfe');
        text = converted;
    } else if (text.starts_with("\xef\xbb\xbf")) {
        text.remove_prefix(3);
    }
    if (text.find('\0') != std::string_view::npos) {
        return {{0, "not a text: expected lines like volume = 60"}};
    }
    Parser parser(set);
    while (!text.empty()) {
        const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
        parser.take(text.substr(0, end));
        text.remove_prefix(end);
        text.remove_prefix(text.starts_with("\r\n") ? 2 : text.empty() ? 0 : 1);
    }
    std::vector<RuleMistake>& mistakes = parser.mistakes;
    if (mistakes.size() > kMaxMistakes) {
        const std::string more = std::to_string(mistakes.size() - kMaxMistakes);
        mistakes.resize(kMaxMistakes);
        mistakes.push_back({0, more + " mistakes more: is it a rules file?"});
    }
    return mistakes;
}

std::vector<RuleMistake> read_rules(const std::string& path, const SetRule& set) {
    const Result<std::string> text = read_text(path, "rules", kMaxFile);
    if (!text) {
        std::string message = text.failure().message;  // begins with what whoever tells of it names
        const std::string named = "rules " + path + ": ";
        message.erase(0, message.starts_with(named) ? named.size() : 0);
        return {{0, message + ": expected a rules file"}};
    }
    if (text->size() > kMaxFile) {
        return {{0, "more than " + std::to_string(kMaxFile) + " bytes: expected a rules file"}};
    }
    return parse_rules(*text, set);
}

std::string mistakes_words(const std::vector<RuleMistake>& mistakes) {
    if (mistakes.empty()) {
        return "";
    }
    if (mistakes.front().line == 0) {
        return "I can not read my rules.";
    }
    if (mistakes.size() == 1) {
        return std::string(kRuleWords).append(" ").append(std::to_string(mistakes.front().line)).append(kOfRulesWords);
    }
    if (mistakes.size() > kMaxSaid) {
        return "I did not understand many lines of my rules. The first is line " +
               std::to_string(mistakes.front().line) + ".";
    }
    std::string lines;
    for (std::size_t i = 0; i < mistakes.size(); ++i) {
        lines += i == 0 ? "" : i + 1 < mistakes.size() ? ", " : " and ";
        lines += std::to_string(mistakes[i].line);
    }
    return std::string(kRuleWords).append("s ").append(lines).append(kOfRulesWords);
}

}  // namespace storybake::speech
