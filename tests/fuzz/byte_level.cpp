// Encoding a prompt by a byte-level vocabulary: any bytes, by each rule of cutting words. Every text comes back, but
// for the special tokens that it names.

#include <algorithm>
#include <string>
#include <vector>

#include "byte_level_bpe.hpp"
#include "fuzz.hpp"
#include "little_endian.hpp"

namespace storybake {
namespace {

constexpr std::uint32_t kRules = 4;
constexpr std::uint32_t kSpecial = 256 + 5;  // "<s>"; the next is added but not special
constexpr int kVocabSize = 256 + 7;

/// Bytes, a few merges of them, and two added tokens; see byte_level_bpe.hpp for the layout.
std::vector<std::byte> bake(std::uint32_t rule) {
    const char* const made[] = {"ab", "ba", "aba", " a", "\xc3\xa9", "<s>", "<b>"};
    const struct {
        std::uint32_t right, left, merged, rank;
    } merges[] = {
        // by left, then right
        {'a', ' ', 259, 3}, {'b', 'a', 256, 0}, {'a', 'b', 257, 1}, {0xa9, 0xc3, 260, 4}, {'a', 256, 258, 2},
    };
    const struct {
        std::uint32_t first;
        CharKind kind;
    } kinds[] = {
        {0, CharKind::kOther},        {'\t', CharKind::kSpace},    {0xe, CharKind::kOther},
        {' ', CharKind::kSpace},      {'!', CharKind::kOther},     {'0', CharKind::kNumber},
        {':', CharKind::kOther},      {'A', CharKind::kLetter},    {'[', CharKind::kOther},
        {'a', CharKind::kLetter},     {'{', CharKind::kOther},     {0xa0, CharKind::kSpace},
        {0xa1, CharKind::kOther},     {0xc0, CharKind::kLetter},   {0x2000, CharKind::kSpace},
        {0x200b, CharKind::kOther},   {0x4e00, CharKind::kLetter}, {0xa000, CharKind::kOther},
        {0x1d7ce, CharKind::kNumber}, {0x1d800, CharKind::kOther},
    };
    std::string bytes;
    std::vector<std::uint32_t> offsets{0};
    for (int byte = 0; byte < 256; ++byte) {
        bytes += static_cast<char>(byte);
        offsets.push_back(static_cast<std::uint32_t>(bytes.size()));
    }
    for (const char* piece : made) {
        bytes += piece;
        offsets.push_back(static_cast<std::uint32_t>(bytes.size()));
    }
    std::vector<std::byte> blob;
    const auto put = [&](auto... values) { (append(blob, static_cast<std::uint32_t>(values)), ...); };
    put(ByteLevelBpe::kMagic, kVocabSize, bytes.size(), std::size(merges), 2, std::size(kinds), 0, 1);
    put(kSpecial, 0xffffffffU, rule, 1, kSpecial);
    for (int byte = 0; byte < 256; ++byte) {
        put(byte);
    }
    for (const auto& run : kinds) {
        put(run.first << 2 | static_cast<std::uint32_t>(run.kind));
    }
    put(kSpecial << 1 | 1U, (kSpecial + 1) << 1);
    for (const auto& merge : merges) {
        put(merge.right, merge.left, merge.merged, merge.rank);
    }
    for (const std::uint32_t offset : offsets) {
        put(offset);
    }
    bytes.resize((bytes.size() + 3) / 4 * 4);
    const auto* const begin = reinterpret_cast<const std::byte*>(bytes.data());
    blob.insert(blob.end(), begin, begin + bytes.size());
    return blob;
}

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
    static const std::vector<std::byte> blobs[kRules] = {bake(0), bake(1), bake(2), bake(3)};
    fuzz::Input input(data, size);
    const std::vector<std::byte>& blob = blobs[input.byte() % kRules];
    const Result<ByteLevelBpe> tokenizer = ByteLevelBpe::view(blob, kVocabSize);
    fuzz::require(static_cast<bool>(tokenizer), "the vocabulary is valid");
    const std::string_view text = input.text();
    const std::vector<int> ids = tokenizer->encode(text);
    fuzz::require(ids.front() == tokenizer->bos(), "BOS comes first");
    std::string decoded;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        fuzz::require(ids[i] >= 0 && ids[i] < kVocabSize, "ids are below vocab_size");
        decoded += tokenizer->decode(ids[i - 1], ids[i]);
    }
    fuzz::require(decoded == expected_of(text), "every text comes back");
    return 0;
}
