#include "tokenizer.hpp"

#include <algorithm>

#include "little_endian.hpp"
#include "utf8.hpp"

namespace storybake {
namespace {

constexpr std::size_t kTokenizerHeaderWords = 14;
constexpr std::uint32_t kNfc = 1;
constexpr std::uint32_t kStrip = 2;
constexpr std::uint32_t kSpacesShift = 2;
enum AddedFlag : std::uint32_t { kSpecial = 1, kNormalized = 2, kLeftStrip = 4, kRightStrip = 8 };

std::uint32_t word_of(const std::byte* words, std::size_t index) {
    return load<std::uint32_t>(words + 4 * index);
}

std::string after_space(std::string_view text) {
    std::string spaced(1, ' ');
    spaced.append(text);
    return spaced;
}

}  // namespace

Result<Tokenizer::Kind> Tokenizer::view_kind(std::span<const std::byte> words, int pieces) {
    if (words.size() >= 4 && load<std::uint32_t>(words.data()) == ByteLevelBpe::kMagic) {
        const Result<ByteLevelBpe> byte_level = ByteLevelBpe::view(words, pieces);
        return byte_level ? Result<Kind>(*byte_level) : byte_level.failure();
    }
    const Result<LlamaBpe> llama = LlamaBpe::view(words, pieces);
    return llama ? Result<Kind>(*llama) : llama.failure();
}

Result<Tokenizer> Tokenizer::view(std::span<const std::byte> baked, int rows) {
    const bool framed = baked.size() >= 4 * kTokenizerHeaderWords && word_of(baked.data(), 0) == kMagic;
    if (!framed) {
        const Result<Kind> kind = view_kind(baked, rows);
        if (!kind) {
            return kind.failure();
        }
        static constexpr std::uint32_t kLlama2c[] = {kBos, kEos};
        Tokenizer t(*kind);
        t.pieces_ = rows;
        t.ends_ = {reinterpret_cast<const std::byte*>(kLlama2c), 2};
        t.before_ = {t.ends_.words, 1};
        t.chat_ = ChatFormat::llama2();
        return t;
    }
    const std::uint32_t pieces = word_of(baked.data(), 2);
    const std::size_t words_size = word_of(baked.data(), 1);
    if (word_of(baked.data(), 3) != static_cast<std::uint32_t>(rows) || pieces > 0x7fffffffU ||
        words_size > baked.size() - 4 * kTokenizerHeaderWords) {
        return failure(kExitBadData, "the baked tokenizer is not one for %d rows: bake the model again", rows);
    }
    const Result<Kind> kind = view_kind(baked.last(words_size), static_cast<int>(pieces));
    if (!kind) {
        return kind.failure();
    }
    Tokenizer t(*kind);
    t.pieces_ = static_cast<int>(pieces);
    if (!t.take_frame(baked.first(baked.size() - words_size))) {
        return failure(kExitBadData,
                       "the baked tokenizer is damaged: a token or an id is out of bounds: bake the model again");
    }
    return t;
}

/// Takes what is around the words; returns whether every id is below pieces_ and every text inside: then nothing that
/// this class does reads elsewhere, whatever befell the blob.
bool Tokenizer::take_frame(std::span<const std::byte> baked) {
    const auto header = [&](std::size_t index) { return word_of(baked.data(), index); };
    std::size_t at = kTokenizerHeaderWords;
    std::uint64_t need = kTokenizerHeaderWords;
    for (const std::size_t index : {6, 7, 8, 9, 10, 10, 10, 10, 12}) {
        need += header(index);
    }
    const std::size_t text_size = header(11);
    const std::size_t chat_size = header(13);
    if (baked.size() != 4 * need + text_size + chat_size || text_size % 4 != 0) {
        return false;
    }
    const auto take = [&](std::size_t index, std::size_t words) {
        const Range range{baked.data() + 4 * at, header(index)};
        at += words * range.count;
        return range;
    };
    before_ = take(6, 1);
    after_ = take(7, 1);
    ends_ = take(8, 1);
    never_ = take(9, 1);
    added_ = take(10, 4);
    const Range table = take(12, 1);
    text_ = reinterpret_cast<const char*>(baked.data() + 4 * at);
    bos_ = static_cast<int>(header(4));
    strip_ = (header(5) & kStrip) != 0;
    const std::uint32_t spaces = header(5) >> kSpacesShift;
    spaces_ = static_cast<Spaces>(spaces);
    const auto limit = static_cast<std::uint32_t>(pieces_);
    if (header(4) >= limit || spaces > static_cast<std::uint32_t>(Spaces::kFirst)) {
        return false;
    }
    for (const Range& range : {before_, after_, ends_, never_}) {
        for (std::size_t i = 0; i < range.count; ++i) {
            if (word_of(range.words, i) >= limit) {
                return false;
            }
        }
    }
    for (std::size_t i = 0; i < added_.count; ++i) {
        const std::uint64_t size = word_of(added_.words, 4 * i + 3);
        if (word_of(added_.words, 4 * i) >= limit || size == 0 || word_of(added_.words, 4 * i + 2) + size > text_size) {
            return false;
        }
        const Added token = added(i);
        starts_.set(static_cast<unsigned char>(token.text.front()));
        any_normalized_ = any_normalized_ || (token.flags & kNormalized) != 0;
    }
    if ((header(5) & kNfc) != 0) {
        const std::span<const std::byte> words(table.words, 4 * table.count);
        if (!Nfc::fits(words)) {
            return false;
        }
        nfc_.emplace(words);
    }
    if (chat_size != 0) {
        chat_ = ChatFormat::view(baked.last(chat_size), pieces_);
        return chat_.has_value();
    }
    return true;
}

const char* Tokenizer::kind() const {
    return std::visit([](const auto& kind) { return kind.kName; }, kind_);
}

std::string_view Tokenizer::piece(int id) const {
    return std::visit([&](const auto& kind) { return kind.piece(id); }, kind_);
}

std::vector<int> Tokenizer::ids(const Range& range) {
    std::vector<int> found(range.count);
    for (std::size_t i = 0; i < range.count; ++i) {
        found[i] = static_cast<int>(word_of(range.words, i));
    }
    return found;
}

bool Tokenizer::ends_text(int token) const {
    for (std::size_t i = 0; i < ends_.count; ++i) {
        if (word_of(ends_.words, i) == static_cast<std::uint32_t>(token)) {
            return true;
        }
    }
    return false;
}

Tokenizer::Added Tokenizer::added(std::size_t index) const {
    const std::byte* const row = added_.words + 16 * index;
    return {static_cast<int>(word_of(row, 0)), word_of(row, 1), {text_ + word_of(row, 2), word_of(row, 3)}};
}

/// Finds the first place at `from` or after it where an added token begins, and the longest one there; else the text's
/// end.
Tokenizer::Match Tokenizer::find_added(std::string_view text, std::size_t from, Found found, bool normalized) const {
    for (std::size_t at = from; at < text.size(); ++at) {
        if (!starts_[static_cast<unsigned char>(text[at])]) {
            continue;
        }
        for (std::size_t i = 0; i < added_.count; ++i) {
            const Added token = added(i);
            if (text.substr(at, token.text.size()) != token.text || ((token.flags & kNormalized) != 0) != normalized ||
                (found == Found::kPlain && (token.flags & kSpecial) != 0)) {
                continue;
            }
            Match match{at, at + token.text.size(), token.id};
            if ((token.flags & kLeftStrip) != 0) {
                match.begin -= trailing_space(text.substr(from, at - from));
            }
            if ((token.flags & kRightStrip) != 0) {
                match.end += leading_space(text.substr(match.end));
            }
            return match;
        }
    }
    return {text.size(), text.size(), -1};
}

/// Returns the flags of a token that is found as a whole.
std::optional<std::uint32_t> Tokenizer::added_flags(int id) const {
    for (std::size_t i = 0; i < added_.count; ++i) {
        if (word_of(added_.words, 4 * i) == static_cast<std::uint32_t>(id)) {
            return word_of(added_.words, 4 * i + 1);
        }
    }
    return std::nullopt;
}

std::vector<int> Tokenizer::encode(std::string_view text) const {
    std::vector<int> found = ids(before_);
    encode_found(text, Place::kFirst, Found::kAll, found);
    for (std::size_t i = 0; i < after_.count; ++i) {
        found.push_back(static_cast<int>(word_of(after_.words, i)));
    }
    if (found.empty()) {
        found.push_back(bos_);
    }
    return found;
}

std::vector<int> Tokenizer::encode_turn(const ChatFormat::Turn& turn, bool begins) const {
    std::vector<int> found;
    Place place = begins ? Place::kFirst : Place::kContinued;
    std::uint32_t before = 0;  // holds the flags of the token before a text
    for (std::size_t i = 0; i < turn.size(); ++i) {
        if (const int* id = std::get_if<int>(&turn[i])) {
            found.push_back(*id);
            const std::optional<std::uint32_t> flags = added_flags(*id);
            before = flags.value_or(0);
            place = *id == bos_ && spaces_ == Spaces::kFirst ? Place::kFirst
                    : flags || ends_text(*id)                ? Place::kInside
                                                             : Place::kContinued;  // continues an answer
            continue;
        }
        std::string_view text = std::get<std::string>(turn[i]);
        if ((before & kRightStrip) != 0) {
            text.remove_prefix(leading_space(text));
        }
        const int* const next = i + 1 < turn.size() ? std::get_if<int>(&turn[i + 1]) : nullptr;
        if (next != nullptr && (added_flags(*next).value_or(0) & kLeftStrip) != 0) {
            text.remove_suffix(trailing_space(text));
        }
        encode_found(text, place, Found::kPlain, found);
        before = 0;
    }
    return found;
}

/// Appends the ids of a text.
void Tokenizer::encode_found(std::string_view text, Place place, Found found, std::vector<int>& ids) const {
    for (std::size_t at = 0; at < text.size(); place = Place::kInside) {
        const Match match = find_added(text, at, found, false);
        encode_part(text.substr(at, match.begin - at), place, found, ids);
        if (match.id >= 0) {
            ids.push_back(match.id);
        }
        at = match.end;
    }
}

/// Appends the ids of a part between tokens that are found in the text as it is.
void Tokenizer::encode_part(std::string_view text, Place place, Found found, std::vector<int>& ids) const {
    if (text.empty()) {
        return;
    }
    std::string normal;
    if (nfc_) {
        normal = nfc_->compose(text);
        text = normal;
    }
    // This space belongs to normalising, the other ones to cutting words.
    const bool spaced = (spaces_ == Spaces::kEach && place != Place::kContinued) ||
                        (spaces_ == Spaces::kFirst && place == Place::kFirst);
    if (spaced) {
        normal = after_space(text);
        text = normal;
    }
    if (!any_normalized_) {
        encode_words(text, place, spaced, ids);
        return;
    }
    for (std::size_t at = 0; at < text.size(); place = Place::kInside) {
        const Match match = find_added(text, at, found, true);
        encode_words(text.substr(at, match.begin - at), place, spaced && at == 0, ids);
        if (match.id >= 0) {
            ids.push_back(match.id);
        }
        at = match.end;
    }
}

/// Appends the ids of a part without any token that is found as a whole.
void Tokenizer::encode_words(std::string_view text, Place place, bool spaced, std::vector<int>& ids) const {
    if (text.empty()) {
        return;
    }
    std::string with_space;
    const bool wanted = (spaces_ == Spaces::kEachWithout && place != Place::kContinued) ||
                        (spaces_ == Spaces::kFirstWithout && place == Place::kFirst);
    if (wanted && text.front() != ' ') {
        with_space = after_space(text);
        text = with_space;
        spaced = true;
    }
    std::visit([&](const auto& kind) { kind.encode(text, spaced, ids); }, kind_);
}

std::string_view Tokenizer::decode(int previous, int token) const {
    if ((added_flags(token).value_or(0) & kSpecial) != 0) {
        return {};
    }
    std::string_view text = std::visit([&](const auto& kind) { return kind.decode(token); }, kind_);
    if (strip_ && (previous < 0 || previous == bos_) && !text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    return text;
}

}  // namespace storybake
