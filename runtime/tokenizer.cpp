#include "tokenizer.hpp"

#include "little_endian.hpp"

namespace storybake {

Result<Tokenizer> Tokenizer::view(std::span<const std::byte> baked, int vocab_size) {
    if (baked.size() >= 4 && load<std::uint32_t>(baked.data()) == ByteLevelBpe::kMagic) {
        const Result<ByteLevelBpe> byte_level = ByteLevelBpe::view(baked, vocab_size);
        return byte_level ? Result<Tokenizer>(Tokenizer(*byte_level)) : byte_level.failure();
    }
    const Result<LlamaBpe> llama = LlamaBpe::view(baked, vocab_size);
    return llama ? Result<Tokenizer>(Tokenizer(*llama)) : llama.failure();
}

const char* Tokenizer::kind() const {
    return std::visit([](const auto& kind) { return kind.kName; }, kind_);
}

std::vector<int> Tokenizer::encode(std::string_view text) const {
    return std::visit([&](const auto& kind) { return kind.encode(text); }, kind_);
}

std::string_view Tokenizer::decode(int previous, int token) const {
    return std::visit([&](const auto& kind) { return kind.decode(previous, token); }, kind_);
}

int Tokenizer::bos() const {
    return std::visit([](const auto& kind) { return kind.bos(); }, kind_);
}

bool Tokenizer::ends_text(int token) const {
    return std::visit([&](const auto& kind) { return kind.ends_text(token); }, kind_);
}

}  // namespace storybake
