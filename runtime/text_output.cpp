#include "text_output.hpp"

#include <unistd.h>

#include <cstring>
#include <span>

#include "files.hpp"

namespace storybake {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool is_white_space(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/// Tells whether a character is invisible and changes how others are shown: the direction of writing, lines,
/// annotations, tags. (The joiners U+200C and U+200D pass: scripts and emoji are written with them.)
bool steers(char32_t c) {
    constexpr char32_t kRanges[][2] = {{0x061c, 0x061c}, {0x200e, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},
                                       {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};
    for (const auto& range : kRanges) {
        if (c >= range[0] && c <= range[1]) {
            return true;
        }
    }
    return false;
}

/// Decodes the character of a whole sequence of 2 to 4 bytes.
char32_t decode(std::string_view sequence) {
    char32_t c = static_cast<unsigned char>(sequence[0]) & (0x7fU >> sequence.size());
    for (const char byte : sequence.substr(1)) {
        c = c << 6 | (static_cast<unsigned char>(byte) & 0x3fU);
    }
    return c;
}

}  // namespace

void TextSink::write(std::string_view bytes) {
    for (const char c : bytes) {
        add(static_cast<unsigned char>(c));
    }
}

void TextSink::end_token() {
    if (!flush_tokens_) {
        return;
    }
    const std::int64_t now = pause_ > 0 ? now_ns() : flushed_;
    if (now - flushed_ >= pause_) {
        flushed_ = now;
        flush();
    }
}

void TextSink::finish() {
    if (have_ > 0) {
        have_ = 0;
        put(kReplacement);
    }
    flush();
}

void TextSink::add(unsigned char byte) {
    if (have_ > 0) {
        if (byte >= low_ && byte <= high_) {
            sequence_[have_++] = static_cast<char>(byte);
            low_ = 0x80;
            high_ = 0xbf;
            if (have_ == need_) {
                put_character();
            }
            return;
        }
        // The byte does not continue the sequence: what there was is invalid, and this byte begins anew.
        have_ = 0;
        put(kReplacement);
    }
    if (byte < 0x80) {
        const bool blank = terminal_ ? byte == ' ' || byte == '\t' || byte == '\n' : is_white_space(byte);
        if (blank || (byte > ' ' && byte != 0x7f)) {
            const char c = static_cast<char>(byte);
            put({&c, 1});
        }
        return;
    }
    if (byte < 0xc2 || byte > 0xf4) {
        put(kReplacement);
        return;
    }
    sequence_[0] = static_cast<char>(byte);
    have_ = 1;
    need_ = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    low_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    high_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
}

void TextSink::put_character() {
    // U+0080 to U+009F are control characters too (C1).
    const std::string_view sequence(sequence_, static_cast<std::size_t>(need_));
    const char32_t c = decode(sequence);
    if (c >= 0xa0 && !(terminal_ && steers(c))) {
        put(sequence);
    }
    have_ = 0;
}

void TextSink::put(std::string_view text) {
    if (used_ + text.size() > kBlock) {
        flush();
    }
    std::memcpy(block_ + used_, text.data(), text.size());
    used_ += text.size();
}

void TextSink::flush() {
    if (error_ == 0) {
        error_ = emit({block_, used_});
    }
    used_ = 0;
}

TextOutput::TextOutput(int fd, bool flush_tokens, std::int64_t pause_ms)
    : TextSink(flush_tokens, pause_ms, ::isatty(fd) == 1 ? For::kTerminal : For::kReader), fd_(fd) {}

int TextOutput::emit(std::string_view text) {
    return write_all(fd_, std::as_bytes(std::span(text)));
}

std::string printable(std::string_view text) {
    class Line final : public TextSink {
    public:
        Line() : TextSink(false, 0, For::kTerminal) {}
        std::string text;

    private:
        int emit(std::string_view part) override {
            text += part;
            return 0;
        }
    };
    std::string line(text);
    for (char& c : line) {
        c = static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
    }
    Line shown;
    shown.write(line);
    shown.finish();
    return shown.text;
}

}  // namespace storybake
