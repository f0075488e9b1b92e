#include "selftest.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "fake_model.hpp"
#include "fingerprint.hpp"
#include "sampler.hpp"
#include "tokenizer.hpp"
#include "vocabulary.hpp"

namespace storybake {
namespace {

bool damaged = false;

Result<std::string> check() {
    return damaged ? Result<std::string>(failure(kExitSelfTest, "self-test: damaged since it was linked: this"))
                   : std::string("the program");
}

class SelfTest : public ::testing::Test {
protected:
    SelfTest() {
        fake::reset();
        damaged = false;
        for (std::size_t i = 0; i < weights_.size(); ++i) {
            weights_[i] = static_cast<std::byte>(i * 7);
        }
        std::uint64_t last = 0;
        packed_.weights_size = weights_.size();
        const std::uint64_t ends[] = {64, 192, 193, 256};
        for (std::size_t i = 0; i < std::size(sections_); ++i) {
            const std::span<const std::byte> bytes(weights_.data() + last, weights_.data() + ends[i]);
            sections_[i].offset = last;
            sections_[i].fingerprint = fingerprint(bytes);
            last = ends[i];
        }
        packed_.sections = sections_;
        Vocabulary v = Vocabulary::with_bytes();
        for (const char* piece : {" ", "a", "b", " a", "ab"}) {
            v.add(piece, -1.0F);
        }
        tokenizer_ = std::move(*bake_tokenizer(as_bytes(v.file()), v.size(), "test"));
        packed_.tokenizer = tokenizer_;
        packed_.tokenizer_fingerprint = fingerprint(tokenizer_);
        packed_.golden_tokens = tokens_;
        Fingerprint golden;
        for (std::size_t pos = 0; pos < std::size(tokens_); ++pos) {
            forward(nullptr, std::span(tokens_).subspan(pos, 1), static_cast<int>(pos), Logits::kLast, Team{}, nullptr);
            golden.add(std::as_bytes(logits()));
        }
        packed_.golden_fingerprint = golden.value();
        std::string said;
        for (std::size_t i = 0; i < std::size(drawn_); ++i) {
            const float topp = i < 2 ? GoldenText::kTopp : 1.0F;
            drawn_[i] = Sampler(kModel.vocab_size, GoldenText::kTemperature, topp, i % 2 + 1).sample(logits());
            said += Tokenizer::view(tokenizer_, v.size())->decode(i == 0 ? 1 : drawn_[i - 1], drawn_[i]);
        }
        packed_.golden_text = {"ab", ids_, drawn_, fingerprint(as_bytes(said))};
        fake::calls.clear();
    }

    /// The message of the failure, which has to be one.
    std::string message() {
        const Result<std::string> result = self_test(engine_, weights_.data(), packed_, check);
        EXPECT_FALSE(result);
        EXPECT_EQ(result.failure().exit_code, 70);
        return result.failure().message;
    }

    std::vector<std::byte> weights_ = std::vector<std::byte>(256);
    std::vector<std::byte> tokenizer_;
    int ids_[3] = {1, 262, 261};  // BOS, " a", "b"
    int drawn_[4] = {};
    WeightSection sections_[4] = {{"rope", -1, 0, 0}, {"wq", 0, 0, 0}, {"wq", 1, 0, 0}, {"wcls", -1, 0, 0}};
    const int tokens_[5] = {1, 7, 3, 200, 263};
    PackedData packed_{};
    Engine engine_{nullptr, 1, 3, nullptr};
};

TEST_F(SelfTest, RunsEveryPositionAloneAndThenInBatches) {
    const Result<std::string> result = self_test(engine_, weights_.data(), packed_, check);
    ASSERT_TRUE(result) << result.failure().message;
    EXPECT_EQ(*result,
              "self-test passed: the program, 5 sections, every kernel, golden run of 5 positions, known text\n");
    ASSERT_EQ(fake::calls.size(), 7U);
    EXPECT_EQ(fake::calls[4].pos, 4);
    EXPECT_EQ(fake::calls[5].n, 3);
    EXPECT_EQ(fake::calls[6].n, 2);
}

TEST_F(SelfTest, NamesWhatIsDamagedAndRunsNothing) {
    weights_[193] ^= std::byte{128};
    EXPECT_NE(message().find(": wcls (1 of 5 sections)"), std::string::npos);
    weights_[192] ^= std::byte{1};
    EXPECT_NE(message().find(": wq of layer 1, wcls (2 of 5"), std::string::npos);
    weights_[0] ^= std::byte{1};
    weights_[64] ^= std::byte{1};
    tokenizer_[30] ^= std::byte{1};
    EXPECT_NE(message().find(": rope, wq of layer 0, wq of layer 1, wcls and 1 more (5 of 5"), std::string::npos);
    EXPECT_TRUE(fake::calls.empty());
}

TEST_F(SelfTest, RunsNothingOfADamagedProgram) {
    damaged = true;
    EXPECT_NE(message().find("since it was linked: this"), std::string::npos);
    weights_[0] ^= std::byte{1};
    EXPECT_NE(message().find(": rope (1 of 5 sections)"), std::string::npos);  // which says more
    EXPECT_TRUE(fake::calls.empty());
}

TEST_F(SelfTest, NamesTheKernelsThatDiffer) {
    fake::broken = {"rope", "add"};
    EXPECT_NE(message().find("other results than plain C++ from rope, add: "), std::string::npos);
    EXPECT_TRUE(fake::calls.empty());
}

TEST_F(SelfTest, ComparesWhatBecomesOfAText) {
    ids_[1] = 260;
    EXPECT_NE(message().find("self-test: the tokenizer's ids of a known text are others"), std::string::npos);
    ids_[1] = 262;
    for (int& token : drawn_) {
        token ^= 1;
        EXPECT_NE(message().find("self-test: the sampler's tokens of known logits are others"), std::string::npos);
        token ^= 1;
    }
    packed_.golden_text.said ^= 1;
    EXPECT_NE(message().find("self-test: the bytes of known tokens are others"), std::string::npos);
}

TEST_F(SelfTest, ComparesTheLogitsOfEveryPosition) {
    fake::script[2] = 9;
    EXPECT_NE(message().find("position by position have fingerprint 0x"), std::string::npos);
    fake::script.clear();
    fake::broken_position = 4;  // a NaN in the last logits
    EXPECT_NE(message().find("position by position have fingerprint 0x"), std::string::npos);
}

}  // namespace
}  // namespace storybake
