// Encoding a prompt by a byte-level vocabulary: any bytes, by each rule of cutting words. Every text comes back, but
// for the special tokens that it names.

#include <string>
#include <vector>

#include "byte_level_blob.hpp"
#include "fuzz.hpp"

namespace storybake {
namespace {

/// The text without the special token's name.
std::string expected_of(std::string_view text) {
    std::string expected(text);
    for (std::size_t at = 0; (at = expected.find("<s>", at)) != std::string::npos;) {
        expected.erase(at, 3);
    }
    return expected;
}

}  // namespace
}  // namespace storybake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    static const std::vector<std::byte> blobs[] = {byte_level::blob({0}), byte_level::blob({1}), byte_level::blob({2}),
                                                   byte_level::blob({3})};
    fuzz::Input input(data, size);
    const std::vector<std::byte>& blob = blobs[input.byte() % 4];
    const Result<Tokenizer> tokenizer = Tokenizer::view(blob, byte_level::kVocabSize);
    fuzz::require(static_cast<bool>(tokenizer), "the vocabulary is valid");
    const std::string_view text = input.text();
    const std::vector<int> ids = tokenizer->encode(text);
    fuzz::require(ids.front() == tokenizer->bos(), "BOS comes first");
    std::string decoded;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        fuzz::require(ids[i] >= 0 && ids[i] < byte_level::kVocabSize, "ids are below vocab_size");
        decoded += tokenizer->decode(ids[i - 1], ids[i]);
    }
    fuzz::require(decoded == expected_of(text), "every text comes back");
    return 0;
}
