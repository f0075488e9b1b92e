// Encodes by byte-level byte-pair encoding, GPT-2's kind: pieces are bytes, merges are ranked pairs, and nothing
// crosses a word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "baked_pieces.hpp"
#include "fail.hpp"
#include "words.hpp"

namespace storybake {

/// Views a baked tokenizer. The blob, which codegen/byte_level.py writes, is little-endian:
///
///     u32 magic, vocab_size, bytes_size, merges, kinds, sorted, unk, rule, flags     the header, 36 bytes
///     u32 byte_ids[256]              id of each byte's piece, ~0 where there is none
///     u32 kinds[kinds]               see CharKinds
///     u32 merges[merges][4]          right, left, merged id, rank; sorted by left, then right
///     u32 offsets[vocab_size + 1]    piece i is bytes[offsets[i] .. offsets[i + 1]]; one that is none has no bytes
///     u32 sorted[sorted]             ids in the order of their pieces, of a tokenizer that takes words whole
///     u8  bytes[bytes_size]          padded with zeros to a multiple of 4
///
/// unk is what a byte without a piece becomes, ~0 for nothing. flags: 1, a word that is a piece is not merged but taken
/// whole.
class ByteLevelBpe : public BakedPieces {
public:
    static constexpr std::uint32_t kMagic = 0x4c424253;  // "SBBL"
    static constexpr const char* kName = "byte-level BPE";

    /// Takes a blob that outlives the view; nothing is copied. Fails when it is not one for `vocab_size` pieces,
    /// or points outside of itself: a damaged blob gives wrong text at worst.
    static Result<ByteLevelBpe> view(std::span<const std::byte> baked, int vocab_size);

    /// Appends the ids of a text: of each of its words the adjacent pair of the lowest rank is merged (the leftmost of
    /// equals) until none is left. Takes O(n log n) for n bytes.
    void encode(std::string_view text, bool spaced, std::vector<int>& ids) const;

    /// Returns the bytes of a token.
    [[nodiscard]] std::string_view decode(int token) const { return piece(token); }

private:
    ByteLevelBpe() = default;
    [[nodiscard]] bool points_inside(std::uint32_t vocab_size, std::uint32_t bytes_size) const;
    void encode_word(std::string_view word, std::vector<int>& ids) const;

    std::uint32_t rule_ = 0;
    std::uint32_t kinds_count_ = 0;
    std::uint32_t merges_count_ = 0;
    std::uint32_t unk_ = 0;
    bool whole_words_ = false;
    Words words_;
    std::size_t byte_ids_ = 0;  // is a byte offset into the blob, as those below
    std::size_t merges_ = 0;
};

}  // namespace storybake
