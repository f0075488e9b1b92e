// Composes texts to Unicode's NFC, by a table that codegen/nfc.py makes: characters that a letter and its marks have
// together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace storybake {

/// Views the table, little-endian: u32 numbers of rows of its three parts, then
///
///     u32 decompositions[n][3]    code point, first, second or 0; by code point
///     u32 compositions[n][3]      first, second, code point; by first, then second
///     u32 classes[n]              first code point << 8 | combining class, of runs of equal ones; by code point
class Nfc {
public:
    Nfc() = default;

    /// Tells whether `table` has as many words as its parts take.
    static bool fits(std::span<const std::byte> table);

    /// Takes a table that fits and outlives the view.
    explicit Nfc(std::span<const std::byte> table);

    /// Returns the text in NFC. Bytes that are no UTF-8 stay as they are, and nothing is composed across them.
    [[nodiscard]] std::string compose(std::string_view text) const;

private:
    [[nodiscard]] std::uint32_t word(std::size_t index) const;
    [[nodiscard]] std::uint32_t combining_class(std::uint32_t code) const;
    [[nodiscard]] std::uint32_t composite(std::uint32_t first, std::uint32_t second) const;
    void decompose(std::uint32_t code, std::vector<std::uint32_t>& codes) const;
    void compose(std::vector<std::uint32_t>& codes) const;

    const std::byte* table_ = nullptr;
    std::size_t apart_ = 0;  // rows
    std::size_t together_ = 0;
    std::size_t runs_ = 0;
};

}  // namespace storybake
