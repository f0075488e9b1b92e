// Reads and writes UTF-8 a character at a time, for whoever looks at text by its characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace storybake {

constexpr std::uint32_t kNoCharacter = 0x110000;

/// Holds a code point and its bytes; one byte of kNoCharacter where a text is not UTF-8.
struct Decoded {
    std::uint32_t code;
    std::size_t size;
};

/// Returns the code point at the beginning of a text that is not empty. What is too short, too long for its value, a
/// surrogate or beyond U+10FFFF is no UTF-8.
inline Decoded decode_utf8(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    const std::uint32_t first = byte(0);
    if (first < 0x80) {
        return {first, 1};
    }
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < size) {
        return {kNoCharacter, 1};
    }
    std::uint32_t code = first & (0x7fU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0U) != 0x80U) {
            return {kNoCharacter, 1};
        }
        code = code << 6 | (byte(i) & 0x3fU);
    }
    constexpr std::uint32_t kLeast[] = {0x80, 0x800, 0x10000};
    if (code < kLeast[size - 2] || (code >= 0xd800 && code < 0xe000) || code >= kNoCharacter) {
        return {kNoCharacter, 1};
    }
    return {code, size};
}

/// Appends a code point below kNoCharacter.
inline void append_utf8(std::string& text, std::uint32_t code) {
    const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
        return;
    }
    if (code < 0x800) {
        put(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            put(0xe0 | code >> 12);
        } else {
            put(0xf0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3f));
        }
        put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
}

/// Tells whether a code point is white space (Unicode's White_Space).
inline bool is_white_space(std::uint32_t code) {
    return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
           code == 0x3000;
}

/// Counts the bytes of white space that a text begins with.
inline std::size_t leading_space(std::string_view text) {
    std::size_t at = 0;
    while (at < text.size()) {
        const Decoded next = decode_utf8(text.substr(at));
        if (!is_white_space(next.code)) {
            break;
        }
        at += next.size;
    }
    return at;
}

/// Counts the bytes of white space that a text ends with.
inline std::size_t trailing_space(std::string_view text) {
    std::size_t end = text.size();
    while (end > 0) {
        std::size_t begin = end - 1;
        while (begin > 0 && end - begin < 4 && (static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80U) {
            --begin;
        }
        const Decoded last = decode_utf8(text.substr(begin, end - begin));
        if (last.size != end - begin || !is_white_space(last.code)) {
            break;
        }
        end = begin;
    }
    return text.size() - end;
}

}  // namespace storybake
