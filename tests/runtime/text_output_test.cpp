#include "text_output.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <random>
#include <string>

namespace storybake {
namespace {

/// A pipe; what has been written so far can be read at any time.
class Pipe {
public:
    Pipe() { EXPECT_EQ(pipe2(ends_.data(), O_NONBLOCK), 0); }
    ~Pipe() {
        close_read();
        ::close(ends_[1]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;

    [[nodiscard]] int fd() const { return ends_[1]; }
    void close_read() {
        if (ends_[0] >= 0) {
            ::close(ends_[0]);
            ends_[0] = -1;
        }
    }
    std::string read() {
        std::string text(1 << 16, '\0');
        const ssize_t size = ::read(ends_[0], text.data(), text.size());
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }

private:
    std::array<int, 2> ends_{-1, -1};
};

std::string written(std::string_view bytes, std::size_t step = 1) {
    Pipe pipe;
    TextOutput out(pipe.fd(), true);
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        out.write(bytes.substr(at, step));
        out.end_token();
    }
    out.finish();
    EXPECT_EQ(out.error(), 0);
    return pipe.read();
}

const std::string kBad = "\xef\xbf\xbd";

TEST(TextOutput, WholeCharactersPass) {
    const std::string text =
        "Once, \xc2\xa0 \xc3\xa9 \xe2\x80\x9c \xed\x9f\xbf \xee\x80\x80 \xf0\x9f\xa6\x99 \xf4\x8f\xbf\xbf\n\t\r\v\f~";
    for (std::size_t step = 1; step < 6; ++step) {
        EXPECT_EQ(written(text, step), text);
    }
}

TEST(TextOutput, ACharacterIsHeldBackUntilItIsWhole) {
    Pipe pipe;
    TextOutput out(pipe.fd(), true);
    out.write("a\xf0\x9f");
    out.end_token();
    EXPECT_EQ(pipe.read(), "a");
    out.write("\xa6");
    out.end_token();
    EXPECT_EQ(pipe.read(), "");
    out.write("\x99");
    out.end_token();
    EXPECT_EQ(pipe.read(), "\xf0\x9f\xa6\x99");
}

TEST(TextOutput, InvalidSequencesBecomeReplacementCharacters) {
    EXPECT_EQ(written("a\x80z"), "a" + kBad + "z");                     // a continuation alone
    EXPECT_EQ(written("a\xe2\x80z"), "a" + kBad + "z");                 // cut short
    EXPECT_EQ(written("a\xe2\x80"), "a" + kBad);                        // cut by the end
    EXPECT_EQ(written("\xe2\xe2\x80\x9c"), kBad + "\xe2\x80\x9c");      // a lead byte begins anew
    EXPECT_EQ(written("\xc0\xaf"), kBad + kBad);                        // overlong
    EXPECT_EQ(written("\xe0\x9f\xbf"), kBad + kBad + kBad);             // overlong
    EXPECT_EQ(written("\xed\xa0\x80"), kBad + kBad + kBad);             // a surrogate
    EXPECT_EQ(written("\xf4\x90\x80\x80"), kBad + kBad + kBad + kBad);  // beyond U+10FFFF
    EXPECT_EQ(written("\xff\xfe"), kBad + kBad);
}

TEST(TextOutput, ControlCharactersAreDropped) {
    std::string controls(1, '\0');
    controls += "\x01\x07\x08\x0e\x1b[31m\x7f\xc2\x80\xc2\x9b\xc2\x9f";
    EXPECT_EQ(written(controls), "[31m");
}

TEST(TextOutput, RandomBytesGiveValidTextWithoutControls) {
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        std::string bytes;
        for (int i = 0; i < 100; ++i) {
            const unsigned kind = random() % 3;
            bytes += static_cast<char>(kind == 0   ? random() % 256
                                       : kind == 1 ? 0x80 + random() % 64
                                                   : 0xc0 + random() % 64);
        }
        const std::string text = written(bytes, 1 + random() % 7);
        EXPECT_EQ(written(text, 3), text) << "what was written once passes unchanged";
        EXPECT_EQ(text.find('\x1b'), std::string::npos);
    }
}

TEST(TextOutput, WritesInBlocksUnlessToATerminal) {
    Pipe pipe;
    TextOutput out(pipe.fd(), false);
    std::string expected;
    for (int i = 0; i < 1000; ++i) {
        const std::string piece = "token " + std::to_string(i) + "\n";
        expected += piece;
        out.write(piece);
        out.end_token();
        if (i == 0) {
            EXPECT_EQ(pipe.read(), "");
        }
    }
    out.finish();
    EXPECT_EQ(pipe.read(), expected);
}

TEST(TextOutput, TokensThatComeSoonAfterOneAnotherAreWrittenTogether) {
    Pipe pipe;
    TextOutput out(pipe.fd(), true, 3600 * 1000);
    for (const char* token : {"Once", " upon", " a"}) {
        out.write(token);
        out.end_token();
    }
    EXPECT_EQ(pipe.read(), "Once");
    out.finish();
    EXPECT_EQ(pipe.read(), " upon a");
}

/// What a terminal is sent of a text; it adds a carriage return to each line feed itself.
std::string shown(std::string_view text) {
    int terminal = -1;
    int program = -1;
    if (::openpty(&terminal, &program, nullptr, nullptr, nullptr) != 0) {
        return "no terminal here";
    }
    termios raw{};
    ::cfmakeraw(&raw);
    ::tcsetattr(program, TCSANOW, &raw);
    TextOutput out(program, true);
    out.write(text);
    out.finish();
    EXPECT_EQ(out.error(), 0);
    std::string got(4096, '\0');
    const ssize_t size = ::read(terminal, got.data(), got.size());
    got.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    ::close(program);
    ::close(terminal);
    return got;
}

TEST(TextOutput, ATerminalGetsTextLineFeedsAndTabs) {
    EXPECT_EQ(shown("a\tb c\nd"), "a\tb c\nd");
    std::string controls;
    for (char c = 1; c < ' '; ++c) {
        controls += c;
    }
    EXPECT_EQ(shown(controls + "\x7f|"), "\t\n|");
    EXPECT_EQ(shown("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"), "\xc2\xa0") << "C1";
}

TEST(TextOutput, NothingTurnsATerminalsWriting) {
    const std::string steering =
        "\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f"                              // marks
        "\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae"  // embeddings and overrides
        "\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9"              // isolates
        "\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\xef\xbf\xb9\xf3\xa0\x80\x81\xf3\xa0\x81\xbf";
    EXPECT_EQ(shown("a" + steering + "b"), "ab");
    EXPECT_EQ(written("a" + steering + "b"), "a" + steering + "b") << "a pipe gets what llama2.c writes";
    const std::string neighbours =
        "\xd8\x9b\xd8\x9d\xe2\x80\x8c\xe2\x80\x8d\xe2\x80\x90\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\x9f\xe2\x81\xb0\xef\xbb"
        "\xbe"
        "\xef\xbf\xb8\xef\xbf\xbc\xf3\xa0\x82\x80\xf0\x9f\xa6\x99";
    EXPECT_EQ(shown(neighbours), neighbours);
}

TEST(TextOutput, APrintableTextIsOneLine) {
    EXPECT_EQ(printable("two\nlines\x1b[2J\x7f"), "two?lines?[2J?");
    EXPECT_EQ(printable("\xc2\x9b\xe2\x80\xae\xff\xc3\xa4"), kBad + "\xc3\xa4");
    EXPECT_EQ(printable(std::string(10000, 'x')), std::string(10000, 'x'));
    EXPECT_EQ(printable(""), "");
}

TEST(TextOutput, AFullDeviceIsReported) {
    const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full < 0) {
        GTEST_SKIP() << "this system has no /dev/full";
    }
    TextOutput out(full, true);
    out.write("text");
    EXPECT_EQ(out.error(), 0);
    out.end_token();
    EXPECT_EQ(out.error(), ENOSPC);
    out.finish();
    EXPECT_EQ(out.error(), ENOSPC) << "the first error stays";
    ::close(full);
}

TEST(TextOutput, AClosedPipeIsReported) {
    std::signal(SIGPIPE, SIG_IGN);
    Pipe pipe;
    pipe.close_read();
    TextOutput out(pipe.fd(), false);
    out.write("text");
    out.finish();
    EXPECT_EQ(out.error(), EPIPE);
}

}  // namespace
}  // namespace storybake
