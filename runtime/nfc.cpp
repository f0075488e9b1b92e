#include "nfc.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "little_endian.hpp"
#include "utf8.hpp"

namespace storybake {
namespace {

constexpr std::size_t kHeader = 3;
constexpr std::uint32_t kByte = 0x80000000;  // marks a byte that is no UTF-8, in place of a code point
// Hangul syllables are composed by arithmetic: The Unicode Standard, section 3.12.
constexpr std::uint32_t kSyllables = 0xac00;
constexpr std::uint32_t kLeads = 0x1100;
constexpr std::uint32_t kVowels = 0x1161;
constexpr std::uint32_t kTails = 0x11a7;
constexpr std::uint32_t kLeadCount = 19;
constexpr std::uint32_t kVowelCount = 21;
constexpr std::uint32_t kTailCount = 28;
constexpr std::uint32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

/// Finds the first of `count` rows from which on `less` is not true.
template <class Less>
std::size_t lower_bound(std::size_t count, Less less) {
    std::size_t low = 0;
    while (low < count) {
        const std::size_t middle = low + (count - low) / 2;
        if (less(middle)) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return low;
}

}  // namespace

bool Nfc::fits(std::span<const std::byte> table) {
    if (table.size() < 4 * kHeader) {
        return false;
    }
    const auto rows = [&](std::size_t part) { return std::uint64_t{load<std::uint32_t>(&table[4 * part])}; };
    return table.size() == 4 * (kHeader + 3 * rows(0) + 3 * rows(1) + rows(2));
}

Nfc::Nfc(std::span<const std::byte> table)
    : table_(table.data()), apart_(word(0)), together_(word(1)), runs_(word(2)) {}

std::uint32_t Nfc::word(std::size_t index) const {
    return load<std::uint32_t>(table_ + 4 * index);
}

std::uint32_t Nfc::combining_class(std::uint32_t code) const {
    const std::size_t first = kHeader + 3 * (apart_ + together_);
    const std::size_t after = lower_bound(runs_, [&](std::size_t i) { return word(first + i) >> 8 <= code; });
    return after == 0 || code >= kNoCharacter ? 0 : word(first + after - 1) & 0xff;
}

/// Finds the character that two have together, or 0.
std::uint32_t Nfc::composite(std::uint32_t first, std::uint32_t second) const {
    if (first - kLeads < kLeadCount && second - kVowels < kVowelCount) {
        return kSyllables + ((first - kLeads) * kVowelCount + (second - kVowels)) * kTailCount;
    }
    if (first - kSyllables < kSyllableCount && (first - kSyllables) % kTailCount == 0 && second - kTails < kTailCount &&
        second != kTails) {
        return first + (second - kTails);
    }
    const std::size_t rows = kHeader + 3 * apart_;
    const auto key = [](std::uint32_t a, std::uint32_t b) { return std::uint64_t{a} << 32 | b; };
    const std::size_t at = lower_bound(
        together_, [&](std::size_t i) { return key(word(rows + 3 * i), word(rows + 3 * i + 1)) < key(first, second); });
    const bool found = at < together_ && word(rows + 3 * at) == first && word(rows + 3 * at + 1) == second;
    return found ? word(rows + 3 * at + 2) : 0;
}

void Nfc::decompose(std::uint32_t code, std::vector<std::uint32_t>& codes) const {
    if (code - kSyllables < kSyllableCount) {
        const std::uint32_t syllable = code - kSyllables;
        codes.push_back(kLeads + syllable / (kVowelCount * kTailCount));
        codes.push_back(kVowels + syllable % (kVowelCount * kTailCount) / kTailCount);
        if (syllable % kTailCount != 0) {
            codes.push_back(kTails + syllable % kTailCount);
        }
        return;
    }
    // The first part of a pair may come apart again, the second never does. A damaged table must not lead around in
    // circles: Unicode's characters have four steps at most.
    std::uint32_t marks[4] = {};
    std::size_t depth = 0;
    while (depth < std::size(marks)) {
        const std::size_t at = lower_bound(apart_, [&](std::size_t i) { return word(kHeader + 3 * i) < code; });
        if (at == apart_ || word(kHeader + 3 * at) != code) {
            break;
        }
        code = word(kHeader + 3 * at + 1);
        marks[depth++] = word(kHeader + 3 * at + 2);
    }
    codes.push_back(code);
    while (depth > 0) {
        if (const std::uint32_t mark = marks[--depth]; mark != 0) {
            codes.push_back(mark);
        }
    }
}

/// Composes characters that were taken apart: marks in the order of their classes, then each with the last letter
/// before it unless a mark of its class, or a letter, stands between.
void Nfc::compose(std::vector<std::uint32_t>& codes) const {
    std::vector<std::uint8_t> classes;
    classes.reserve(codes.size());
    for (const std::uint32_t code : codes) {
        classes.push_back(static_cast<std::uint8_t>(combining_class(code)));
    }
    std::vector<std::pair<std::uint8_t, std::uint32_t>> marks;
    for (std::size_t begin = 0; begin < codes.size();) {
        std::size_t end = begin;
        marks.clear();
        for (; end < codes.size() && classes[end] != 0; ++end) {
            marks.emplace_back(classes[end], codes[end]);
        }
        std::stable_sort(marks.begin(), marks.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
        for (std::size_t i = begin; i < end; ++i) {
            classes[i] = marks[i - begin].first;
            codes[i] = marks[i - begin].second;
        }
        begin = end + (end == begin ? 1 : 0);
    }
    std::size_t starter = codes.size();  // none yet
    std::size_t kept = 0;
    int last = 0;  // is the class of the mark that was kept last, after the starter
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const int found = classes[i];
        const bool reachable = starter < kept && (kept == starter + 1 || last < found);
        const std::uint32_t together = reachable ? composite(codes[starter], codes[i]) : 0;
        if (together != 0) {
            codes[starter] = together;
            continue;
        }
        if (found == 0) {
            starter = kept;
        }
        last = found;
        codes[kept++] = codes[i];
    }
    codes.resize(kept);
}

std::string Nfc::compose(std::string_view text) const {
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
        return std::string(text);
    }
    std::vector<std::uint32_t> codes;
    codes.reserve(text.size() * 2);
    for (std::size_t at = 0; at < text.size();) {
        const Decoded next = decode_utf8(text.substr(at));
        if (next.code == kNoCharacter) {
            codes.push_back(kByte | static_cast<unsigned char>(text[at]));
        } else {
            decompose(next.code, codes);
        }
        at += next.size;
    }
    compose(codes);
    std::string composed;
    composed.reserve(text.size());
    for (const std::uint32_t code : codes) {
        if ((code & kByte) != 0) {
            composed.push_back(static_cast<char>(code & 0xff));
        } else if (code < kNoCharacter) {
            append_utf8(composed, code);
        }
    }
    return composed;
}

}  // namespace storybake
