#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "byte_level_blob.hpp"
#include "merge_pairs.hpp"
#include "tokenizer.hpp"

namespace storybake {
namespace {

using byte_level::blob;
using byte_level::kVocabSize;

std::vector<std::string> words_of(WordRule rule, std::string_view text) {
    const std::vector<std::uint32_t> kinds = byte_level::kinds();
    const auto* const runs = reinterpret_cast<const std::byte*>(kinds.data());
    std::vector<std::string> words;
    Words(rule, {runs, static_cast<std::uint32_t>(kinds.size())}).each(text, [&](std::string_view word) {
        words.emplace_back(word);
    });
    return words;
}

using Strings = std::vector<std::string>;

TEST(Words, AreCutByEachRule) {
    const char* const text = "It's  a 12345 b!?\n x";
    EXPECT_EQ(words_of(WordRule::kGpt2, text), (Strings{"It", "'s", " ", " a", " 12345", " b", "!?", "\n", " x"}));
    EXPECT_EQ(words_of(WordRule::kGpt2Digits, text),
              (Strings{"It", "'s", " ", " a", " ", "1", "2", "3", "4", "5", " b", "!?", "\n", " x"}));
    EXPECT_EQ(words_of(WordRule::kLlama3, text),
              (Strings{"It", "'s", " ", " a", " ", "123", "45", " b", "!?\n", " x"}));
    EXPECT_EQ(words_of(WordRule::kQwen2, text),
              (Strings{"It", "'s", " ", " a", " ", "1", "2", "3", "4", "5", " b", "!?\n", " x"}));
}

TEST(Words, ApostrophesAndSpaces) {
    EXPECT_EQ(words_of(WordRule::kGpt2, "we'll we'Re 'x"), (Strings{"we", "'ll", " we", "'", "Re", " '", "x"}));
    EXPECT_EQ(words_of(WordRule::kLlama3, "we'll we'Re 'x"), (Strings{"we", "'ll", " we", "'Re", " '", "x"}));
    EXPECT_EQ(words_of(WordRule::kGpt2, "a   "), (Strings{"a", "   "}));
    EXPECT_EQ(words_of(WordRule::kLlama3, "a \r\n\n  b"), (Strings{"a", " \r\n\n", " ", " b"}));
}

TEST(Words, EveryContraction) {
    const char* const text = "'s't'm'd're've'll'r'rx'vx'lx";
    const Strings plain = {"'s", "'t", "'m", "'d", "'re", "'ve", "'ll", "'", "r", "'", "rx", "'", "vx", "'", "lx"};
    EXPECT_EQ(words_of(WordRule::kGpt2, text), plain);
    // A single quotation mark belongs to the letters that follow, and capitals contract too.
    EXPECT_EQ(words_of(WordRule::kLlama3, text),
              (Strings{"'s", "'t", "'m", "'d", "'re", "'ve", "'ll", "'r", "'rx", "'vx", "'lx"}));
    EXPECT_EQ(words_of(WordRule::kLlama3, "'S'RE'vE'LL"), (Strings{"'S", "'RE", "'vE", "'LL"}));
    EXPECT_EQ(words_of(WordRule::kGpt2, "'S'\xc5\xbf"), (Strings{"'", "S", "'", "\xc5\xbf"}));
    EXPECT_EQ(words_of(WordRule::kLlama3, "'\xc5\xbf'\xc3\xa9"), (Strings{"'\xc5\xbf", "'\xc3\xa9"}));
    EXPECT_EQ(words_of(WordRule::kLlama3, "a'"), (Strings{"a", "'"}));
    EXPECT_EQ(words_of(WordRule::kGpt2, "'r"), (Strings{"'", "r"}));
    EXPECT_EQ(words_of(WordRule::kLlama3, "\nx"), (Strings{"\n", "x"})) << "the end of a line begins no word";
}

TEST(Words, AreAllOfTheText) {
    const std::string_view text =
        "\xc3\xa9t\xc3\xa9 \xe4\xb8\xad\xf0\x9d\x9f\x8e \xff\xc3 \xf0\x9f\xa6\x99\xed\xa0\x80 "
        "\xe0\x80\x80\xc0\xaf\xf4\x90\x80\x80 "
        "\xe2\x80\x83x\xe2";
    for (const WordRule rule : {WordRule::kGpt2, WordRule::kGpt2Digits, WordRule::kLlama3, WordRule::kQwen2}) {
        for (std::size_t size = 0; size <= text.size(); ++size) {
            std::string all;
            for (const std::string& word : words_of(rule, text.substr(0, size))) {
                EXPECT_FALSE(word.empty());
                all += word;
            }
            EXPECT_EQ(all, text.substr(0, size));
        }
    }
}

using Ids = std::vector<int>;

TEST(ByteLevel, MergesByRankWithinWords) {
    const std::vector<std::byte> baked = blob({0});
    const auto t = Tokenizer::view(baked, kVocabSize);
    ASSERT_TRUE(t) << t.failure().message;
    EXPECT_STREQ(t->kind(), "byte-level BPE");
    const int bos = byte_level::kSpecial;
    EXPECT_EQ(t->bos(), bos);
    EXPECT_TRUE(t->ends_text(bos));
    EXPECT_FALSE(t->ends_text('a'));
    EXPECT_EQ(t->encode(""), (Ids{bos}));
    EXPECT_EQ(t->encode("aba"), (Ids{bos, byte_level::kAba}));
    EXPECT_EQ(t->encode("bab"), (Ids{bos, 'b', byte_level::kAb}));
    EXPECT_EQ(t->encode("b a"), (Ids{bos, 'b', byte_level::kSpaceA}));
    EXPECT_EQ(t->encode("\xc3\xa9"), (Ids{bos, byte_level::kEAcute}));
    EXPECT_EQ(t->encode("x<s>a<b>b"), (Ids{bos, 'x', bos, 'a', byte_level::kAdded, 'b'}));
    EXPECT_EQ(t->decode(bos, bos), "") << "a special token is not spoken";
    EXPECT_EQ(t->decode(bos, byte_level::kAdded), "<b>");
    EXPECT_EQ(t->decode(bos, byte_level::kSpaceA), " a") << "no space is dropped";
}

TEST(ByteLevel, WhatATokenizerAsksFor) {
    const std::vector<std::byte> plain = blob({0, false});
    EXPECT_EQ(Tokenizer::view(plain, kVocabSize)->encode("x"), (Ids{'x'})) << "no BOS";
    EXPECT_EQ(Tokenizer::view(plain, kVocabSize)->encode(""), (Ids{byte_level::kSpecial})) << "but something";
    const std::vector<std::byte> whole = blob({0, false, true});
    EXPECT_EQ(Tokenizer::view(whole, kVocabSize)->encode("ba aba"), (Ids{byte_level::kBa, ' ', byte_level::kAba}));
    EXPECT_EQ(Tokenizer::view(whole, kVocabSize)->encode("zz"), (Ids{'z', 'z'}));
    EXPECT_EQ(Tokenizer::view(blob({0, false, false, 'x'}), kVocabSize)->encode("axa"), (Ids{'a', 'a'}))
        << "no piece, no unk";
    EXPECT_EQ(Tokenizer::view(blob({0, false, false, 'x', 7}), kVocabSize)->encode("axa"), (Ids{'a', 7, 'a'}));
}

TEST(ByteLevel, AMergeThatGivesItsOwnLeftPieceEnds) {
    // As only a damaged vocabulary has it: "a" "bb" makes "a" again, while "a" "b" is still waiting for its turn.
    std::vector<int> ids = {'a', 'b', 'b'};
    merge_pairs(ids, [](int left, int right) -> std::optional<Merge> {
        if (left == 'b' && right == 'b') {
            return Merge{3.0F, 'X'};
        }
        if (left == 'a' && right == 'X') {
            return Merge{2.0F, 'a'};
        }
        return left == 'a' && right == 'b' ? std::optional<Merge>({1.0F, 'Y'}) : std::nullopt;
    });
    EXPECT_EQ(ids, Ids{'a'});
}

TEST(ByteLevel, NothingIsNoTokenizer) {
    std::vector<std::byte> nothing(std::size_t{4} * (9 + 256 + 1));
    std::memcpy(nothing.data(), &ByteLevelBpe::kMagic, sizeof ByteLevelBpe::kMagic);
    const auto view = ByteLevelBpe::view(nothing, 0);
    ASSERT_FALSE(view);
    EXPECT_NE(view.failure().message.find("damaged"), std::string::npos) << view.failure().message;
    EXPECT_FALSE(ByteLevelBpe::view(std::span(nothing).first(32), 0)) << "not even a header";
    nothing[0] ^= std::byte{1};
    EXPECT_FALSE(ByteLevelBpe::view(nothing, 0));
}

TEST(ByteLevel, WithoutKindsOfCharactersThereAreNoWords) {
    std::vector<std::byte> none = byte_level::words_blob({2});
    const std::uint32_t count = 0;
    std::memcpy(&none[std::size_t{4} * 4], &count, sizeof count);
    const auto first = none.begin() + 4 * (9 + 256);
    none.erase(first, first + 4 * static_cast<std::ptrdiff_t>(byte_level::kinds().size()));
    const auto view = Tokenizer::view(none, kVocabSize);
    ASSERT_FALSE(view);
    EXPECT_NE(view.failure().message.find("damaged"), std::string::npos) << view.failure().message;
}

TEST(ByteLevel, DamageIsRefusedOrReadInBounds) {
    const std::vector<std::byte> whole = blob({2, true, true});
    EXPECT_FALSE(Tokenizer::view(whole, kVocabSize + 1));
    EXPECT_FALSE(Tokenizer::view(std::span(whole).first(44), kVocabSize));
    EXPECT_FALSE(Tokenizer::view(std::span(whole).first(whole.size() - 4), kVocabSize));
    int refused = 0;
    for (std::size_t at = 4; at < whole.size(); ++at) {
        for (const int flip : {0x01, 0x80, 0xff}) {
            std::vector<std::byte> damaged = whole;
            damaged[at] ^= static_cast<std::byte>(flip);
            const auto view = Tokenizer::view(damaged, kVocabSize);
            if (!view) {
                ++refused;
                EXPECT_EQ(view.failure().exit_code, kExitBadData);
                continue;
            }
            for (const int id : view->encode("ab a12 \xc3\xa9<b><s>aba")) {
                ASSERT_LT(static_cast<unsigned>(id), static_cast<unsigned>(kVocabSize));
                ASSERT_LE(view->decode(id, id).size(), whole.size());
            }
        }
    }
    EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace storybake
