// Vocabularies in the format of tokenizer.bin, made by the tests, and files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace storybake {

class Vocabulary {
public:
    /// <unk>, BOS and EOS.
    static Vocabulary without_bytes() {
        Vocabulary v;
        v.add("<unk>", 0.0F);
        v.add("\n<s>\n", 0.0F);
        v.add("\n</s>\n", 0.0F);
        return v;
    }

    /// The same and the 256 byte tokens: 259 pieces.
    static Vocabulary with_bytes() {
        Vocabulary v = without_bytes();
        for (int byte = 0; byte < 256; ++byte) {
            char piece[8];
            std::snprintf(piece, sizeof piece, "<0x%02X>", static_cast<unsigned>(byte));
            v.add(piece, 0.0F);
        }
        return v;
    }

    void add(std::string piece, float score) { pieces_.emplace_back(std::move(piece), score); }

    [[nodiscard]] int size() const { return static_cast<int>(pieces_.size()); }

    /// The bytes of a tokenizer.bin.
    [[nodiscard]] std::string file() const {
        std::uint32_t longest = 0;
        for (const auto& [piece, score] : pieces_) {
            longest = std::max(longest, static_cast<std::uint32_t>(piece.size()));
        }
        std::string bytes;
        append(bytes, longest);
        for (const auto& [piece, score] : pieces_) {
            append(bytes, score);
            append(bytes, static_cast<std::int32_t>(piece.size()));
            bytes += piece;
        }
        return bytes;
    }

private:
    template <class T>
    static void append(std::string& bytes, T value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }

    std::vector<std::pair<std::string, float>> pieces_;
};

inline std::span<const std::byte> as_bytes(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// How many pieces a tokenizer.bin has.
inline int count_pieces(const std::string& file) {
    int count = 0;
    for (std::size_t at = 4; at + 8 <= file.size(); ++count) {
        std::int32_t length = 0;
        std::memcpy(&length, file.data() + at + 4, sizeof length);
        at += 8 + static_cast<std::size_t>(length);
    }
    return count;
}

/// The bytes of a file, empty when it is not there.
inline std::string file_bytes(const std::string& path) {
    std::string bytes;
    if (std::FILE* file = std::fopen(path.c_str(), "rb"); file != nullptr) {
        char block[1 << 16];
        for (std::size_t size = 0; (size = std::fread(block, 1, sizeof block, file)) > 0;) {
            bytes.append(block, size);
        }
        std::fclose(file);
    }
    return bytes;
}

}  // namespace storybake
