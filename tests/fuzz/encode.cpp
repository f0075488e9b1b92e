// Encoding a prompt: any bytes, by vocabularies with and without byte tokens. The ids are those of llama2.c's loop, and
// decode to the prompt.

#include <string>
#include <vector>

#include "fuzz.hpp"
#include "llama_bpe.hpp"
#include "quadratic_encode.hpp"
#include "vocabulary.hpp"

namespace storybake {
namespace {

struct Baked {
    std::vector<std::byte> blob;
    LlamaBpe view;
};

/// Pieces over few characters, so that many merges compete; ties, a duplicate, and one too unlikely to merge into.
Baked bake(Vocabulary vocabulary) {
    const struct {
        const char* text;
        float score;
    } pieces[] = {
        {" ", -1.0F},
        {"a", -2.0F},
        {"b", -2.0F},
        {"c", -3.0F},
        {"ab", -4.0F},
        {"ba", -4.0F},
        {" a", -5.0F},
        {"aa", -4.0F},
        {"aaa", -6.0F},
        {"aba", -3.0F},
        {"bab", -7.0F},
        {" ab", -2.0F},
        {"  ", -8.0F},
        {"    ", -9.0F},
        {"aa", -1.0F},
        {"abc", -1e10F},
        {"\xc3\xa9", 0},
        {"\xe2\x80\x9c", 0},
        {"a\xc3\xa9", -1.5F},
        {"\xf0\x9f\xa6\x99", 0},
        {"\xc3\xa9\xc3\xa9", -3.0F},
    };
    for (const auto& piece : pieces) {
        vocabulary.add(piece.text, piece.score);
    }
    Result<std::vector<std::byte>> blob = bake_tokenizer(as_bytes(vocabulary.file()), vocabulary.size(), "fuzz");
    fuzz::require(static_cast<bool>(blob), "the vocabulary is valid");
    Result<LlamaBpe> view = LlamaBpe::view(*blob, vocabulary.size());
    fuzz::require(static_cast<bool>(view), "what was baked can be viewed");
    return {std::move(*blob), *view};
}

}  // namespace
}  // namespace storybake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    static const Baked with_bytes = bake(Vocabulary::with_bytes());
    static const Baked without_bytes = bake(Vocabulary::without_bytes());
    fuzz::Input input(data, size);
    const std::uint8_t kind = input.byte();
    const bool has_bytes = kind % 4 != 0;
    const LlamaBpe& tokenizer = has_bytes ? with_bytes.view : without_bytes.view;
    const std::string_view text = input.text();

    std::vector<int> ids{kBos};
    if (!text.empty()) {
        tokenizer.encode(" " + std::string(text), true, ids);
    }
    const bool slowly_too = text.size() <= (kind < 0xf0 ? 8 : 32);
    fuzz::require(!slowly_too || ids == quadratic_encode(tokenizer, text, has_bytes),
                  "the ids are those of llama2.c's loop");
    std::string decoded;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        decoded += tokenizer.decode(ids[i]);
    }
    fuzz::require(!has_bytes || text.empty() || decoded == " " + std::string(text),
                  "with byte tokens, every text comes back");
    return 0;
}
