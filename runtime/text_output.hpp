// Text on its way out: whole UTF-8 sequences, no control characters, every write checked.
#pragma once

#include <cstddef>
#include <string_view>

namespace storybake {

/// Puts the bytes of tokens together to UTF-8 text. A token may end in the middle of a character, which is written
/// when it is whole. A sequence that is cut or is not UTF-8 becomes U+FFFD. Control characters other than white space
/// are dropped, so that no text can steer a terminal (llama2.c drops them as well, when they are a token of their own).
class TextOutput {
public:
    /// With flush_tokens, end_token() writes at once (for a terminal); otherwise text is written in blocks.
    TextOutput(int fd, bool flush_tokens) : fd_(fd), flush_tokens_(flush_tokens) {}

    void write(std::string_view bytes);
    void end_token();

    /// Writes what is left; a character that is still incomplete becomes U+FFFD.
    void finish();

    /// The errno of the first write that failed, 0 while all is well. After a failure, text is dropped.
    [[nodiscard]] int error() const { return error_; }

private:
    void add(unsigned char byte);
    void put(std::string_view text);
    void put_character();
    void flush();

    static constexpr std::size_t kBlock = 4096;

    int fd_;
    bool flush_tokens_;
    int error_ = 0;
    // The character being put together: bytes so far, bytes that it will have, and the range of its next byte, which
    // is narrower than 80..BF after some lead bytes (overlong forms, surrogates, beyond U+10FFFF).
    char sequence_[4] = {};
    int have_ = 0;
    int need_ = 0;
    unsigned char low_ = 0;
    unsigned char high_ = 0;
    std::size_t used_ = 0;
    char block_[kBlock];
};

}  // namespace storybake
