// Reads and writes the little-endian values that baked tokenizers and tokenizer.bin are made of.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace storybake {

static_assert(std::endian::native == std::endian::little, "baked tokenizers and tokenizer.bin are little-endian");

template <class T>
T load(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class T>
void append(std::vector<std::byte>& blob, T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    blob.insert(blob.end(), bytes, bytes + sizeof value);
}

}  // namespace storybake
