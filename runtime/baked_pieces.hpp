// Finds the pieces of a baked tokenizer: the part of a blob that both kinds of tokenizer end with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "little_endian.hpp"

namespace storybake {

/// Views the end of a blob, which outlives it; little-endian:
///
///     u32 offsets[vocab_size + 1]    piece i is bytes[offsets[i] .. offsets[i + 1]]; one that is none has no bytes
///     u32 sorted[sorted]             ids in the order of their pieces (memcmp), equal ones by id
///     u8  bytes[]
class BakedPieces {
public:
    /// Returns the piece of an id as it is in the vocabulary.
    [[nodiscard]] std::string_view piece(int id) const {
        const std::size_t at = offsets_ + 4 * static_cast<std::size_t>(id);
        const std::uint32_t begin = word(at);
        return {reinterpret_cast<const char*>(baked_ + bytes_ + begin), word(at + 4) - begin};
    }

protected:
    BakedPieces() = default;

    /// Notes where the three tables lie when the first of them begins at byte `offsets`, and sorted_count_ is known.
    void place(std::size_t offsets, std::uint32_t vocab_size) {
        offsets_ = offsets;
        sorted_ = offsets_ + 4 * (std::size_t{vocab_size} + 1);
        bytes_ = sorted_ + 4 * std::size_t{sorted_count_};
    }

    /// Reads a number of the blob.
    [[nodiscard]] std::uint32_t word(std::size_t offset) const { return load<std::uint32_t>(baked_ + offset); }

    /// Finds the lowest id of a piece among the sorted ones, or -1.
    [[nodiscard]] int find(std::string_view text) const {
        std::uint32_t low = 0;
        std::uint32_t high = sorted_count_;
        while (low < high) {
            const std::uint32_t middle = low + (high - low) / 2;
            if (piece(static_cast<int>(word(sorted_ + 4 * std::size_t{middle}))) < text) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low == sorted_count_) {
            return -1;
        }
        const int id = static_cast<int>(word(sorted_ + 4 * std::size_t{low}));
        return piece(id) == text ? id : -1;
    }

    const std::byte* baked_ = nullptr;
    std::uint32_t sorted_count_ = 0;
    std::size_t offsets_ = 0;  // is a byte offset into the blob, as those below
    std::size_t sorted_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace storybake
