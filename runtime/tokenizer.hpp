// The tokenizer that was baked with the model: one of the kinds that the runtime knows.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "byte_level_bpe.hpp"
#include "fail.hpp"
#include "llama_bpe.hpp"

namespace storybake {

/// A view of a baked tokenizer.
class Tokenizer {
public:
    /// Takes what codegen/tokenizer.py or bake_tokenizer() made, which outlives the view; nothing is copied. Fails
    /// when it is not a tokenizer of `vocab_size` pieces.
    static Result<Tokenizer> view(std::span<const std::byte> baked, int vocab_size);

    /// The kind, for people.
    [[nodiscard]] const char* kind() const;

    /// The ids of a text; one at least. The kinds differ in how a text begins: with BOS or without.
    [[nodiscard]] std::vector<int> encode(std::string_view text) const;

    /// The bytes that `token` stands for after `previous`: maybe a part of a character, maybe none. Both ids are
    /// below vocab_size.
    [[nodiscard]] std::string_view decode(int previous, int token) const;

    /// The token that begins a text.
    [[nodiscard]] int bos() const;

    /// Whether the model ends a text with this token: EOS, BOS of another text, or their like.
    [[nodiscard]] bool ends_text(int token) const;

private:
    using Kind = std::variant<LlamaBpe, ByteLevelBpe>;
    explicit Tokenizer(Kind kind) : kind_(kind) {}

    Kind kind_;
};

}  // namespace storybake
