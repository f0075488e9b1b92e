#include "storyteller/sequel.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "storyteller/sentences.hpp"

namespace storybake::speech {
namespace {

// Begin stories that the models know, so that what follows is one.
constexpr std::array<const char*, 3> kOpenings = {"One sunny day,", "The next day,", "One morning,"};
constexpr int kOftenEnough = 3;  // a name that comes less often is somebody in passing

struct Count {
    std::string_view name;
    int count;
};

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Counts the capitalised words of a text that begin neither a sentence nor what somebody says: its names.
std::vector<Count> names_of(std::string_view text) {
    std::vector<Count> names;
    for (std::size_t at = 2; at < text.size(); ++at) {
        const bool inside = text[at - 1] == ' ' && (is_letter(text[at - 2]) || text[at - 2] == ',');
        if (!inside || text[at] < 'A' || text[at] > 'Z') {
            continue;
        }
        std::size_t end = at;
        while (end < text.size() && is_letter(text[end])) {
            ++end;
        }
        const std::string_view name = text.substr(at, end - at);
        if (name.size() == 1) {
            continue;  // "I"
        }
        const auto known = std::find_if(names.begin(), names.end(), [&](const Count& one) { return one.name == name; });
        if (known != names.end()) {
            ++known->count;
        } else {
            names.push_back({name, 1});
        }
    }
    // Whoever came first goes first among equals.
    std::stable_sort(names.begin(), names.end(), [](const Count& a, const Count& b) { return a.count > b.count; });
    return names;
}

}  // namespace

std::optional<Sequel> sequel_of(std::string_view told, std::uint64_t seed) {
    const std::size_t length = first_sentence(told, true);
    if (length == 0) {
        return std::nullopt;
    }
    std::string_view first = told.substr(0, length);
    first.remove_prefix(first.find_first_not_of(" \n"));
    Sequel sequel{std::string(first), kOpenings[seed % kOpenings.size()]};
    std::vector<Count> names = names_of(told);
    const auto hero =
        std::find_if(names.begin(), names.end(), [&](const Count& one) { return first.find(one.name) != first.npos; });
    if (hero != names.end()) {
        std::rotate(names.begin(), hero, hero + 1);  // whom the first sentence names
    }
    if (!names.empty()) {
        sequel.opening.append(" ").append(names[0].name);
    }
    if (names.size() > 1 && names[1].count >= kOftenEnough) {
        sequel.opening.append(" and ").append(names[1].name);
    }
    return sequel;
}

}  // namespace storybake::speech
