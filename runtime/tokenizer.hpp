// Wraps the tokenizer that was baked with the model: one of the kinds that the runtime knows, and what is around its
// words.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "byte_level_bpe.hpp"
#include "chat_format.hpp"
#include "fail.hpp"
#include "llama_bpe.hpp"
#include "nfc.hpp"

namespace storybake {

/// Views a baked tokenizer. The blob, which codegen/frame.py writes, is little-endian:
///
///     u32 magic, words_size, pieces, rows, bos, flags                    the header, 56 bytes
///     u32 before, after, ends, never, added, text_size, nfc, chat_size
///     u32 before[before], after[after]   ids around every text
///     u32 ends[ends]                     ids that end a text
///     u32 never[never]                   ids that are no piece: they may not be sampled
///     u32 added[added][4]                id, flags, begin and size of the text, of the tokens that are found in a text
///     as
///                                        a whole, longest first. flags: 1, special; 2, looked for after a text was
///                                        normalised; 4 and 8, takes white space before and after it along
///     u32 nfc[nfc]                       see Nfc; none of a tokenizer that doesn't normalise
///     u8  text[text_size]                of added tokens
///     u8  chat[chat_size]                see ChatFormat; none of a model that doesn't chat
///     u8  words[words_size]              the kind's own blob
///
/// flags: 1, NFC; 2, a space at the beginning is not printed; from 4 on, see Spaces. There may be more pieces than rows
/// of the model. A blob of llama2.c's kind alone is one as well: BOS comes first, with a space after it, and BOS and
/// EOS end a text.
class Tokenizer {
public:
    static constexpr std::uint32_t kMagic = 0x46544253;  // "SBTF"

    /// Takes what codegen/frame.py or bake_tokenizer() made, which outlives the view; nothing is copied. Fails when it
    /// is not for a model of `rows` rows, or points outside of itself: a damaged blob gives wrong text at worst.
    static Result<Tokenizer> view(std::span<const std::byte> baked, int rows);

    /// Names the kind, for people.
    [[nodiscard]] const char* kind() const;

    /// Returns the ids of a text; one at least: what comes before and after every text is around them, and tokens that
    /// are found as a whole stand where they are. Ids are below pieces().
    [[nodiscard]] std::vector<int> encode(std::string_view text) const;

    /// Returns the ids of a chat's turn: text between special tokens that are known by their ids. What somebody says
    /// names none. `begins`: nothing was before it; else an answer was.
    [[nodiscard]] std::vector<int> encode_turn(const ChatFormat::Turn& turn, bool begins) const;

    /// Returns the bytes that `token` stands for after `previous`, or as the first one where that is negative: maybe a
    /// part of a character, maybe none. Both ids are below pieces().
    [[nodiscard]] std::string_view decode(int previous, int token) const;

    /// Returns the piece of an id as it is in the vocabulary.
    [[nodiscard]] std::string_view piece(int id) const;

    [[nodiscard]] int pieces() const { return pieces_; }

    /// Returns the token that begins a text.
    [[nodiscard]] int bos() const { return bos_; }

    /// Tells whether the model ends a text with this token: EOS, BOS of another text, or their like.
    [[nodiscard]] bool ends_text(int token) const;

    /// Returns the ids that end a text, and those that may not be sampled.
    [[nodiscard]] std::vector<int> ends() const { return ids(ends_); }
    [[nodiscard]] std::vector<int> never() const { return ids(never_); }

    /// Says how a chat is written down; none when the model doesn't chat.
    [[nodiscard]] const std::optional<ChatFormat>& chat() const { return chat_; }

private:
    /// Says which parts of a text, between tokens that are found as a whole, get a space in front.
    enum class Spaces : std::uint32_t { kNone, kEach, kEachWithout, kFirstWithout, kFirst };
    /// Says which tokens are looked for.
    enum class Found : std::uint8_t { kPlain, kAll };
    /// Says where a part of a text is: at its beginning, after a token that stands for itself, or after others of the
    /// same part.
    enum class Place : std::uint8_t { kFirst, kInside, kContinued };
    struct Range {
        const std::byte* words = nullptr;
        std::size_t count = 0;
    };
    struct Added {
        int id;
        std::uint32_t flags;
        std::string_view text;
    };
    struct Match {
        std::size_t begin, end;
        int id;
    };
    using Kind = std::variant<LlamaBpe, ByteLevelBpe>;

    explicit Tokenizer(Kind kind) : kind_(kind) {}
    static Result<Kind> view_kind(std::span<const std::byte> words, int pieces);
    bool take_frame(std::span<const std::byte> baked);
    [[nodiscard]] static std::vector<int> ids(const Range& range);
    [[nodiscard]] Added added(std::size_t index) const;
    [[nodiscard]] Match find_added(std::string_view text, std::size_t from, Found found, bool normalized) const;
    [[nodiscard]] std::optional<std::uint32_t> added_flags(int id) const;
    void encode_found(std::string_view text, Place place, Found found, std::vector<int>& ids) const;
    void encode_part(std::string_view text, Place place, Found found, std::vector<int>& ids) const;
    void encode_words(std::string_view text, Place place, bool spaced, std::vector<int>& ids) const;

    Kind kind_;
    int pieces_ = 0;
    int bos_ = kBos;
    Spaces spaces_ = Spaces::kFirst;
    bool strip_ = true;
    bool any_normalized_ = false;
    Range before_, after_, ends_, never_, added_;
    std::bitset<256> starts_;  // marks the first bytes of added tokens
    const char* text_ = nullptr;
    std::optional<Nfc> nfc_;
    std::optional<ChatFormat> chat_;
};

}  // namespace storybake
