#include "seal.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "fingerprint.hpp"

namespace storybake {
namespace {

/// Holds a file of 300 bytes whose last segment ends at byte 210, and its seal, as codegen/seal.py would write it.
class ASeal : public ::testing::Test {
protected:
    ASeal() {
        for (std::size_t i = 0; i < file_.size(); ++i) {
            file_[i] = static_cast<std::byte>(i * 11);
        }
        const std::span<const std::byte> bytes(file_);
        Fingerprint loaded;
        loaded.add(bytes.subspan(64, 120 - 64));
        loaded.add(bytes.subspan(136, 210 - 136));
        Fingerprint rest;
        rest.add(bytes.first(64));
        rest.add(bytes.subspan(210));
        seal_ = {{}, 120, 210, 300, loaded.value(), rest.value()};
    }

    /// The message of the failure, which has to be one.
    std::string message() {
        const Result<std::string> result = check_seal(file_, seal_);
        EXPECT_FALSE(result);
        EXPECT_EQ(result.failure().exit_code, 70);
        return result.failure().message;
    }

    std::vector<std::byte> file_ = std::vector<std::byte>(300);
    Seal seal_{};
};

TEST_F(ASeal, FitsItsFile) {
    const Result<std::string> result = check_seal(file_, seal_);
    ASSERT_TRUE(result) << result.failure().message;
    EXPECT_EQ(*result, "the program");
}

TEST_F(ASeal, FindsAnyBitButItsOwnFingerprints) {
    for (std::size_t at = 0; at < file_.size(); ++at) {
        file_[at] ^= std::byte{4};
        const bool found = !check_seal(file_, seal_);
        EXPECT_EQ(found, at < 120 || at >= 136) << at;
        file_[at] ^= std::byte{4};
    }
    file_[209] ^= std::byte{1};
    EXPECT_NE(message().find(": the program's code or constants: "), std::string::npos);
    file_[209] ^= std::byte{1};
    file_[63] ^= std::byte{1};
    EXPECT_NE(message().find(": the program's header or symbols: "), std::string::npos);
    file_[63] ^= std::byte{1};
    seal_.loaded ^= 1;
    EXPECT_NE(message().find(": the program's code or constants: "), std::string::npos);
}

TEST_F(ASeal, AllowsForStrippedSymbols) {
    file_.resize(230);
    file_[40] ^= std::byte{1};  // where the sections are
    const Result<std::string> result = check_seal(file_, seal_);
    ASSERT_TRUE(result) << result.failure().message;
    EXPECT_EQ(*result, "the program as it is loaded (its symbols were stripped)");
    file_[100] ^= std::byte{1};
    EXPECT_NE(message().find("code or constants"), std::string::npos);
}

TEST_F(ASeal, ThatIsDamagedOrWasNeverWrittenIsNoProof) {
    const Seal whole = seal_;
    for (const std::uint64_t at : {0ULL, 63ULL, 121ULL, 195ULL, ~0ULL, ~0ULL - 15}) {
        seal_.at = at;
        EXPECT_NE(message().find("the program's seal, or its length"), std::string::npos) << at;
    }
    seal_ = whole;
    for (const std::uint64_t end : {0ULL, 15ULL, 130ULL, 301ULL, ~0ULL}) {
        seal_.loaded_end = end;
        EXPECT_NE(message().find("the program's seal, or its length"), std::string::npos) << end;
    }
    seal_ = whole;
    file_.resize(209);
    EXPECT_NE(message().find("the program's seal, or its length"), std::string::npos);
    seal_.size = 0;
    EXPECT_NE(message().find("has no seal"), std::string::npos);
}

}  // namespace
}  // namespace storybake
