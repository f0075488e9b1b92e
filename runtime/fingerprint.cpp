#include "fingerprint.hpp"

#include <cstring>

namespace storybake {

void Fingerprint::add(std::span<const std::byte> bytes) {
    std::size_t at = 0;
    for (; at + 4 <= bytes.size(); at += 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes.data() + at, 4);
        add_word(word);
    }
    if (at < bytes.size()) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes.data() + at, bytes.size() - at);
        add_word(word);
    }
    size_ += bytes.size();
}

}  // namespace storybake
