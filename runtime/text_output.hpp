// Writes text on its way out: whole UTF-8 sequences, no control characters, every write checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "clock.hpp"

namespace storybake {

/// Puts the bytes of tokens together to UTF-8 text. A token may end in the middle of a character, which is written
/// when it is whole. A sequence that is cut or is not UTF-8 becomes U+FFFD. Control characters other than white space
/// are dropped, so that no text can steer a terminal (llama2.c drops them as well, when they are a token of their own).
/// Of white space, a terminal gets spaces, tabs and line feeds alone, and none of the characters that turn the
/// direction of writing or are otherwise invisible. Where the text goes is the derived class's.
class TextSink {
public:
    enum class For { kReader, kTerminal };

    /// Makes end_token() emit at once, with flush_tokens, unless less than `pause_ms` have passed since it did: nobody
    /// sees that, and waking a reader for each token would take as long as a token of a small model. Otherwise text is
    /// emitted in blocks.
    explicit TextSink(bool flush_tokens, std::int64_t pause_ms = 0, For reader = For::kReader)
        : flush_tokens_(flush_tokens),
          terminal_(reader == For::kTerminal),
          pause_(pause_ms * 1'000'000),
          flushed_(now_ns() - pause_) {}

    TextSink(const TextSink&) = delete;
    TextSink& operator=(const TextSink&) = delete;
    virtual ~TextSink() = default;

    void write(std::string_view bytes);
    void end_token();

    /// Tells whether no more text is wanted; asked after the prompt and each token.
    [[nodiscard]] virtual bool full() const { return false; }

    /// Emits what is left; a character that is still incomplete becomes U+FFFD.
    void finish();

    /// Returns the errno of the first emit() that failed, 0 while all is well. After a failure, text is dropped.
    [[nodiscard]] int error() const { return error_; }

protected:
    /// Takes whole characters. Returns 0, or the errno of the failure.
    virtual int emit(std::string_view text) = 0;

private:
    void add(unsigned char byte);
    void put(std::string_view text);
    void put_character();
    void flush();

    static constexpr std::size_t kBlock = 4096;

    bool flush_tokens_;
    bool terminal_;
    std::int64_t pause_;  // nanoseconds
    std::int64_t flushed_;
    int error_ = 0;
    // Hold the character being put together: bytes so far, bytes that it will have, and the range of its next byte,
    // which is narrower than 80..BF after some lead bytes (overlong forms, surrogates, beyond U+10FFFF).
    char sequence_[4] = {};
    int have_ = 0;
    int need_ = 0;
    unsigned char low_ = 0;
    unsigned char high_ = 0;
    std::size_t used_ = 0;
    char block_[kBlock];
};

/// Writes text to a file descriptor, which may be a terminal; flush_tokens is for whoever reads along.
class TextOutput final : public TextSink {
public:
    TextOutput(int fd, bool flush_tokens, std::int64_t pause_ms = 0);

private:
    int emit(std::string_view text) override;

    int fd_;
};

/// Returns a text as it may be shown anywhere, in one line: '?' for each control character, U+FFFD for what is not
/// UTF-8, nothing for what a terminal doesn't get.
std::string printable(std::string_view text);

}  // namespace storybake
