#include "words.hpp"

#include "little_endian.hpp"
#include "utf8.hpp"

namespace storybake {
namespace {

constexpr std::size_t kAny = static_cast<std::size_t>(-1);
bool is_line_end(std::uint32_t code) {
    return code == '\r' || code == '\n';
}

/// Counts the bytes of 's 't 're 've 'm 'll 'd at the beginning, or 0. Without regard to case, "ſ" is an s, as it is to
/// regular expressions.
std::size_t contraction(std::string_view text, bool any_case) {
    if (text.size() < 2 || text[0] != '\'') {
        return 0;
    }
    const auto letter = [&](std::size_t i) {
        const char c = i < text.size() ? text[i] : '\0';
        return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    switch (letter(1)) {
        case 's':
        case 't':
        case 'm':
        case 'd':
            return 2;
        case 'r':
        case 'v':
            return letter(2) == 'e' ? 3 : 0;
        case 'l':
            return letter(2) == 'l' ? 3 : 0;
        default:
            return any_case && text.substr(1, 2) == "\xc5\xbf" ? 3 : 0;
    }
}

}  // namespace

CharKind CharKinds::of(std::uint32_t code) const {
    if (code >= kNoCharacter) {
        return CharKind::kOther;
    }
    std::uint32_t low = 0;  // finds the last run that begins at or before the code point
    std::uint32_t high = count;
    while (high - low > 1) {
        const std::uint32_t middle = low + (high - low) / 2;
        if (load<std::uint32_t>(runs + 4 * std::size_t{middle}) >> 2 <= code) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return static_cast<CharKind>(load<std::uint32_t>(runs + 4 * std::size_t{low}) & 3U);
}

Words::Char Words::at(std::string_view text, std::size_t pos) const {
    if (pos >= text.size()) {
        return {kNoCharacter, CharKind::kEnd, pos};
    }
    const auto [code, size] = decode_utf8(text.substr(pos));
    return {code, kinds_.of(code), pos + size};
}

/// Finds the end of at most `most` characters of a kind from `pos` on.
std::size_t Words::run(std::string_view text, std::size_t pos, CharKind kind, std::size_t most) const {
    for (std::size_t n = 0; n < most; ++n) {
        const Char c = at(text, pos);
        if (c.kind != kind) {
            break;
        }
        pos = c.end;
    }
    return pos;
}

/// Finds the word of a text that begins with spaces: `\s+(?!\S)|\s+`, with `lines` `\s*[\r\n]+|\s+(?!\S)|\s+`. It takes
/// all of them at the end of the text; otherwise all but the last, which belongs to what follows, but one at least.
std::size_t Words::spaces(std::string_view text, bool lines) const {
    std::size_t end = 0;
    std::size_t last = 0;
    std::size_t line_end = 0;
    Char c = at(text, 0);
    do {
        last = end;
        end = c.end;
        line_end = is_line_end(c.code) ? end : line_end;
        c = at(text, end);
    } while (c.kind == CharKind::kSpace);
    if (lines && line_end > 0) {
        return line_end;
    }
    return end == text.size() || last == 0 ? end : last;
}

std::size_t Words::word_gpt2(std::string_view text) const {
    if (const std::size_t size = contraction(text, false); size > 0) {
        return size;
    }
    Char c = at(text, 0);
    if (c.code == ' ') {
        c = at(text, c.end);
    }
    if (c.kind == CharKind::kSpace || c.kind == CharKind::kEnd) {
        return spaces(text, false);
    }
    return run(text, c.end, c.kind, kAny);
}

std::size_t Words::word_llama3(std::string_view text) const {
    if (const std::size_t size = contraction(text, true); size > 0) {
        return size;
    }
    const Char first = at(text, 0);
    if (first.kind == CharKind::kLetter) {
        return run(text, first.end, CharKind::kLetter, kAny);
    }
    if (first.kind == CharKind::kNumber) {
        return run(text, 0, CharKind::kNumber, rule_ == WordRule::kLlama3 ? 3 : 1);
    }
    const Char second = at(text, first.end);
    if (second.kind == CharKind::kLetter && !is_line_end(first.code)) {
        return run(text, second.end, CharKind::kLetter, kAny);
    }
    const Char other = first.code == ' ' ? second : first;
    if (other.kind == CharKind::kOther) {
        std::size_t end = run(text, other.end, CharKind::kOther, kAny);
        while (end < text.size() && is_line_end(static_cast<unsigned char>(text[end]))) {
            ++end;
        }
        return end;
    }
    return spaces(text, true);
}

std::size_t Words::word_size(std::string_view text) const {
    return rule_ == WordRule::kGpt2 || rule_ == WordRule::kGpt2Digits ? word_gpt2(text) : word_llama3(text);
}

/// Counts the bytes up to where a text is cut before the rule looks at it: before and after each number of kGpt2Digits.
std::size_t Words::part_size(std::string_view text) const {
    if (rule_ != WordRule::kGpt2Digits) {
        return text.size();
    }
    std::size_t end = 0;
    for (Char c = at(text, 0); c.kind != CharKind::kEnd; c = at(text, end)) {
        if (c.kind == CharKind::kNumber) {
            return end == 0 ? c.end : end;
        }
        end = c.end;
    }
    return end;
}

}  // namespace storybake
