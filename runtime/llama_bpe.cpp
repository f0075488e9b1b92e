#include "llama_bpe.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "little_endian.hpp"
#include "merge_pairs.hpp"

namespace storybake {
namespace {

static_assert(std::endian::native == std::endian::little, "the blob and tokenizer.bin are little-endian");

constexpr std::size_t kLlamaHeaderWords = 6;
constexpr int kFirstByte = 3;  // id of <0x00> in llama2.c's files
constexpr int kByteTokens = 256;

struct Piece {
    std::string_view text;
    float score;
};

/// Splits the file into pieces; returns as many as it holds, so that a message can say so.
Result<std::vector<Piece>> read_pieces(std::span<const std::byte> file, int vocab_size, const char* name) {
    if (file.size() < 4) {
        return failure(kExitBadData, "%s: %zu bytes, a tokenizer.bin has at least 4: is it the right file?", name,
                       file.size());
    }
    std::vector<Piece> pieces;
    pieces.reserve(static_cast<std::size_t>(vocab_size));
    std::size_t at = 4;
    std::size_t longest = 0;
    while (at < file.size()) {
        const std::size_t id = pieces.size();
        const std::size_t left = file.size() - at;
        if (left < 8) {
            return failure(kExitBadData,
                           "%s: piece %zu: found %zu bytes, need 8 for its score and length; the model has %d pieces: "
                           "is the file cut short, or another vocabulary's?",
                           name, id, left, vocab_size);
        }
        const float score = load<float>(&file[at]);
        const auto length = load<std::int32_t>(&file[at + 4]);
        if (length < 1 || static_cast<std::size_t>(length) > left - 8) {
            return failure(kExitBadData,
                           "%s: piece %zu: found a length of %d, need 1 to %zu, the bytes left; the model has %d "
                           "pieces: is the file cut short, or another vocabulary's?",
                           name, id, length, left - 8, vocab_size);
        }
        if (!std::isfinite(score)) {
            return failure(kExitBadData, "%s: piece %zu: its score is not finite: export the tokenizer again", name,
                           id);
        }
        const auto size = static_cast<std::size_t>(length);
        const std::string_view text(reinterpret_cast<const char*>(&file[at + 8]), size);
        if (text.find('\0') != std::string_view::npos) {
            return failure(kExitBadData, "%s: piece %zu: found a zero byte, need text: export the tokenizer again",
                           name, id);
        }
        pieces.push_back({text, score});
        longest = std::max(longest, size);
        at += 8 + size;
    }
    if (pieces.size() != static_cast<std::size_t>(vocab_size)) {
        return failure(kExitBadData, "%s: found %zu pieces, the model has %d: give the tokenizer of this model", name,
                       pieces.size(), vocab_size);
    }
    const auto declared = load<std::uint32_t>(file.data());
    if (declared != longest) {
        return failure(kExitBadData, "%s: max_token_length: found %u, the longest piece has %zu bytes: export it again",
                       name, declared, longest);
    }
    return pieces;
}

bool is_byte_token(std::string_view piece, int byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    const char expected[] = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
    return piece == std::string_view(expected, sizeof expected);
}

}  // namespace

Result<std::vector<std::byte>> bake_tokenizer(std::span<const std::byte> file, int vocab_size, const char* name) {
    Result<std::vector<Piece>> read = read_pieces(file, vocab_size, name);
    if (!read) {
        return read.failure();
    }
    const std::vector<Piece>& pieces = *read;

    int byte_tokens = 0;
    for (int byte = 0; byte < kByteTokens && kFirstByte + byte < vocab_size; ++byte) {
        byte_tokens +=
            is_byte_token(pieces[static_cast<std::size_t>(kFirstByte) + static_cast<std::size_t>(byte)].text, byte) ? 1
                                                                                                                    : 0;
    }
    if (byte_tokens != 0 && byte_tokens != kByteTokens) {
        return failure(kExitBadData,
                       "%s: found %d of the byte tokens <0x00> to <0xFF> at ids 3 to 258, need all 256 or none: "
                       "export the tokenizer again",
                       name, byte_tokens);
    }
    if (std::ranges::find(pieces, " ", &Piece::text) == pieces.end()) {
        return failure(kExitBadData,
                       "%s: found no piece for a single space, need one to begin a prompt with: export it again", name);
    }

    std::vector<std::uint32_t> sorted(pieces.size());
    std::size_t bytes_size = 0;
    std::size_t longest = 0;
    for (std::size_t id = 0; id < pieces.size(); ++id) {
        sorted[id] = static_cast<std::uint32_t>(id);
        bytes_size += pieces[id].text.size();
        longest = std::max(longest, pieces[id].text.size());
    }
    std::sort(sorted.begin(), sorted.end(), [&](std::uint32_t a, std::uint32_t b) {
        const int order = pieces[a].text.compare(pieces[b].text);
        return order != 0 ? order < 0 : a < b;
    });

    std::vector<std::byte> blob;
    blob.reserve(4 * (kLlamaHeaderWords + 3 * pieces.size() + 1) + bytes_size + 3);
    append(blob, LlamaBpe::kMagic);
    append(blob, static_cast<std::uint32_t>(vocab_size));
    append(blob, static_cast<std::uint32_t>(bytes_size));
    append(blob, static_cast<std::uint32_t>(longest));
    append(blob, static_cast<std::uint32_t>(pieces.size()));
    append(blob, static_cast<std::uint32_t>(byte_tokens == kByteTokens ? kFirstByte : 0));
    for (const Piece& piece : pieces) {
        append(blob, piece.score);
    }
    std::uint32_t offset = 0;
    append(blob, offset);
    for (const Piece& piece : pieces) {
        offset += static_cast<std::uint32_t>(piece.text.size());
        append(blob, offset);
    }
    for (const std::uint32_t id : sorted) {
        append(blob, id);
    }
    for (const Piece& piece : pieces) {
        const auto* text = reinterpret_cast<const std::byte*>(piece.text.data());
        blob.insert(blob.end(), text, text + piece.text.size());
    }
    blob.resize((blob.size() + 3) / 4 * 4);
    return blob;
}

Result<LlamaBpe> LlamaBpe::view(std::span<const std::byte> baked, int vocab_size) {
    const auto header = [&](std::size_t index) { return load<std::uint32_t>(&baked[4 * index]); };
    if (baked.size() < 4 * kLlamaHeaderWords || header(0) != LlamaBpe::kMagic ||
        header(1) != static_cast<std::uint32_t>(vocab_size)) {
        return failure(kExitBadData, "the baked tokenizer is not one of %d pieces: bake the model again", vocab_size);
    }
    LlamaBpe t;
    t.baked_ = baked.data();
    t.vocab_size_ = header(1);
    t.max_piece_ = header(3);
    t.sorted_count_ = header(4);
    t.first_byte_ = header(5);
    t.scores_ = 4 * kLlamaHeaderWords;
    t.place(t.scores_ + 4 * std::size_t{t.vocab_size_}, t.vocab_size_);
    const std::size_t expected = t.bytes_ + (std::size_t{header(2)} + 3) / 4 * 4;
    if (baked.size() != expected) {
        return failure(kExitBadData, "the baked tokenizer has %zu bytes, expected %zu: bake the model again",
                       baked.size(), expected);
    }
    if (!t.points_inside(header(2))) {
        return failure(kExitBadData,
                       "the baked tokenizer is damaged: a piece or an id is out of bounds: bake the model "
                       "again");
    }
    return t;
}

/// Tells whether every piece lies within `bytes_size`, none longer than max_piece_, and every id is below vocab_size_:
/// then nothing that this class does reads elsewhere, whatever befell the blob.
bool LlamaBpe::points_inside(std::uint32_t bytes_size) const {
    const std::uint32_t pieces = vocab_size_;
    if ((first_byte_ != 0 && pieces < std::uint64_t{first_byte_} + kByteTokens) || pieces <= kEos ||
        word(offsets_) != 0 || word(offsets_ + 4 * std::size_t{pieces}) != bytes_size) {
        return false;
    }
    for (std::size_t i = 0; i < pieces; ++i) {
        const std::uint32_t begin = word(offsets_ + 4 * i);
        const std::uint32_t end = word(offsets_ + 4 * (i + 1));
        if (end < begin || end - begin > max_piece_) {
            return false;
        }
    }
    for (std::size_t i = 0; i < sorted_count_; ++i) {
        if (word(sorted_ + 4 * i) >= pieces) {
            return false;
        }
    }
    return true;
}

float LlamaBpe::score(int id) const {
    return load<float>(baked_ + scores_ + 4 * static_cast<std::size_t>(id));
}

void LlamaBpe::add_character(std::string_view character, std::vector<int>& ids) const {
    if (const int id = find(character); id >= 0) {
        ids.push_back(id);
        return;
    }
    if (first_byte_ == 0) {
        ids.push_back(kUnk);
        return;
    }
    for (const char c : character) {
        ids.push_back(static_cast<int>(first_byte_ + static_cast<unsigned char>(c)));
    }
}

void LlamaBpe::encode(std::string_view text, bool spaced, std::vector<int>& found) const {
    std::vector<int> ids;
    ids.reserve(text.size());
    const auto continues = [&](std::size_t at) {
        return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U;
    };
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t end = begin + 1;
        while (end - begin < 4 && continues(end) && !(spaced && begin == 0)) {
            ++end;
        }
        add_character(text.substr(begin, end - begin), ids);
        begin = end;
    }

    std::string pair;
    merge_pairs(ids, [&](int left, int right) -> std::optional<Merge> {
        const std::string_view a = piece(left);
        const std::string_view b = piece(right);
        if (a.size() + b.size() > max_piece_) {
            return std::nullopt;
        }
        pair.assign(a);
        pair.append(b);
        const int merged = find(pair);
        // llama2.c starts its search at -1e10 and so never merges into a piece of that score or less.
        if (merged < 0 || score(merged) <= -1e10F) {
            return std::nullopt;
        }
        return Merge{score(merged), merged};
    });
    found.insert(found.end(), ids.begin(), ids.end());
}

std::string_view LlamaBpe::decode(int token) const {
    static constexpr auto kBytes = [] {
        struct {
            char value[kByteTokens];
        } bytes{};
        for (int i = 0; i < kByteTokens; ++i) {
            bytes.value[i] = static_cast<char>(i);
        }
        return bytes;
    }();
    const auto byte = static_cast<std::uint32_t>(token) - first_byte_;  // too large before it
    if (first_byte_ != 0 && byte < static_cast<std::uint32_t>(kByteTokens)) {
        return {&kBytes.value[byte], 1};
    }
    return piece(token);
}

}  // namespace storybake
