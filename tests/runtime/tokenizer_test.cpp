#include "tokenizer.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "llama_bpe.hpp"
#include "quadratic_encode.hpp"
#include "vocabulary.hpp"

namespace storybake {
namespace {

/// A baked tokenizer and its view.
class Baked {
public:
    explicit Baked(const Vocabulary& vocabulary) : Baked(vocabulary.file(), vocabulary.size()) {}

    Baked(const std::string& file, int vocab_size) {
        auto blob = bake_tokenizer(as_bytes(file), vocab_size, "test");
        EXPECT_TRUE(blob) << blob.failure().message;
        blob_ = std::move(*blob);
        auto view = Tokenizer::view(blob_, vocab_size);
        EXPECT_TRUE(view) << view.failure().message;
        view_.emplace(*view);
    }
    LlamaBpe operator*() const { return *LlamaBpe::view(blob_, view_->pieces()); }  // its words alone
    const Tokenizer* operator->() const { return &*view_; }

private:
    std::vector<std::byte> blob_;
    std::optional<Tokenizer> view_;
};

std::string random_text(std::mt19937& random, int kind) {
    std::string text;
    const unsigned length = random() % 60;
    for (unsigned i = 0; i < length; ++i) {
        switch (kind) {
            case 0:  // a few letters, so that many merges compete
                text += "ab "[random() % 3];
                break;
            case 1:  // ASCII
                text += static_cast<char>(32 + random() % 95);
                break;
            case 2:  // characters of 1 to 4 bytes
                text += std::string_view("a\xc3\xa9\xe2\x80\x9c\xf0\x9f\xa6\x99")
                            .substr(std::array{0, 1, 3, 6}[random() % 4]);
                break;
            default:  // any bytes, zero and invalid UTF-8 included
                text += static_cast<char>(random() % 4 == 0 ? 0 : random());
        }
    }
    return text;
}

Vocabulary random_vocabulary(std::mt19937& random, bool has_bytes) {
    Vocabulary v = has_bytes ? Vocabulary::with_bytes() : Vocabulary::without_bytes();
    v.add(" ", -1.0F);
    const char* const seeds[] = {"a", "b", "\xc3\xa9", "\xe2\x80\x9c", "\n", "<", "0"};
    for (const char* seed : seeds) {
        v.add(seed, 0.0F);
    }
    for (int i = 0; i < 120; ++i) {
        std::string piece;
        const unsigned parts = 2 + random() % 4;
        for (unsigned part = 0; part < parts; ++part) {
            piece += random() % 4 == 0 ? " " : seeds[random() % (random() % 3 == 0 ? std::size(seeds) : 2)];
        }
        // Few different scores, so that ties decide; some too low to merge; duplicates of pieces happen by themselves.
        v.add(piece, random() % 10 == 0 ? -1e10F : -static_cast<float>(random() % 12));
    }
    return v;
}

TEST(Tokenizer, EncodeEqualsTheQuadraticLoop) {
    std::mt19937 random(1);
    for (int round = 0; round < 60; ++round) {
        const bool has_bytes = round % 3 != 0;
        const Baked t(random_vocabulary(random, has_bytes));
        for (int i = 0; i < 60; ++i) {
            const std::string text = random_text(random, i % 4);
            ASSERT_EQ(t->encode(text), quadratic_encode(*t, text, has_bytes)) << "round " << round << " text " << text;
        }
    }
}

TEST(Tokenizer, EncodeBeginsWithBosAndADummySpace) {
    Vocabulary v = Vocabulary::with_bytes();
    v.add(" ", -2.0F);   // 259
    v.add("a", -3.0F);   // 260
    v.add(" a", -1.0F);  // 261
    const Baked t(v);
    EXPECT_EQ(t->encode(""), (std::vector<int>{1}));
    EXPECT_EQ(t->encode("a"), (std::vector<int>{1, 261}));
    EXPECT_EQ(t->encode(" "), (std::vector<int>{1, 259, 259}));
    EXPECT_EQ(t->encode("\xc3\xa9"), (std::vector<int>{1, 259, 3 + 0xc3, 3 + 0xa9})) << "byte fallback";
    EXPECT_EQ(t->encode("\x80"), (std::vector<int>{1, 259, 3 + 0x80}))
        << "a byte that continues nothing, behind the space";
    std::vector<int> ids;
    (*t).encode("\xc3\xa9", false, ids);
    EXPECT_EQ(ids, (std::vector<int>{3 + 0xc3, 3 + 0xa9})) << "without a space";
    EXPECT_EQ(t->encode(std::string_view("\0", 1)), (std::vector<int>{1, 259, 3})) << "a zero byte";
}

TEST(Tokenizer, OfEqualPiecesTheLowestIdCounts) {
    Vocabulary v = Vocabulary::with_bytes();
    v.add(" ", 0.0F);
    v.add("a", 0.0F);   // 260
    v.add("a", 5.0F);   // 261
    v.add("aa", 1.0F);  // 262
    v.add("aa", 9.0F);  // 263
    const Baked t(v);
    EXPECT_EQ((*t).find("a"), 260);
    EXPECT_EQ(t->encode("aa"), (std::vector<int>{1, 259, 262}));
}

TEST(Tokenizer, WithoutByteTokensAnUnknownCharacterIsUnk) {
    Vocabulary v = Vocabulary::without_bytes();
    v.add(" ", 0.0F);  // 3
    v.add("a", 0.0F);  // 4
    const Baked t(v);
    EXPECT_EQ(t->encode("a\xc3\xa9z"), (std::vector<int>{1, 3, 4, 0, 0}));
    EXPECT_EQ(t->decode(1, 4), "a");
}

TEST(Tokenizer, Decode) {
    Vocabulary v = Vocabulary::with_bytes();
    v.add(" ", 0.0F);         // 259
    v.add(" a", 0.0F);        // 260
    v.add("  b", 0.0F);       // 261
    v.add("<0x41>", 0.0F);    // 262: text, not a byte token
    v.add("<0x-1>%s", 0.0F);  // 263
    const Baked t(v);
    EXPECT_EQ(t->decode(1, 260), "a") << "one leading space is dropped after BOS";
    EXPECT_EQ(t->decode(1, 261), " b");
    EXPECT_EQ(t->decode(1, 259), "");
    EXPECT_EQ(t->decode(260, 260), " a");
    EXPECT_EQ(t->decode(-1, 260), "a") << "nor at the beginning, without BOS";
    EXPECT_EQ(t->decode(5, 262), "<0x41>");
    EXPECT_EQ(t->decode(5, 263), "<0x-1>%s");
    for (int byte = 0; byte < 256; ++byte) {
        const char expected = static_cast<char>(byte);
        EXPECT_EQ(t->decode(260, 3 + byte), std::string_view(&expected, 1));
    }
}

TEST(Tokenizer, LongPromptsAreNotQuadratic) {
    std::mt19937 random(2);
    const Baked t(random_vocabulary(random, true));
    std::string text;
    while (text.size() < 100000) {
        text += "ab "[random() % 3];
    }
    const auto ids = t->encode(text);  // a quadratic loop would outlast the test's time
    std::string decoded;
    for (std::size_t i = 1; i < ids.size(); ++i) {
        decoded += t->decode(ids[i - 1], ids[i]);
    }
    EXPECT_EQ(decoded, text);
}

// Files that are refused, and what the message says.

void expect_refused(const std::string& file, int vocab_size, const char* expected) {
    auto blob = bake_tokenizer(as_bytes(file), vocab_size, "x.bin");
    ASSERT_FALSE(blob) << expected;
    EXPECT_EQ(blob.failure().exit_code, kExitBadData);
    EXPECT_NE(blob.failure().message.find(expected), std::string::npos) << blob.failure().message;
    EXPECT_EQ(blob.failure().message.find('\n'), std::string::npos);
}

TEST(TokenizerFile, EveryTruncationIsRefused) {
    Vocabulary v = Vocabulary::with_bytes();
    v.add(" ", 0.0F);
    v.add("longer", 0.0F);
    const std::string file = v.file();
    for (std::size_t size = 0; size < file.size(); ++size) {
        ASSERT_FALSE(bake_tokenizer(as_bytes(file.substr(0, size)), v.size(), "x")) << size;
    }
    expect_refused("", v.size(), "0 bytes");
    expect_refused(file.substr(0, file.size() - 1), v.size(), "piece 260: found a length of 6, need 1 to 5");
    expect_refused(file.substr(0, file.size() - 7), v.size(), "piece 260: found 7 bytes");
    expect_refused(file + "x", v.size(), "piece 261: found 1 bytes");
}

TEST(TokenizerFile, AnotherVocabularyIsRefusedWithBothCounts) {
    Vocabulary v = Vocabulary::with_bytes();
    v.add(" ", 0.0F);
    expect_refused(v.file(), 512, "found 260 pieces, the model has 512");
    expect_refused(v.file(), 259, "found 260 pieces, the model has 259");
}

TEST(TokenizerFile, LyingLengthsAreRefused) {
    for (const std::int32_t length :
         {0, -1, std::numeric_limits<std::int32_t>::min(), 1000000000, std::numeric_limits<std::int32_t>::max()}) {
        Vocabulary v = Vocabulary::without_bytes();
        v.add(" ", 0.0F);
        std::string file = v.file();
        std::memcpy(&file[file.size() - 5], &length, sizeof length);
        expect_refused(file, v.size(), "piece 3: found a length of");
    }
}

TEST(TokenizerFile, MaxTokenLengthMustBeTheLongest) {
    Vocabulary v = Vocabulary::without_bytes();
    v.add(" ", 0.0F);
    for (const std::uint32_t declared : {0U, 1U, 6U, 8U, 0x7fffffffU, 0xffffffffU}) {
        std::string file = v.file();
        std::memcpy(file.data(), &declared, sizeof declared);
        if (declared != 6) {  // "\n</s>\n"
            expect_refused(file, v.size(), "max_token_length");
        } else {
            EXPECT_TRUE(bake_tokenizer(as_bytes(file), v.size(), "x"));
        }
    }
}

TEST(TokenizerFile, BrokenPiecesAreRefused) {
    Vocabulary no_space = Vocabulary::with_bytes();
    expect_refused(no_space.file(), no_space.size(), "single space");

    Vocabulary bad_score = Vocabulary::without_bytes();
    bad_score.add(" ", std::numeric_limits<float>::quiet_NaN());
    expect_refused(bad_score.file(), bad_score.size(), "piece 3: its score is not finite");

    Vocabulary zero_byte = Vocabulary::without_bytes();
    zero_byte.add(std::string(1, '\0'), 0.0F);
    expect_refused(zero_byte.file(), zero_byte.size(), "piece 3: found a zero byte");

    Vocabulary some_bytes = Vocabulary::without_bytes();
    some_bytes.add("<0x00>", 0.0F);
    some_bytes.add(" ", 0.0F);
    expect_refused(some_bytes.file(), some_bytes.size(), "found 1 of the byte tokens");
}

TEST(TokenizerView, ABlobOfAnotherShapeIsRefused) {
    Vocabulary v = Vocabulary::with_bytes();
    v.add(" ", 0.0F);
    auto blob = bake_tokenizer(as_bytes(v.file()), v.size(), "x");
    ASSERT_TRUE(blob);
    EXPECT_TRUE(LlamaBpe::view(*blob, v.size()));
    EXPECT_FALSE(LlamaBpe::view(*blob, v.size() + 1));
    for (const std::size_t size : {std::size_t{0}, std::size_t{23}, std::size_t{24}, blob->size() - 4}) {
        EXPECT_FALSE(LlamaBpe::view(std::span(*blob).first(size), v.size())) << size;
    }
}

TEST(TokenizerView, AnotherKindOrFewerPiecesThanTheIdsThatAreFixedAreRefused) {
    Vocabulary v = Vocabulary::without_bytes();
    v.add(" ", 0.0F);
    const auto blob = bake_tokenizer(as_bytes(v.file()), v.size(), "x");
    ASSERT_TRUE(blob);
    std::vector<std::byte> other = *blob;
    other[0] ^= std::byte{1};
    EXPECT_FALSE(LlamaBpe::view(other, v.size())) << "the mark of a kind";
    std::vector<std::byte> bytes = *blob;
    bytes[4 * 5] = std::byte{1};
    EXPECT_FALSE(LlamaBpe::view(bytes, v.size())) << "byte tokens, of which 4 pieces have none";
    Vocabulary few;
    few.add("a", 0.0F);
    few.add(" ", 0.0F);
    const auto two = bake_tokenizer(as_bytes(few.file()), few.size(), "x");
    ASSERT_TRUE(two);
    EXPECT_FALSE(LlamaBpe::view(*two, few.size())) << "no EOS among two pieces";
}

TEST(TokenizerView, ADamagedBlobIsRefusedOrReadInBounds) {
    for (Vocabulary v : {Vocabulary::with_bytes(), Vocabulary::without_bytes()}) {
        v.add(" ", 0.0F);
        v.add(" a", 0.0F);
        auto blob = bake_tokenizer(as_bytes(v.file()), v.size(), "x");
        ASSERT_TRUE(blob);
        int refused = 0;
        for (std::size_t at = 4; at < blob->size(); at += v.size() < 9 || at < 24 ? 1 : 11) {
            for (const int flip : {0x01, 0x80, 0xff}) {
                std::vector<std::byte> damaged = *blob;
                damaged[at] ^= static_cast<std::byte>(flip);
                const auto view = LlamaBpe::view(damaged, v.size());
                if (!view) {
                    ++refused;
                    EXPECT_EQ(view.failure().exit_code, kExitBadData);
                    continue;
                }
                const char* const begin = reinterpret_cast<const char*>(damaged.data());
                std::vector<int> ids;
                view->encode(" a b <0x41>", true, ids);
                for (const int id : ids) {
                    ASSERT_LT(static_cast<unsigned>(id), static_cast<unsigned>(v.size()));
                }
                for (int id = 0; id < v.size(); ++id) {
                    const std::string_view piece = view->piece(id);
                    ASSERT_TRUE(piece.data() >= begin && piece.data() + piece.size() <= begin + damaged.size());
                }
            }
        }
        EXPECT_GT(refused, 20);
    }
}

// Trained vocabularies: the project's own, and Llama 2's where STORYBAKE_MODELS has it.

void expect_quadratic(const Baked& t) {
    std::mt19937 random(4);
    for (int i = 0; i < 200; ++i) {
        const std::string text = random_text(random, i % 4);
        ASSERT_EQ(t->encode(text), quadratic_encode(*t, text, true)) << text;
    }
    std::string text;
    while (text.size() < 100000) {
        text += random_text(random, 1);
    }
    EXPECT_GT(t->encode(text).size(), 10000U);
}

TEST(TrainedVocabularies, AgreeWithLlama2c) {
    const char* sources = std::getenv("STORYBAKE_SOURCES");  // meson test sets it
    const std::string own =
        file_bytes(std::string(sources != nullptr ? sources : ".") + "/models/tinytales.tokenizer.bin");
    ASSERT_FALSE(own.empty()) << "to be run by meson test, or from the folder of the sources";
    expect_quadratic(Baked(own, count_pieces(own)));
    const char* folder = std::getenv("STORYBAKE_MODELS");
    const std::string llama = folder != nullptr ? file_bytes(std::string(folder) + "/tokenizer.bin") : "";
    if (!llama.empty()) {
        const Baked t(llama, 32000);
        // The expected ids are those of llama2.c's own test.c, which had them from Meta's sentencepiece model.
        EXPECT_EQ(t->encode(""), (std::vector<int>{1}));
        EXPECT_EQ(t->encode("I believe the meaning of life is"),
                  (std::vector<int>{1, 306, 4658, 278, 6593, 310, 2834, 338}));
        EXPECT_EQ(t->encode("Simply put, the theory of relativity states that "),
                  (std::vector<int>{1, 3439, 17632, 1925, 29892, 278, 6368, 310, 14215, 537, 5922, 393, 29871}));
        expect_quadratic(t);
    }
}

}  // namespace
}  // namespace storybake
