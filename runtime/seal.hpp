// Proves the program's own file: what the linker made, byte for byte, but for symbols that were stripped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "fail.hpp"

namespace storybake {

/// Holds what codegen/seal.py writes into the finished program. The file has two parts: the loaded one, from behind its
/// first 64 bytes to the end of its last segment, without the two fingerprints themselves; and the rest, the first 64
/// bytes and the symbols, which strip(1) takes away.
struct Seal {
    static constexpr std::size_t kHeader = 64;        // bytes of an ELF header, which says where the symbols are
    static constexpr std::size_t kFingerprints = 16;  // bytes

    char mark[16];             // is where codegen/seal.py finds it
    std::uint64_t at;          // offset of `loaded` in the file
    std::uint64_t loaded_end;  // offset of the end of the last segment
    std::uint64_t size;        // bytes of the file; 0 before it is sealed
    std::uint64_t loaded;      // fingerprints the loaded part
    std::uint64_t rest;        // fingerprints the rest
};

/// Compares the bytes of a program's file with its seal. Returns what was proven; fails with 70.
Result<std::string> check_seal(std::span<const std::byte> file, const Seal& seal);

/// Compares the running program's file, by way of the page cache that it runs from. Fails with 66 and 74 as well where
/// there is no /proc. Programs that are no ELF files have no seal, which is said.
Result<std::string> check_program();

}  // namespace storybake
