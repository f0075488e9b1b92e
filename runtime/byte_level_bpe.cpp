#include "byte_level_bpe.hpp"

#include <optional>

#include "little_endian.hpp"
#include "merge_pairs.hpp"

namespace storybake {
namespace {

constexpr std::size_t kByteLevelHeaderWords = 9;
constexpr std::uint32_t kNone = 0xffffffff;
constexpr std::uint32_t kWholeWords = 1;

}  // namespace

Result<ByteLevelBpe> ByteLevelBpe::view(std::span<const std::byte> baked, int vocab_size) {
    const auto header = [&](std::size_t index) { return load<std::uint32_t>(&baked[4 * index]); };
    if (baked.size() < 4 * kByteLevelHeaderWords || header(0) != kMagic ||
        header(1) != static_cast<std::uint32_t>(vocab_size)) {
        return failure(kExitBadData, "the baked tokenizer is not one of %d pieces: bake the model again", vocab_size);
    }
    ByteLevelBpe t;
    t.baked_ = baked.data();
    t.merges_count_ = header(3);
    t.kinds_count_ = header(4);
    t.sorted_count_ = header(5);
    t.unk_ = header(6);
    t.rule_ = header(7);
    t.whole_words_ = (header(8) & kWholeWords) != 0;
    t.byte_ids_ = 4 * kByteLevelHeaderWords;
    const std::size_t kinds = t.byte_ids_ + std::size_t{4} * 256;
    t.merges_ = kinds + 4 * std::size_t{t.kinds_count_};
    t.place(t.merges_ + 16 * std::size_t{t.merges_count_}, header(1));
    const std::size_t expected = t.bytes_ + (std::size_t{header(2)} + 3) / 4 * 4;
    if (baked.size() != expected) {
        return failure(kExitBadData, "the baked tokenizer has %zu bytes, expected %zu: bake the model again",
                       baked.size(), expected);
    }
    if (!t.points_inside(header(1), header(2))) {
        return failure(kExitBadData,
                       "the baked tokenizer is damaged: a piece or an id is out of bounds: bake the model again");
    }
    t.words_ = Words(static_cast<WordRule>(t.rule_), {t.baked_ + kinds, t.kinds_count_});
    return t;
}

/// Tells whether every piece lies within `bytes_size` and every id is below `vocab_size`: then nothing that this class
/// does reads elsewhere, whatever befell the blob.
bool ByteLevelBpe::points_inside(std::uint32_t vocab_size, std::uint32_t bytes_size) const {
    if (vocab_size == 0 || kinds_count_ == 0 || rule_ > static_cast<std::uint32_t>(WordRule::kQwen2) ||
        (unk_ >= vocab_size && unk_ != kNone) || word(offsets_) != 0 ||
        word(offsets_ + 4 * std::size_t{vocab_size}) != bytes_size) {
        return false;
    }
    for (std::size_t i = 0; i < vocab_size; ++i) {
        if (word(offsets_ + 4 * (i + 1)) < word(offsets_ + 4 * i)) {
            return false;
        }
    }
    const auto ids_below = [&](std::size_t at, std::size_t count, std::size_t step, std::uint64_t limit) {
        for (std::size_t i = 0; i < count; ++i) {
            if (word(at + step * i) >= limit) {
                return false;
            }
        }
        return true;
    };
    for (std::size_t byte = 0; byte < 256; ++byte) {
        const std::uint32_t id = word(byte_ids_ + 4 * byte);
        if (id >= vocab_size && id != kNone) {
            return false;
        }
    }
    return ids_below(merges_ + 8, merges_count_, 16, vocab_size) && ids_below(sorted_, sorted_count_, 4, vocab_size);
}

void ByteLevelBpe::encode_word(std::string_view text, std::vector<int>& ids) const {
    if (whole_words_) {
        if (const int id = find(text); id >= 0) {
            ids.push_back(id);
            return;
        }
    }
    std::vector<int> symbols;
    symbols.reserve(text.size());
    for (const char c : text) {
        const std::uint32_t id = word(byte_ids_ + 4 * std::size_t{static_cast<unsigned char>(c)});
        if (id != kNone || unk_ != kNone) {
            symbols.push_back(static_cast<int>(id != kNone ? id : unk_));
        }
    }
    merge_pairs(symbols, [&](int left, int right) -> std::optional<Merge> {
        const std::uint64_t key = std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
                                  static_cast<std::uint32_t>(right);  // as right, left lie in memory
        std::size_t low = 0;
        std::size_t high = merges_count_;
        while (low < high) {
            const std::size_t middle = low + (high - low) / 2;
            if (load<std::uint64_t>(baked_ + merges_ + 16 * middle) < key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        const std::size_t at = merges_ + 16 * low;
        if (low == merges_count_ || load<std::uint64_t>(baked_ + at) != key) {
            return std::nullopt;
        }
        return Merge{-static_cast<float>(word(at + 12)), static_cast<int>(word(at + 8))};
    });
    ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void ByteLevelBpe::encode(std::string_view text, bool /*spaced*/, std::vector<int>& ids) const {
    words_.each(text, [&](std::string_view one) { encode_word(one, ids); });
}

}  // namespace storybake
