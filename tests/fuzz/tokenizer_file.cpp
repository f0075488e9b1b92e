// Tokenizers: a tokenizer.bin as -z reads it, and the baked blob as the program views it. What is accepted encodes and
// decodes; what is not is refused with 65.

#include <string>
#include <vector>

#include "fuzz.hpp"
#include "tokenizer.hpp"

namespace storybake {
namespace {

/// Everything a program does with a tokenizer.
void use(const Tokenizer& tokenizer, int vocab_size) {
    std::string text;
    for (int id = 0; id < vocab_size; ++id) {
        text += tokenizer.decode(tokenizer.bos(), id);
        text += tokenizer.decode(id, id);
        text += tokenizer.ends_text(id) ? "</s>" : tokenizer.decode(id, id).substr(0, 1);
    }
    for (const int id : tokenizer.encode(std::string_view(text).substr(0, 64))) {
        fuzz::require(id >= 0 && id < vocab_size, "ids are below vocab_size");
    }
}

void read_blob(std::span<const std::byte> blob, int vocab_size, bool must) {
    const Result<Tokenizer> view = Tokenizer::view(blob, vocab_size);
    if (view) {
        use(*view, vocab_size);
    } else {
        fuzz::require(!must, "what was baked can be viewed");
        fuzz::require_refusal(view.failure(), kExitBadData);
    }
}

}  // namespace
}  // namespace storybake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    fuzz::Input input(data, size);
    const bool is_blob = input.byte() % 2 == 1;
    const int vocab_size = 3 + input.byte() + (input.byte() % 2) * 256;
    const std::span<const std::byte> file = input.rest();
    if (is_blob) {
        const std::vector<std::byte> blob(file.begin(), file.end());  // so that its end is guarded
        read_blob(blob, vocab_size, false);
        return 0;
    }
    const Result<std::vector<std::byte>> blob = bake_tokenizer(file, vocab_size, "fuzz");
    if (blob) {
        read_blob(*blob, vocab_size, true);
    } else {
        fuzz::require_refusal(blob.failure(), kExitBadData);
    }
    return 0;
}
