// A small baked tokenizer of the byte-level kind: every byte, a few merges of them, a special and an added token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "byte_level_bpe.hpp"
#include "little_endian.hpp"

namespace storybake::byte_level {

constexpr int kVocabSize = 256 + 7;
enum Made : std::uint32_t { kAb = 256, kBa, kAba, kSpaceA, kEAcute, kSpecial, kAdded };  // "<s>" and "<b>"

struct Recipe {
    std::uint32_t rule;
    std::uint32_t flags = 1;         // a text begins with BOS, which is the special token
    int missing = -1;                // a byte without a piece
    std::uint32_t unk = 0xffffffff;  // what it becomes
};

/// Kinds of characters: ASCII's, and a few others.
inline std::vector<std::uint32_t> kinds() {
    const struct {
        std::uint32_t first;
        CharKind kind;
    } runs[] = {
        {0, CharKind::kOther},        {'\t', CharKind::kSpace},    {0xe, CharKind::kOther},
        {' ', CharKind::kSpace},      {'!', CharKind::kOther},     {'0', CharKind::kNumber},
        {':', CharKind::kOther},      {'A', CharKind::kLetter},    {'[', CharKind::kOther},
        {'a', CharKind::kLetter},     {'{', CharKind::kOther},     {0xa0, CharKind::kSpace},
        {0xa1, CharKind::kOther},     {0xc0, CharKind::kLetter},   {0x2000, CharKind::kSpace},
        {0x200b, CharKind::kOther},   {0x4e00, CharKind::kLetter}, {0xa000, CharKind::kOther},
        {0x1d7ce, CharKind::kNumber}, {0x1d800, CharKind::kOther},
    };
    std::vector<std::uint32_t> words;
    for (const auto& run : runs) {
        words.push_back(run.first << 2 | static_cast<std::uint32_t>(run.kind));
    }
    return words;
}

/// The blob; its layout is in byte_level_bpe.hpp.
inline std::vector<std::byte> blob(const Recipe& recipe) {
    const char* const made[] = {"ab", "ba", "aba", " a", "\xc3\xa9", "<s>", "<b>"};
    const std::uint32_t merges[][4] = {
        // right, left, merged, rank: by left, then right
        {'a', ' ', kSpaceA, 3}, {'b', 'a', kAb, 0}, {'a', 'b', kBa, 1}, {0xa9, 0xc3, kEAcute, 4}, {'a', kAb, kAba, 2},
    };
    const std::vector<std::uint32_t> sorted = {kSpaceA, kAb, kAba, kBa};
    std::string bytes;
    std::vector<std::uint32_t> offsets{0};
    for (int byte = 0; byte < 256; ++byte) {
        bytes += static_cast<char>(byte);
        offsets.push_back(static_cast<std::uint32_t>(bytes.size()));
    }
    for (const char* piece : made) {
        bytes += piece;
        offsets.push_back(static_cast<std::uint32_t>(bytes.size()));
    }
    std::vector<std::byte> blob;
    const auto put = [&](auto... values) { (append(blob, static_cast<std::uint32_t>(values)), ...); };
    put(ByteLevelBpe::kMagic, kVocabSize, bytes.size(), std::size(merges), 2, kinds().size(), sorted.size(), 1);
    put(kSpecial, recipe.unk, recipe.rule, recipe.flags, kSpecial);
    for (int byte = 0; byte < 256; ++byte) {
        put(byte != recipe.missing ? byte : -1);
    }
    for (const std::uint32_t run : kinds()) {
        put(run);
    }
    put(kSpecial << 1 | 1U, kAdded << 1);
    for (const auto& merge : merges) {
        put(merge[0], merge[1], merge[2], merge[3]);
    }
    for (const std::uint32_t offset : offsets) {
        put(offset);
    }
    for (const std::uint32_t id : sorted) {
        put(id);
    }
    bytes.resize((bytes.size() + 3) / 4 * 4);
    const auto* const begin = reinterpret_cast<const std::byte*>(bytes.data());
    blob.insert(blob.end(), begin, begin + bytes.size());
    return blob;
}

}  // namespace storybake::byte_level
