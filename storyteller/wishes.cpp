#include "storyteller/wishes.hpp"

namespace storybake::speech {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::string_view kPlease = " please";

/// Drops the characters of `drop` from both ends of a text.
std::string_view trim(std::string_view text, std::string_view drop) {
    const std::size_t first = text.find_first_not_of(drop);
    return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(drop) - first + 1);
}

std::string lower(std::string_view text) {
    std::string small(text);
    for (char& c : small) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    return small;
}

}  // namespace

std::optional<Wish> understand(std::string_view text) {
    text = trim(trim(text, kSpaces), ".!?, \"");
    std::string small = lower(text);  // has the same length
    for (const CommandWords& known : kWishes.commands) {
        if (small == known.words) {
            return Wish{known.command, {}};
        }
    }
    if (small.ends_with(kPlease)) {
        text = trim(text.substr(0, text.size() - kPlease.size()), ", ");
        small.resize(text.size());
    }
    for (const std::string_view request : kWishes.requests) {
        if (small.starts_with(request) && small.size() > request.size() && small[request.size()] == ' ') {
            text = trim(text.substr(request.size()), kSpaces);
            break;
        }
    }
    if (lower(text).find_first_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos) {
        return std::nullopt;
    }
    return Wish{std::nullopt, std::string(text)};
}

}  // namespace storybake::speech
