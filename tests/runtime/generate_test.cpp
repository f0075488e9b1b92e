#include "generate.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "fake_model.hpp"
#include "vocabulary.hpp"

namespace storybake {
namespace {

constexpr int kA = 260;
constexpr int kSpaceA = 261;
constexpr int kB = 262;

/// A session with the fake model, its text in a temporary file.
class SessionTest : public testing::Test {
protected:
    void SetUp() override {
        fake::reset();
        Vocabulary v = Vocabulary::with_bytes();
        v.add(" ", -1.0F);
        v.add("a", -2.0F);
        v.add(" a", -0.5F);
        v.add("b", -3.0F);
        v.add("\x1b[2J", -4.0F);
        blob_ = std::move(*bake_tokenizer(as_bytes(v.file()), v.size(), "test"));
        tokenizer_ = std::make_unique<Tokenizer>(*Tokenizer::view(blob_, v.size()));
        text_.reset(std::tmpfile());
        out_ = std::make_unique<TextOutput>(::fileno(text_.get()), false);
    }

    Session& session(int steps = 48, float temperature = 0.0F, int batch = 5, OutputFile* logits_file = nullptr) {
        engine_ = std::make_unique<Engine>(nullptr, 1, batch, nullptr);
        sampler_ = std::make_unique<Sampler>(kModel.vocab_size, temperature, 0.9F, 42);
        session_ =
            std::make_unique<Session>(*engine_, *tokenizer_, *sampler_, *out_, logits_file, steps, fake::interrupted);
        return *session_;
    }

    std::string text() {
        std::string bytes(1 << 16, '\0');
        const ssize_t size = ::pread(::fileno(text_.get()), bytes.data(), bytes.size(), 0);
        bytes.resize(static_cast<std::size_t>(size));
        return bytes;
    }

    /// A stream to read lines from.
    int input(const std::string& lines) {
        input_.reset(std::tmpfile());
        std::fputs(lines.c_str(), input_.get());
        std::rewind(input_.get());  // which writes what is buffered
        return ::fileno(input_.get());
    }

    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::vector<std::byte> blob_;
    std::unique_ptr<Tokenizer> tokenizer_;
    std::unique_ptr<std::FILE, Close> text_, input_;
    std::unique_ptr<TextOutput> out_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<Sampler> sampler_;
    std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, ContinuesThePromptUntilBosOrEos) {
    for (const int end : {kBos, kEos}) {
        SetUp();
        fake::script = {{2, kB}, {3, kSpaceA}, {4, end}};  // the prompt "ab" is BOS, " a", "b": positions 0 to 2
        EXPECT_FALSE(session().generate("ab"));
        EXPECT_EQ(text(), "abb a\n") << "the space before the first token is dropped, the end is not shown";
        EXPECT_EQ(session_->stats().prompt_positions, 3);
        EXPECT_EQ(session_->stats().positions, 2);
        EXPECT_EQ(session_->stats().logits.size(), 264U);
    }
}

/// What a story with guesses has to share with one without.
struct Told {
    std::string text;
    std::int64_t positions;
    std::vector<float> logits;
    bool operator==(const Told&) const = default;
};

TEST_F(SessionTest, GuessesRightOrWrongChangeNoStory) {
    for (const float temperature : {0.0F, 1.0F}) {
        for (const int steps : {1, 2, 3, 7, 20, 48}) {
            for (const unsigned wrong : {0U, 1U, 3U}) {  // every so manieth guess; 0: none of what is scripted
                const auto tell = [&](Drafting when) {
                    SetUp();
                    for (int pos = 0; pos < 30; ++pos) {
                        fake::script[pos] = pos % 3 == 0 ? kA : kB;
                    }
                    fake::guess({kA}, kB, 15);
                    fake::guess({kB}, kB, 9);
                    fake::guess({kB, kB}, wrong == 1 ? kEos : kA, 9);
                    fake::guess({kA, kB, kB}, wrong == 3 ? kSpaceA : kA, 3);
                    session(steps, temperature).draft(when);
                    std::optional<Failure> failed = session_->generate("ab");
                    failed = failed ? failed : session_->generate("");
                    EXPECT_FALSE(failed) << failed->message;
                    const std::span<const float> logits = session_->stats().logits;
                    return Told{text(), session_->stats().positions, {logits.begin(), logits.end()}};
                };
                const Told plain = tell(Drafting::kNever);
                const std::size_t passes = fake::calls.size();
                const Told guessed = tell(Drafting::kAlways);
                EXPECT_EQ(plain.text, guessed.text) << temperature << " " << steps << " " << wrong;
                EXPECT_TRUE(plain == guessed) << temperature << " " << steps << " " << wrong;
                EXPECT_EQ(session_->stats().drafts.right + static_cast<std::int64_t>(fake::calls.size()),
                          static_cast<std::int64_t>(passes));
                EXPECT_LE(session_->stats().drafts.right, session_->stats().drafts.made);
                if (steps == 48 && wrong != 1) {
                    EXPECT_GT(session_->stats().drafts.right, 10);
                }
            }
        }
    }
}

TEST_F(SessionTest, NothingIsGuessedWhereEveryLogitIsWritten) {
    fake::script = {{1, kB}, {2, kB}, {3, kB}, {4, kEos}};
    fake::guess({kB}, kB, 15);
    const std::string path = ::testing::TempDir() + "/logits." + std::to_string(::getpid());
    Result<OutputFile> file = OutputFile::create(path);
    ASSERT_TRUE(file);
    session(48, 0.0F, 5, &*file).draft(Drafting::kAlways);
    EXPECT_FALSE(session_->generate("a"));
    for (const fake::Call& call : fake::calls) {
        EXPECT_EQ(call.n, 1);
    }
}

TEST_F(SessionTest, StepsCountPositionsAsLlama2cDoes) {
    for (int pos = 0; pos < 48; ++pos) {
        fake::script[pos] = kB;
    }
    EXPECT_FALSE(session(1).generate(""));
    EXPECT_EQ(text(), "b\n") << "one position, one token";
    SetUp();
    for (int pos = 0; pos < 48; ++pos) {
        fake::script[pos] = kB;
    }
    EXPECT_FALSE(session(5).generate("aa"));  // BOS, " a", "a", and positions 3 and 4
    EXPECT_EQ(text(), "aabbb\n");
    EXPECT_EQ(session_->stats().positions, 2);
    EXPECT_EQ(fake::calls.back().pos, 4);
    SetUp();
    for (int pos = 0; pos < 48; ++pos) {
        fake::script[pos] = kB;
    }
    EXPECT_FALSE(session(48).generate(""));
    EXPECT_EQ(text(), std::string(48, 'b') + "\n");
    EXPECT_EQ(fake::calls.back().pos, 47) << "the whole context and not one position more";
}

TEST_F(SessionTest, APromptLongerThanStepsIsCutWithAWarning) {
    EXPECT_FALSE(session(3).generate("aaaaaa"));  // BOS, " a", 5 x "a": 7 tokens
    EXPECT_EQ(text(), "aaa\n") << "as many tokens as positions, as llama2.c";
    EXPECT_EQ(session_->warning(), "the prompt has 7 tokens, -n stops after 3: nothing was generated");
    EXPECT_EQ(fake::calls.back().pos + fake::calls.back().n, 3);
}

TEST_F(SessionTest, APromptAroundTheSizeOfTheContext) {
    fake::script[47] = kB;
    EXPECT_FALSE(session().generate(std::string(47, 'a')));  // 48 tokens
    EXPECT_EQ(text(), std::string(47, 'a') + "b\n");
    SetUp();
    const auto failed = session().generate(std::string(48, 'a'));
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->exit_code, kExitUsage);
    EXPECT_EQ(failed->message, "the prompt has 49 tokens, the model's context 48: shorten the prompt");
    EXPECT_EQ(text(), "");
    EXPECT_TRUE(fake::calls.empty());
}

TEST_F(SessionTest, BatchSizesDoNotChangeTheText) {
    std::string expected;
    for (int batch = 1; batch <= kModel.max_batch; ++batch) {
        SetUp();
        EXPECT_FALSE(session(40, 1.0F, batch).generate("ab ab ab a"));
        expected = batch == 1 ? text() : expected;
        EXPECT_EQ(text(), expected);
    }
}

TEST_F(SessionTest, BytesAreJoinedAndControlsDropped) {
    fake::script = {{0, 3 + 0xc3}, {1, 3 + 0xa9}, {2, 263}, {3, 3 + 0x1b}, {4, 3 + 0xe2}, {5, kA}, {6, kEos}};
    EXPECT_FALSE(session().generate(""));
    EXPECT_EQ(text(),
              "\xc3\xa9[2J\xef\xbf\xbd"
              "a\n");
}

TEST_F(SessionTest, BrokenLogitsAreAnError) {
    fake::script = {{0, kA}, {1, kA}};
    fake::broken_position = 2;
    const auto failed = session().generate("");
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->exit_code, kExitBadData);
    EXPECT_NE(failed->message.find("position 2 are not finite"), std::string::npos);
    EXPECT_EQ(text(), "aa\n");
}

TEST_F(SessionTest, AnInterruptionEndsTheText) {
    for (int pos = 0; pos < 48; ++pos) {
        fake::script[pos] = kB;
    }
    fake::interrupt_position = 3;
    EXPECT_FALSE(session().generate(""));
    EXPECT_EQ(text(), "bbb\n");
    EXPECT_EQ(session_->stats().positions, 3);
}

TEST_F(SessionTest, WriteErrorsEndTheRun) {
    if (::access("/dev/full", W_OK) != 0) {
        GTEST_SKIP() << "this system has no /dev/full";
    }
    text_.reset(std::fopen("/dev/full", "w"));
    out_ = std::make_unique<TextOutput>(::fileno(text_.get()), true);
    fake::script = {{0, kA}};
    const auto failed = session().generate("");
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->exit_code, kExitIo);
    EXPECT_EQ(fake::calls.size(), 1U);
}

TEST_F(SessionTest, LogitsOfEveryPositionAreWritten) {
    const std::string folder = std::filesystem::temp_directory_path() / ("generate_test." + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    const std::string path = folder + "/logits";
    auto file = OutputFile::create(path);
    ASSERT_TRUE(file);
    fake::script = {{3, kA}, {4, kEos}};
    EXPECT_FALSE(session(48, 0.0F, 5, &*file).generate("aab"));  // positions 0 to 3, then 4
    EXPECT_FALSE(std::filesystem::exists(path)) << "nothing before it is complete";
    ASSERT_FALSE(file->commit());
    const auto bytes = read_file(path, "logits", 1 << 20);
    ASSERT_TRUE(bytes);
    ASSERT_EQ(bytes->size(), 5U * 264 * sizeof(float));
    EXPECT_EQ(fake::calls.size(), 5U);
    const auto last = std::as_bytes(session_->stats().logits);
    EXPECT_TRUE(std::equal(last.begin(), last.end(), bytes->end() - 264 * sizeof(float)));
    std::filesystem::remove_all(folder);
}

TEST_F(SessionTest, ChatTakesTurns) {
    // "[INST] a [/INST]": neither [, I, N, S, T, / nor ] has a piece, so each is a byte token.
    const auto first = tokenizer_->encode("[INST] a [/INST]");
    const int end = static_cast<int>(first.size()) - 1;
    fake::script = {{end, kB}, {end + 1, kEos}};
    EXPECT_FALSE(session(48).chat(input("a\n"), "", std::nullopt));
    EXPECT_EQ(text(), "User: Assistant: b\nUser: \n") << "the end of the input ends the conversation";
    EXPECT_EQ(session_->stats().prompt_positions, end + 1);
}

TEST_F(SessionTest, ChatAsksForWhatIsNotGiven) {
    fake::script = {};
    session(48);
    EXPECT_FALSE(session_->chat(input(""), std::nullopt, std::nullopt));
    EXPECT_EQ(text(), "Enter system prompt (optional): \n");
    SetUp();
    const int end = static_cast<int>(tokenizer_->encode("[INST] b [/INST]").size()) - 1;
    fake::script = {{end, kEos}};
    EXPECT_FALSE(session(48).chat(input("\n"), std::nullopt, "b"));
    EXPECT_EQ(text(), "Enter system prompt (optional): Assistant: \nUser: \n");
}

TEST_F(SessionTest, OneAnswerIsThatOfAFirstTurn) {
    const int end = static_cast<int>(tokenizer_->encode("[INST] a [/INST]").size()) - 1;
    fake::script = {{end, kB}, {end + 1, kSpaceA}, {end + 2, kEos}};
    EXPECT_FALSE(session(48).reply("a"));
    EXPECT_EQ(text(), "b a\n") << "neither the question nor the end is told";
    EXPECT_EQ(session_->stats().prompt_positions, end + 1);
    EXPECT_FALSE(session_->reply("a")) << "each from the first position on";
    EXPECT_EQ(text(), "b a\nb a\n");
    EXPECT_EQ(first_turn(*tokenizer_, "a"), tokenizer_->encode("[INST] a [/INST]"));
    const auto failed = session_->reply(std::string(60, 'b'));
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->exit_code, kExitUsage);
    EXPECT_NE(failed->message.find("48 of 48 positions are left"), std::string::npos) << failed->message;
}

TEST_F(SessionTest, ChatThatDoesNotFit) {
    const auto failed = session(48).chat(input(std::string(600, 'b') + "\n"), "", std::nullopt);
    ASSERT_TRUE(failed) << "600 bytes overflow llama2.c's buffer";
    EXPECT_EQ(failed->exit_code, kExitUsage);
    EXPECT_NE(failed->message.find("48 of 48 positions are left"), std::string::npos) << failed->message;
    SetUp();
    const int end = static_cast<int>(tokenizer_->encode("[INST] a [/INST]").size()) - 1;
    fake::script = {{end, kEos}};
    EXPECT_FALSE(session(48).chat(input("a\n" + std::string(600, 'b')), std::string(), std::nullopt));
    EXPECT_NE(session_->warning().find("say it shorter"), std::string::npos) << "and the next turn is asked for";
    SetUp();
    const auto too_long = session(48).chat(input(std::string((1 << 20) + 1, 'b')), "", std::nullopt);
    ASSERT_TRUE(too_long);
    EXPECT_EQ(too_long->exit_code, kExitUsage);
}

}  // namespace
}  // namespace storybake
