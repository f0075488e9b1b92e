// Computes a fingerprint of bytes that the generator (codegen/fingerprint.py) and the runtime find alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace storybake {

/// Computes a 64-bit fingerprint against mistakes and rot, not against an attacker: the sum, modulo 2^64, of the 32-bit
/// little-endian words (the last one padded with zeros), each times an odd number that depends on its place, mixed with
/// the length. Any single changed word changes it; words can be summed in any order, so it vectorises.
class Fingerprint {
public:
    /// Adds bytes; every call but the last takes a multiple of 4 bytes.
    void add(std::span<const std::byte> bytes);

    [[nodiscard]] std::uint64_t value() const { return mix(sum_ ^ mix(size_)); }

private:
    // Applies the finaliser of splitmix64 (Steele, Lea, Flood 2014).
    static std::uint64_t mix(std::uint64_t z) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31);
    }

    void add_word(std::uint32_t word) {
        ++words_;
        sum_ += word * (mix(words_ * 0x9e3779b97f4a7c15U) | 1U);
    }

    std::uint64_t sum_ = 0;
    std::uint64_t words_ = 0;
    std::uint64_t size_ = 0;
};

inline std::uint64_t fingerprint(std::span<const std::byte> bytes) {
    Fingerprint f;
    f.add(bytes);
    return f.value();
}

}  // namespace storybake
