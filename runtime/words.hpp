// Cuts a text into words as byte-level BPE does before it merges: by the rules of GPT-2 or of Llama 3, which their
// files state as regular expressions over Unicode's letters and numbers. Takes linear time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace storybake {

/// Lists what the rules tell characters apart by; a byte that is no UTF-8 is kOther.
enum class CharKind : std::uint8_t { kOther, kLetter, kNumber, kSpace, kEnd };

/// Views, in the baked tokenizer, the kinds of all code points: u32 [count], (first code point << 2 | kind) of every
/// run of one kind, from 0 on.
struct CharKinds {
    const std::byte* runs = nullptr;
    std::uint32_t count = 0;

    [[nodiscard]] CharKind of(std::uint32_t code) const;
};

/// Numbers the rules as codegen/byte_level.py does.
enum class WordRule : std::uint32_t {
    /// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    kGpt2 = 0,
    /// Cuts as kGpt2 does, in pieces between which every number stands alone.
    kGpt2Digits = 1,
    /// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
    /// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
    kLlama3 = 2,
    /// Cuts as kLlama3 does, with \p{N} in place of \p{N}{1,3}.
    kQwen2 = 3,
};

class Words {
public:
    Words() = default;
    Words(WordRule rule, CharKinds kinds) : rule_(rule), kinds_(kinds) {}

    /// Calls `word` with each word of the text, which are all of it.
    template <class Function>
    void each(std::string_view text, Function word) const {
        while (!text.empty()) {
            std::string_view part = text.substr(0, part_size(text));
            text.remove_prefix(part.size());
            while (!part.empty()) {
                const std::size_t size = word_size(part);
                word(part.substr(0, size));
                part.remove_prefix(size);
            }
        }
    }

private:
    struct Char {
        std::uint32_t code;
        CharKind kind;
        std::size_t end;  // is the place of the next one
    };
    [[nodiscard]] Char at(std::string_view text, std::size_t pos) const;
    [[nodiscard]] std::size_t run(std::string_view text, std::size_t pos, CharKind kind, std::size_t most) const;
    [[nodiscard]] std::size_t spaces(std::string_view text, bool lines) const;
    [[nodiscard]] std::size_t part_size(std::string_view text) const;
    [[nodiscard]] std::size_t word_size(std::string_view text) const;
    [[nodiscard]] std::size_t word_gpt2(std::string_view text) const;
    [[nodiscard]] std::size_t word_llama3(std::string_view text) const;

    WordRule rule_ = WordRule::kGpt2;
    CharKinds kinds_;
};

}  // namespace storybake
