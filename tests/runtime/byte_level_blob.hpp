// A small baked tokenizer of the byte-level kind: every byte, a few merges of them, a special and an added token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "little_endian.hpp"
#include "tokenizer.hpp"

namespace storybake::byte_level {

constexpr int kVocabSize = 256 + 7;
enum Made : std::uint32_t { kAb = 256, kBa, kAba, kSpaceA, kEAcute, kSpecial, kAdded };  // "<s>" and "<b>"

struct Recipe {
    std::uint32_t rule;
    bool add_bos = true;  // a text begins with BOS, which is the special token
    bool whole_words = false;
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

/// The blob of the words; its layout is in byte_level_bpe.hpp.
inline std::vector<std::byte> words_blob(const Recipe& recipe) {
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
    put(ByteLevelBpe::kMagic, kVocabSize, bytes.size(), std::size(merges), kinds().size(), sorted.size());
    put(recipe.unk, recipe.rule, recipe.whole_words);
    for (int byte = 0; byte < 256; ++byte) {
        put(byte != recipe.missing ? byte : -1);
    }
    for (const std::uint32_t run : kinds()) {
        put(run);
    }
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

/// What is around the words of a tokenizer; its layout is in tokenizer.hpp.
struct Frame {
    struct Token {
        std::uint32_t id;
        std::uint32_t flags;  // 1, special; 2, looked for in the normalised text; 4 and 8, strip
        std::string text;
    };
    std::uint32_t bos = kSpecial;
    std::uint32_t flags = 0;  // 1, NFC; 2, strip; from 4 on, spaces
    std::vector<std::uint32_t> before, after;
    std::vector<std::uint32_t> ends = {kSpecial};
    std::vector<std::uint32_t> never;
    std::vector<Token> added = {{kSpecial, 1, "<s>"}, {kAdded, 0, "<b>"}};
    std::vector<std::uint32_t> nfc;
    std::uint32_t rows = kVocabSize;
};

inline std::vector<std::byte> framed(const Frame& frame, const std::vector<std::byte>& words, int pieces = kVocabSize) {
    std::vector<std::byte> blob;
    const auto put = [&](auto... values) { (append(blob, static_cast<std::uint32_t>(values)), ...); };
    std::string text;
    for (const Frame::Token& token : frame.added) {
        text += token.text;
    }
    const std::size_t text_size = (text.size() + 3) / 4 * 4;
    put(Tokenizer::kMagic, words.size(), pieces, frame.rows, frame.bos, frame.flags, frame.before.size());
    put(frame.after.size(), frame.ends.size(), frame.never.size(), frame.added.size(), text_size, frame.nfc.size(), 0);
    for (const auto* part : {&frame.before, &frame.after, &frame.ends, &frame.never}) {
        for (const std::uint32_t id : *part) {
            put(id);
        }
    }
    std::size_t at = 0;
    for (const Frame::Token& token : frame.added) {
        put(token.id, token.flags, at, token.text.size());
        at += token.text.size();
    }
    for (const std::uint32_t word : frame.nfc) {
        put(word);
    }
    text.resize(text_size);
    const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
    blob.insert(blob.end(), begin, begin + text.size());
    blob.insert(blob.end(), words.begin(), words.end());
    return blob;
}

/// The whole tokenizer.
inline std::vector<std::byte> blob(const Recipe& recipe) {
    Frame frame;
    if (recipe.add_bos) {
        frame.before = {kSpecial};
    }
    return framed(frame, words_blob(recipe));
}

}  // namespace storybake::byte_level
