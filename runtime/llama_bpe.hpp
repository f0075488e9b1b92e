// Encodes as llama2.c's byte-pair tokenizer does, over a table that was sorted and checked when the model was baked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "baked_pieces.hpp"
#include "fail.hpp"

namespace storybake {

constexpr int kUnk = 0;  // what a character becomes when a vocabulary has neither its piece nor byte tokens
constexpr int kBos = 1;
constexpr int kEos = 2;

/// Views a baked tokenizer. The blob (codegen/tokenizer.py writes the same) is little-endian:
///
///     u32 magic, vocab_size, bytes_size, max_piece, sorted, first_byte      the header, 24 bytes
///     f32 scores[vocab_size]
///     u32 offsets[vocab_size + 1]    piece i is bytes[offsets[i] .. offsets[i + 1]]; one that is none has no bytes
///     u32 sorted[sorted]             ids that text is made of, in the order of their pieces (memcmp), equal ones by id
///     u8  bytes[bytes_size]          padded with zeros to a multiple of 4
///
/// max_piece is the longest piece in bytes, and first_byte the id of the byte token <0x00>, which those up to <0xFF>
/// follow, or 0 where there are none.
class LlamaBpe : public BakedPieces {
public:
    static constexpr std::uint32_t kMagic = 0x4b544253;  // "SBTK"
    static constexpr const char* kName = "llama2.c's BPE";

    /// Takes a blob that outlives the view; nothing is copied. Fails when it is not one for `vocab_size` pieces, or
    /// points outside of itself: a damaged blob gives wrong text at worst.
    static Result<LlamaBpe> view(std::span<const std::byte> baked, int vocab_size);

    /// Appends the ids of a text as llama2.c's encode() finds them: characters of up to 4 bytes by their lead byte,
    /// byte tokens for a character without a piece, then the adjacent pair with the best score is merged (the leftmost
    /// of equals) until none is left. `spaced`: the first byte is a space that was put in, a character whatever
    /// follows. Takes O(n log n) for n bytes.
    void encode(std::string_view text, bool spaced, std::vector<int>& ids) const;

    /// Returns the bytes that a token stands for: a byte token is its byte.
    [[nodiscard]] std::string_view decode(int token) const;

    using BakedPieces::find;

    [[nodiscard]] float score(int id) const;

private:
    LlamaBpe() = default;
    [[nodiscard]] bool points_inside(std::uint32_t bytes_size) const;
    void add_character(std::string_view character, std::vector<int>& ids) const;

    std::uint32_t vocab_size_ = 0;
    std::uint32_t max_piece_ = 0;
    std::uint32_t first_byte_ = 0;
    std::size_t scores_ = 0;  // is a byte offset into the blob
};

/// Makes the blob from the bytes of a tokenizer.bin: u32 max_token_length, then a piece an id: f32 score, i32 length,
/// bytes. `name` is the file's, for messages. Fails with exit code 65 when the file is not a tokenizer of exactly
/// `vocab_size` pieces.
Result<std::vector<std::byte>> bake_tokenizer(std::span<const std::byte> file, int vocab_size, const char* name);

}  // namespace storybake
