#include "text_output.hpp"

#include <cstring>
#include <span>

#include "files.hpp"

namespace storybake {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool is_white_space(unsigned char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
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
        // Not the continuation: what there was is invalid, and this byte begins anew.
        have_ = 0;
        put(kReplacement);
    }
    if (byte < 0x80) {
        if (is_white_space(byte) || (byte > ' ' && byte != 0x7f)) {
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
    const bool control = need_ == 2 && sequence_[0] == '\xc2' && static_cast<unsigned char>(sequence_[1]) < 0xa0;
    if (!control) {
        put({sequence_, static_cast<std::size_t>(need_)});
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

int TextOutput::emit(std::string_view text) {
    return write_all(fd_, std::as_bytes(std::span(text)));
}

}  // namespace storybake
