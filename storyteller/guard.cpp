#include "storyteller/guard.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "storyteller/sentences.hpp"
#include "utf8.hpp"

namespace storybake::speech {
namespace {

constexpr std::size_t kLeastSpelled = 3;  // letters that stand apart are a word
constexpr std::size_t kMostSpelled = 16;

struct Range {
    std::uint32_t first;
    std::uint32_t last;
};

// List what nobody sees: controls, marks of direction, joiners, accents of their own, selectors of variants, tags.
constexpr Range kUnseen[] = {{0x00, 0x08},     {0x0e, 0x1f},     {0x7f, 0x84},     {0x86, 0x9f},      {0xad, 0xad},
                             {0x300, 0x36f},   {0x61c, 0x61c},   {0x115f, 0x1160}, {0x17b4, 0x17b5},  {0x180b, 0x180f},
                             {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f}, {0x202a, 0x202e},  {0x2060, 0x206f},
                             {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xe0000, 0xe0fff}};

// List signs that are no letters, beyond Latin-1: punctuation, symbols, pictures.
constexpr Range kSigns[] = {{0x2000, 0x2bff}, {0x2e00, 0x2e7f}, {0x3000, 0x303f}, {0xfe10, 0xfe6f},
                            {0xff00, 0xff00}, {0xff5f, 0xff65}, {0xffe0, 0xffff}, {0x1f000, 0x1faff}};

// List characters that are words of their own: a text of them has no spaces.
constexpr Range kIdeographs[] = {{0x2e80, 0x9fff}, {0xf900, 0xfaff}, {0x20000, 0x3ffff}};

bool in(std::span<const Range> ranges, std::uint32_t code) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [code](Range range) { return code >= range.first && code <= range.last; });
}

bool is_hyphen(std::uint32_t code) {
    return code == '-' || code == '_' || (code >= 0x2010 && code <= 0x2015) || code == 0x2212;
}

/// Returns a letter or digit as it is compared: small, of its plain kind; 0 for what is none.
std::uint32_t letter_of(std::uint32_t code) {
    constexpr std::uint32_t kFullWidth = 0xff00 - 0x20;  // lies so far behind ASCII
    if (code > 0xff00 && code < 0xff5f) {
        code -= kFullWidth;
    }
    if (const char plain = plain_letter(code); plain != '\0') {
        code = static_cast<unsigned char>(plain);
    }
    if (code < 0xc0) {
        code += code >= 'A' && code <= 'Z' ? 'a' - 'A' : 0;
        return (code >= 'a' && code <= 'z') || (code >= '0' && code <= '9') ? code : 0;
    }
    code += (code >= 0x391 && code <= 0x3a9) || (code >= 0x410 && code <= 0x42f) ? 0x20 : 0;  // Greek, Cyrillic
    const bool sign = code == 0xd7 || code == 0xf7 || in(kSigns, code);
    return sign ? 0 : code;
}

struct Word {
    std::string text;
    bool joined;  // to the one before, by a hyphen
};

/// Splits a text into words as they are compared.
std::vector<Word> words_of(std::string_view text) {
    std::vector<Word> words;
    bool inside = false;  // a word, which goes on with the next letter
    bool hyphen = false;  // alone stands between it and the last word
    while (!text.empty()) {
        const Decoded next = decode_utf8(text);
        text.remove_prefix(next.size);
        if (next.code == kNoCharacter || in(kUnseen, next.code)) {
            continue;
        }
        const std::uint32_t letter = letter_of(next.code);
        if (letter == 0) {
            hyphen = is_hyphen(next.code) && (inside || hyphen);
            inside = false;
            continue;
        }
        const bool alone = in(kIdeographs, letter);
        if (!inside || alone) {
            words.push_back({"", hyphen});
        }
        append_utf8(words.back().text, letter);
        inside = !alone;
        hyphen = false;
    }
    return words;
}

/// Returns how many words a text begins with that are a forbidden one's; 0 when it does not begin with it.
std::size_t begins_with(std::span<const Word> words, std::string_view forbidden) {
    std::size_t count = 0;
    while (!forbidden.empty()) {
        std::string_view next = forbidden.substr(0, forbidden.find(' '));
        forbidden.remove_prefix(std::min(forbidden.size(), next.size() + 1));
        const bool any_ending = next.ends_with('*');
        next.remove_suffix(any_ending ? 1 : 0);
        if (count == words.size() || !(any_ending ? words[count].text.starts_with(next) : words[count].text == next)) {
            return 0;
        }
        ++count;
    }
    return count;
}

std::string joined(std::span<const Word> words, std::string_view between) {
    std::string text;
    for (const Word& word : words) {
        text.append(text.empty() ? "" : between).append(word.text);
    }
    return text;
}

bool is_letter(const Word& word) {
    return word.text.size() == 1 && word.text[0] >= 'a' && word.text[0] <= 'z';
}

/// Finds words that are written in parts: with hyphens, or letter by letter.
std::vector<Word> written_apart(std::span<const Word> words) {
    std::vector<Word> found;
    for (std::size_t begin = 0; begin < words.size(); ++begin) {
        std::size_t end = begin + 1;
        while (end < words.size() && words[end].joined) {
            ++end;
        }
        if (end > begin + 1 && !words[begin].joined) {
            found.push_back({joined(words.subspan(begin, end - begin), ""), false});
        }
        std::size_t letters = begin;
        while (letters < words.size() && letters - begin < kMostSpelled && is_letter(words[letters])) {
            ++letters;
            if (letters - begin >= kLeastSpelled) {
                found.push_back({joined(words.subspan(begin, letters - begin), ""), false});
            }
        }
    }
    return found;
}

}  // namespace

void Guard::forbid(std::string_view word) {
    const std::vector<Word> words = words_of(word);
    if (words.empty()) {
        return;
    }
    const char* const ending = word.ends_with('*') ? "*" : "";
    forbidden_.push_back(joined(words, " ") + ending);
    if (words.size() > 1) {
        forbidden_.push_back(joined(words, "") + ending);
    }
}

void Guard::allow(std::string_view text) {
    for (const Word& word : words_of(text)) {
        allowed_.insert(word.text);
    }
}

std::optional<std::string> Guard::find(std::string_view text) const {
    const std::vector<Word> words = words_of(text);
    const std::vector<Word> apart = written_apart(words);
    for (const std::span<const Word> all : {std::span(words), std::span(apart)}) {
        for (std::size_t begin = 0; begin < all.size(); ++begin) {
            for (const std::string& forbidden : forbidden_) {
                const std::size_t count = begins_with(all.subspan(begin), forbidden);
                const std::span<const Word> found = all.subspan(begin, count);
                if (count > 0 && !std::all_of(found.begin(), found.end(),
                                              [this](const Word& word) { return allowed_.contains(word.text); })) {
                    return joined(found, " ");
                }
            }
        }
    }
    return std::nullopt;
}

}  // namespace storybake::speech
