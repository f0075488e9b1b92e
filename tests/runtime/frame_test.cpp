// What is around a tokenizer's words: tokens that are found as a whole, spaces, NFC, and how a chat is written down.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "byte_level_blob.hpp"
#include "chat_format.hpp"
#include "little_endian.hpp"
#include "nfc.hpp"
#include "tokenizer.hpp"
#include "utf8.hpp"

namespace storybake {
namespace {

using byte_level::Frame;
using byte_level::kAdded;
using byte_level::kSpecial;
using byte_level::kVocabSize;
using Ids = std::vector<int>;

std::vector<std::byte> bytes_of(const std::vector<std::uint32_t>& words) {
    std::vector<std::byte> bytes;
    for (const std::uint32_t word : words) {
        append(bytes, word);
    }
    return bytes;
}

std::string utf8(std::initializer_list<std::uint32_t> codes) {
    std::string text;
    for (const std::uint32_t code : codes) {
        append_utf8(text, code);
    }
    return text;
}

TEST(Utf8, WhiteSpaceIsUnicodes) {
    const auto is_in = [](std::uint32_t code) {
        for (const auto& [first, last] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{{9, 13},
                                                                                              {' ', ' '},
                                                                                              {0x85, 0x85},
                                                                                              {0xa0, 0xa0},
                                                                                              {0x1680, 0x1680},
                                                                                              {0x2000, 0x200a},
                                                                                              {0x2028, 0x2029},
                                                                                              {0x202f, 0x202f},
                                                                                              {0x205f, 0x205f},
                                                                                              {0x3000, 0x3000}}) {
            if (code >= first && code <= last) {
                return true;
            }
        }
        return false;
    };
    for (std::uint32_t code = 0; code < 0x3100; ++code) {
        ASSERT_EQ(is_white_space(code), is_in(code)) << code;
    }
}

TEST(Utf8, SpaceAroundATextIsCountedByItsCharacters) {
    const std::string wide = utf8({0x3000, 0x2003, 0x85});
    EXPECT_EQ(leading_space(wide + "a " + wide), wide.size());
    EXPECT_EQ(trailing_space("a" + wide + " "), wide.size() + 1);
    EXPECT_EQ(leading_space(wide), wide.size());
    EXPECT_EQ(trailing_space(wide), wide.size());
    EXPECT_EQ(leading_space("") + trailing_space(""), 0U);
    EXPECT_EQ(trailing_space("a\x80\x80\x80\x80\x80"), 0U) << "bytes that continue nothing";
    EXPECT_EQ(trailing_space("\x80"), 0U);
    EXPECT_EQ(trailing_space(utf8({0x1f999})), 0U);
    EXPECT_EQ(trailing_space(" \xe3\x80"), 0U) << "half a character";
}

TEST(Utf8, WhatIsWrittenIsRead) {
    for (const std::uint32_t code :
         {0x0U, 0x7fU, 0x80U, 0x7ffU, 0x800U, 0xd7ffU, 0xe000U, 0xffffU, 0x10000U, 0x10ffffU}) {
        const std::string text = utf8({code});
        EXPECT_EQ(decode_utf8(text).code, code);
        EXPECT_EQ(decode_utf8(text).size, text.size());
    }
    for (const std::string_view none : {"\x80", "\xc1\xbf", "\xf5\x80\x80\x80", "\xe2\x82", "\xe2(\x80", "\xe0\x9f\xbf",
                                        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80"}) {
        EXPECT_EQ(decode_utf8(none).code, kNoCharacter) << none;
        EXPECT_EQ(decode_utf8(none).size, 1U);
    }
}

// Letters with marks, of Unicode's: apart, together, classes. The last row together is what no table should have.
const std::vector<std::uint32_t> kNfc = {5,
                                         6,
                                         5,  //
                                         0xc5,
                                         'A',
                                         0x30a,
                                         0xe9,
                                         'e',
                                         0x301,
                                         0x1e63,
                                         's',
                                         0x323,
                                         0x1e69,
                                         0x1e63,
                                         0x307,
                                         0x212b,
                                         0xc5,
                                         0,  //
                                         'A',
                                         0x30a,
                                         0xc5,
                                         'e',
                                         0x301,
                                         0xe9,
                                         'e',
                                         0x309,
                                         0x1ebb,
                                         's',
                                         0x323,
                                         0x1e63,
                                         'z',
                                         0x301,
                                         0x110000,
                                         0x1e63,
                                         0x307,
                                         0x1e69,  //
                                         0x300 << 8 | 230,
                                         0x316 << 8 | 220,
                                         0x327 << 8 | 202,
                                         0x329 << 8 | 220,
                                         0x330 << 8};

TEST(Nfc, LettersTakeTheirMarksInTheOrderOfTheirClasses) {
    const std::vector<std::byte> table = bytes_of(kNfc);
    ASSERT_TRUE(Nfc::fits(table));
    const Nfc nfc(table);
    const auto composed = [&](std::initializer_list<std::uint32_t> codes) { return nfc.compose(utf8(codes)); };
    EXPECT_EQ(nfc.compose("plain"), "plain");
    EXPECT_EQ(composed({'e', 0x301}), utf8({0xe9}));
    EXPECT_EQ(composed({0xe9}), utf8({0xe9}));
    EXPECT_EQ(composed({0x212b, 'A', 0x30a}), utf8({0xc5, 0xc5})) << "a sign that is another letter";
    EXPECT_EQ(composed({'s', 0x307, 0x323}), utf8({0x1e69})) << "marks in another order";
    EXPECT_EQ(composed({'s', 0x323, 0x307}), utf8({0x1e69}));
    EXPECT_EQ(composed({'e', 0x323, 0x301}), utf8({0xe9, 0x323}));
    EXPECT_EQ(composed({'e', 0x301, 0x301}), utf8({0xe9, 0x301}));
    EXPECT_EQ(composed({'e', 0x302, 0x301}), utf8({'e', 0x302, 0x301}));
    EXPECT_EQ(composed({'e', 'x', 0x301}), utf8({'e', 'x', 0x301}));
    EXPECT_EQ(composed({'e', 0x30f}), utf8({'e', 0x30f})) << "no such letter";
    EXPECT_EQ(composed({'d', 0x301}), utf8({'d', 0x301}));
    EXPECT_EQ(composed({0xfe, 0x309}), utf8({0xfe, 0x309})) << "after the last row";
    EXPECT_EQ(composed({0x1e63, 0x30a}), utf8({0x1e63, 0x30a}));
    EXPECT_EQ(composed({0x301, 'e'}), utf8({0x301, 'e'})) << "a mark of nothing";
    EXPECT_EQ(nfc.compose("e\xff\xcc\x81"), "e\xff\xcc\x81") << "a byte that is no UTF-8 has no marks";
    EXPECT_EQ(composed({'z', 0x301}), "") << "what a damaged table has them be can't be written";
}

TEST(Nfc, SyllablesAreComputed) {
    const std::vector<std::byte> table = bytes_of({0, 0, 0});
    ASSERT_TRUE(Nfc::fits(table));
    const Nfc nfc(table);
    const auto composed = [&](std::initializer_list<std::uint32_t> codes) { return nfc.compose(utf8(codes)); };
    EXPECT_EQ(composed({0x1112, 0x1161, 0x11ab}), utf8({0xd55c}));
    EXPECT_EQ(composed({0xd55c, 0xd558}), utf8({0xd55c, 0xd558}));
    EXPECT_EQ(composed({0xd558, 0x11ab}), utf8({0xd55c}));
    EXPECT_EQ(composed({0xd55c, 0x11ab}), utf8({0xd55c, 0x11ab})) << "has its end";
    EXPECT_EQ(composed({0xd558, 0x11a7}), utf8({0xd558, 0x11a7})) << "no end at all";
    EXPECT_EQ(composed({0xd558, 0x11c3}), utf8({0xd558, 0x11c3}));
    EXPECT_EQ(composed({0x1112, 0x11ab}), utf8({0x1112, 0x11ab}));
    EXPECT_EQ(composed({0x1113, 0x1161}), utf8({0x1113, 0x1161}));
    EXPECT_EQ(composed({0x10ff, 0x1161}), utf8({0x10ff, 0x1161}));
    EXPECT_EQ(composed({0xabff, 0xd7a4}), utf8({0xabff, 0xd7a4}));
}

TEST(Nfc, ATableThatIsNone) {
    const std::vector<std::byte> table = bytes_of(kNfc);
    EXPECT_FALSE(Nfc::fits(std::span(table).first(8)));
    EXPECT_FALSE(Nfc::fits(std::span(table).first(table.size() - 4)));
    const std::vector<std::byte> circle = bytes_of({1, 0, 1, 0xe9, 0xe9, 0x301, 0});
    EXPECT_EQ(Nfc(circle).compose("\xc3\xa9"), utf8({0xe9, 0x301, 0x301, 0x301, 0x301})) << "goes around four times";
}

/// A tokenizer with bytes for its words, and this around them.
struct Framed {
    explicit Framed(const Frame& frame) : blob(byte_level::framed(frame, byte_level::words_blob({0}))) {
        auto view = Tokenizer::view(blob, kVocabSize);
        EXPECT_TRUE(view) << view.failure().message;
        tokenizer.emplace(*view);
    }
    Ids operator()(std::string_view text) const { return tokenizer->encode(text); }

    std::vector<std::byte> blob;
    std::optional<Tokenizer> tokenizer;
};

Frame with(std::uint32_t spaces, std::vector<Frame::Token> added = {{kSpecial, 1, "<s>"}, {kAdded, 0, "<b>"}}) {
    Frame frame;
    frame.flags = spaces << 2;
    frame.added = std::move(added);
    return frame;
}

TEST(Frame, SpacesStandWhereTheirSchemeSays) {
    EXPECT_EQ(Framed(with(0))("x<b>y"), (Ids{'x', kAdded, 'y'}));
    EXPECT_EQ(Framed(with(1))("x<b>y"), (Ids{' ', 'x', kAdded, ' ', 'y'})) << "before each part";
    EXPECT_EQ(Framed(with(1))(" x"), (Ids{' ', ' ', 'x'}));
    EXPECT_EQ(Framed(with(2))("x<b>y<b> z"), (Ids{' ', 'x', kAdded, ' ', 'y', kAdded, ' ', 'z'})) << "but where one is";
    EXPECT_EQ(Framed(with(3))("x<b>y"), (Ids{' ', 'x', kAdded, 'y'})) << "before the first, but where one is";
    EXPECT_EQ(Framed(with(3))(" x<b>y"), (Ids{' ', 'x', kAdded, 'y'}));
    EXPECT_EQ(Framed(with(4))("x<b>y"), (Ids{' ', 'x', kAdded, 'y'})) << "before the first";
    EXPECT_EQ(Framed(with(4))("<b>y"), (Ids{kAdded, 'y'}));
}

TEST(Frame, TokensAreFoundWithTheSpaceThatTheyTake) {
    const Framed strip(with(0, {{kSpecial, 1 | 4, "<s>"}, {kAdded, 8, "<b>"}}));
    EXPECT_EQ(strip("x  <s>  y"), (Ids{'x', kSpecial, ' ', ' ', 'y'}));
    EXPECT_EQ(strip("x <b>  y"), (Ids{'x', ' ', kAdded, 'y'}));
    const Framed normal(with(1, {{kSpecial, 2, " s"}, {kAdded, 0, "<b>"}}));
    EXPECT_EQ(normal("xs sy"), (Ids{' ', 'x', 's', kSpecial, 'y'})) << "no space behind it";
    EXPECT_EQ(normal("s<b>xs s"), (Ids{kSpecial, kAdded, ' ', 'x', 's', kSpecial})) << "in the text with its spaces";
    Frame ends = with(0);
    ends.after = {kSpecial, kAdded};
    ends.flags = 2;
    const Framed after(ends);
    EXPECT_EQ(after("x"), (Ids{'x', kSpecial, kAdded}));
    EXPECT_EQ(after.tokenizer->decode(kSpecial, ' '), "") << "a space behind BOS is dropped";
    EXPECT_EQ(after.tokenizer->decode(kSpecial, 'x'), "x");
    EXPECT_EQ(after.tokenizer->decode(-1, ' '), "");
    EXPECT_EQ(after.tokenizer->decode('x', ' '), " ");
    Frame composed = with(0);
    composed.flags = 1;
    composed.nfc = kNfc;
    EXPECT_EQ(Framed(composed)("e\xcc\x81"), (Ids{byte_level::kEAcute}));
}

TEST(Frame, ATurnIsWrittenAroundItsTokens) {
    const Framed plain(with(4, {{kSpecial, 1 | 8, "<s>"}, {kAdded, 4, "<b>"}}));
    const auto turn = [](const Framed& framed, const ChatFormat::Turn& parts, bool begins) {
        return framed.tokenizer->encode_turn(parts, begins);
    };
    const std::string x = "x";
    EXPECT_EQ(turn(plain, {x}, true), (Ids{' ', 'x'}));
    EXPECT_EQ(turn(plain, {x}, false), (Ids{'x'})) << "goes on";
    EXPECT_EQ(turn(plain, {static_cast<int>(kSpecial), " <s> x "}, false),
              (Ids{kSpecial, ' ', '<', 's', '>', ' ', 'x', ' '}))
        << "special tokens are not found in what somebody says";
    EXPECT_EQ(turn(plain, {"x ", static_cast<int>(kAdded), x}, false), (Ids{'x', kAdded, 'x'}));
    EXPECT_EQ(turn(plain, {"x ", static_cast<int>('y'), x, static_cast<int>('z')}, false),
              (Ids{'x', ' ', 'y', 'x', 'z'}));
    EXPECT_EQ(turn(plain, {"x <b>"}, false), (Ids{'x', kAdded})) << "others are";
    const Framed each(with(1));
    EXPECT_EQ(turn(each, {static_cast<int>(kSpecial), x}, true), (Ids{kSpecial, ' ', 'x'}));
    EXPECT_EQ(turn(each, {static_cast<int>('y'), x}, true), (Ids{'y', 'x'})) << "behind a token that is none of these";
    const Framed without(with(2));
    EXPECT_EQ(turn(without, {static_cast<int>('y'), x}, true), (Ids{'y', 'x'}));
    Frame ends = with(2, {{kAdded, 0, "<b>"}});
    ends.ends = {kAdded, 'z'};
    EXPECT_EQ(turn(Framed(ends), {static_cast<int>('z'), x}, true), (Ids{'z', ' ', 'x'})) << "behind an end";
}

TEST(Frame, WhatPointsElsewhereIsRefused) {
    const auto refused = [](const Frame& frame, int rows = kVocabSize) {
        return !Tokenizer::view(byte_level::framed(frame, byte_level::words_blob({0})), rows);
    };
    EXPECT_FALSE(refused(with(4)));
    EXPECT_TRUE(refused(with(5))) << "no scheme of spaces";
    EXPECT_TRUE(refused(with(0), kVocabSize + 1));
    Frame frame = with(0);
    frame.bos = kVocabSize;
    EXPECT_TRUE(refused(frame));
    for (auto list : {&Frame::before, &Frame::after, &Frame::ends, &Frame::never}) {
        Frame other = with(0);
        other.*list = {0, kVocabSize};
        EXPECT_TRUE(refused(other));
    }
    EXPECT_TRUE(refused(with(0, {{kVocabSize, 0, "<b>"}})));
    EXPECT_TRUE(refused(with(0, {{kAdded, 0, ""}}))) << "a token of no text is found everywhere";
    Frame nfc = with(0);
    nfc.flags = 1;
    nfc.nfc = {1, 0, 0};
    EXPECT_TRUE(refused(nfc));
    // The header's words: 1, bytes of the words; 2, pieces; 11, of the texts; 13, of the chat. From 15 on, the added
    // tokens.
    using Changes = std::vector<std::pair<std::size_t, std::uint32_t>>;
    for (const Changes& changes : {Changes{{1, 0x7fffffff}},
                                   {{2, 0x80000000}},
                                   {{2, kVocabSize + 1}},
                                   {{11, 12}},
                                   {{11, 6}, {13, 2}},
                                   {{13, 4}},
                                   {{18, 9}},
                                   {{17, 6}}}) {
        std::vector<std::byte> blob = byte_level::framed(with(0), byte_level::words_blob({0}));
        for (const auto& [word, value] : changes) {
            std::memcpy(&blob[4 * word], &value, sizeof value);
        }
        EXPECT_FALSE(Tokenizer::view(blob, kVocabSize)) << "word " << changes[0].first << " as " << changes[0].second;
    }
}

/// A format with these parts in its first stretch, of three words each, and this text.
std::vector<std::byte> chat(std::uint32_t flags, std::uint32_t name_size, const std::vector<std::uint32_t>& parts,
                            std::string text) {
    std::vector<std::uint32_t> words = {flags,
                                        name_size,
                                        static_cast<std::uint32_t>(text.size()),
                                        static_cast<std::uint32_t>(parts.size() / 3),
                                        0,
                                        0,
                                        0,
                                        0,
                                        0};
    words.insert(words.end(), parts.begin(), parts.end());
    std::vector<std::byte> blob = bytes_of(words);
    text.resize((text.size() + 3) / 4 * 4);
    const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
    blob.insert(blob.end(), begin, begin + text.size());
    return blob;
}

TEST(ChatFormat, AFormatThatPointsElsewhereIsNone) {
    constexpr std::uint32_t kText = 0xffffffff;
    EXPECT_TRUE(ChatFormat::view(chat(0, 4, {6, 0, 0, kText, 4, 1}, "name>"), 7));
    EXPECT_FALSE(ChatFormat::view(chat(0, 4, {7, 0, 0}, "name>"), 7)) << "no such token";
    EXPECT_FALSE(ChatFormat::view(chat(0, 4, {kText, 4, 2}, "name>"), 7)) << "beyond the text";
    EXPECT_FALSE(ChatFormat::view(chat(0, 4, {kText, 4, 0xffffffff}, "name>"), 7));
    EXPECT_FALSE(ChatFormat::view(chat(0, 6, {}, "name>"), 7)) << "a name longer than all";
    const std::vector<std::byte> whole = chat(0, 4, {}, "name>");
    EXPECT_FALSE(ChatFormat::view(std::span(whole).first(whole.size() - 4), 7));
    EXPECT_FALSE(ChatFormat::view(std::span(whole).first(32), 7));
}

TEST(ChatFormat, IsThatOfTheTokenizerAroundIt) {
    const std::vector<std::byte> words = byte_level::words_blob({0});
    for (const std::uint32_t id : {std::uint32_t{kSpecial}, std::uint32_t{kVocabSize}}) {
        std::vector<std::byte> blob = byte_level::framed(with(0), words);
        const std::vector<std::byte> format = chat(0, 4, {id, 0, 0}, "name");
        const auto size = static_cast<std::uint32_t>(format.size());
        blob.insert(blob.end() - static_cast<std::ptrdiff_t>(words.size()), format.begin(), format.end());
        std::memcpy(&blob[std::size_t{4} * 13], &size, sizeof size);
        EXPECT_EQ(static_cast<bool>(Tokenizer::view(blob, kVocabSize)), id == kSpecial);
    }
}

TEST(ChatFormat, MessagesAreTrimmedWhereItSaysSo) {
    using Between = ChatFormat::Between;
    const std::vector<std::byte> blob = chat(3, 4, {3, 0, 0, 0xffffffff, 4, 1}, "name>");
    const auto format = ChatFormat::view(blob, 7);
    ASSERT_TRUE(format);
    EXPECT_EQ(format->name(), "name");
    EXPECT_TRUE(format->has_system());
    ChatFormat::Turn turn;
    format->append(turn, Between::kUserFirst);
    format->append_user(turn, " hello ");
    EXPECT_EQ(turn, (ChatFormat::Turn{3, ">hello"})) << "texts that follow each other are one";
    ChatFormat::Turn untouched;
    format->append_system(untouched, " s ");
    EXPECT_EQ(untouched, (ChatFormat::Turn{" s "}));
    ChatFormat::Turn empty;
    format->append_user(empty, "  ");
    EXPECT_TRUE(empty.empty());
    format->append(empty, Between::kNextUser);
    EXPECT_TRUE(empty.empty());
    ChatFormat::Turn behind{3};
    format->append_user(behind, "x");
    EXPECT_EQ(behind, (ChatFormat::Turn{3, "x"}));
}

}  // namespace
}  // namespace storybake
