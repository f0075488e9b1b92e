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

/// Splits a text into its sentences, without the white space around them and without "The end."
std::vector<std::string_view> sentences_of(std::string_view text) {
    std::vector<std::string_view> sentences;
    while (const std::size_t length = first_sentence(text, true)) {
        std::string_view sentence = text.substr(0, length);
        sentence.remove_prefix(sentence.find_first_not_of(" \n"));
        sentence.remove_suffix(sentence.size() - 1 - sentence.find_last_not_of(" \n"));
        if (sentence != "The end.") {
            sentences.push_back(sentence);
        }
        text.remove_prefix(length);
    }
    return sentences;
}

}  // namespace

std::optional<Sequel> sequel_of(std::string_view told, std::uint64_t seed, std::size_t sentences) {
    const std::vector<std::string_view> all = sentences_of(told);
    if (all.empty()) {
        return std::nullopt;
    }
    Sequel sequel{"", kOpenings[seed % kOpenings.size()]};
    std::vector<Count> names = names_of(told);
    const auto hero = std::find_if(names.begin(), names.end(), [&](const Count& one) {
        return all.front().find(one.name) != std::string_view::npos;
    });
    if (hero != names.end()) {
        std::rotate(names.begin(), hero, hero + 1);  // whom the first sentence names
    }
    std::size_t first = all.size() - std::min(all.size(), sentences);
    if (names.empty() && first > 0) {  // Only the first sentence says who it was about.
        sequel.before = all.front();
        first = std::max<std::size_t>(first, 1);
    }
    for (; first < all.size(); ++first) {
        sequel.before.append(sequel.before.empty() ? "" : " ").append(all[first]);
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
