// Streaming decode: any token ids, or any bytes in pieces of any size, written as text. What comes out is UTF-8 without
// control characters, the same however it was cut in pieces.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fuzz.hpp"
#include "text_output.hpp"
#include "tokenizer.hpp"
#include "vocabulary.hpp"

namespace storybake {
namespace {

constexpr std::size_t kMaxWritten = std::size_t{1} << 20;

/// A file in memory that can be read without a system call.
class Written {
public:
    Written() : fd_(::memfd_create("written", 0)) {
        fuzz::require(fd_ >= 0 && ::ftruncate(fd_, kMaxWritten) == 0, "memory for the output");
        data_ = static_cast<const char*>(::mmap(nullptr, kMaxWritten, PROT_READ, MAP_SHARED, fd_, 0));
        fuzz::require(data_ != MAP_FAILED, "memory for the output");
    }

    int rewind() {
        ::lseek(fd_, 0, SEEK_SET);
        return fd_;
    }

    [[nodiscard]] std::string_view text() const { return {data_, static_cast<std::size_t>(::lseek(fd_, 0, SEEK_CUR))}; }

private:
    int fd_;
    const char* data_;
};

/// The length of the sequence that a lead byte begins; 0 for any other byte.
std::size_t sequence_length(unsigned char lead) {
    return lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
}

/// The character that `bytes` encode, with the shortest form only; -1 when they are none.
long character(std::string_view bytes) {
    const std::size_t length = sequence_length(static_cast<unsigned char>(bytes[0]));
    if (length == 0 || bytes.size() != length) {
        return -1;
    }
    long value = static_cast<unsigned char>(bytes[0]) & (length == 1 ? 0x7f : 0xff >> (length + 1));
    for (const char c : bytes.substr(1)) {
        if ((c & '\xc0') != '\x80') {
            return -1;
        }
        value = value << 6 | (c & 0x3f);
    }
    constexpr long kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    return value < kSmallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000) ? -1 : value;
}

/// Whether more bytes can make a character of these. Only the second byte is restricted beyond being a continuation.
bool begins_character(std::string_view bytes) {
    const std::size_t length = sequence_length(static_cast<unsigned char>(bytes[0]));
    if (length <= 1 || bytes.size() >= length) {
        return character(bytes) >= 0;
    }
    char whole[4] = {'\x80', '\x80', '\x80', '\x80'};
    std::copy(bytes.begin(), bytes.end(), whole);
    if (bytes.size() > 1) {
        return character({whole, length}) >= 0;
    }
    for (const char second : {'\x80', '\x9f', '\xa0', '\xbf'}) {
        whole[1] = second;
        if (character({whole, length}) >= 0) {
            return true;
        }
    }
    return false;
}

/// What TextOutput promises, on the whole text at once: the longest beginnings of characters that don't end become
/// U+FFFD, control characters but white space nothing.
std::string expected_of(std::string_view bytes) {
    std::string text;
    while (!bytes.empty()) {
        std::size_t length = 1;
        while (length < bytes.size() && character(bytes.substr(0, length)) < 0 &&
               begins_character(bytes.substr(0, length + 1))) {
            ++length;
        }
        const long c = character(bytes.substr(0, length));
        if (c < 0) {
            text += "\xef\xbf\xbd";
        } else if ((c >= 0x20 && c < 0x7f) || c >= 0xa0 || (c >= '\t' && c <= '\r')) {
            text += bytes.substr(0, length);
        }
        bytes.remove_prefix(length);
    }
    return text;
}

std::vector<std::byte> bake() {
    Vocabulary vocabulary = Vocabulary::with_bytes();
    for (const char* piece : {" ", " a", "\xf0\x9f\xa6\x99", "\xf0\x9f", "\xa6\x99 \x1b[", "\xc2", "\x9b"}) {
        vocabulary.add(piece, 0.0F);
    }
    auto blob = bake_tokenizer(as_bytes(vocabulary.file()), vocabulary.size(), "fuzz");
    fuzz::require(static_cast<bool>(blob), "the vocabulary is valid");
    return std::move(*blob);
}

}  // namespace
}  // namespace storybake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    static const std::vector<std::byte> blob = bake();
    static const Tokenizer tokenizer = *Tokenizer::view(blob, 3 + 256 + 7);
    static Written written;
    if (size > kMaxWritten / 8) {
        return -1;
    }
    fuzz::Input input(data, size);
    const std::uint8_t kind = input.byte();
    TextOutput out(written.rewind(), (kind & 1) != 0);
    std::string bytes;
    const auto write = [&](std::string_view part) {
        bytes += part;
        out.write(part);
        out.end_token();
    };
    if ((kind & 2) != 0) {
        for (int previous = kBos; !input.empty();) {
            const int byte = input.byte();
            const int token = byte < 250 ? byte : 3 + 250 + (input.byte() % 13);
            write(tokenizer.decode(previous, token));
            previous = token;
        }
    } else {
        const std::size_t step = 1 + kind / 4U;
        for (std::string_view text = input.text(); !text.empty();
             text.remove_prefix(text.size() < step ? text.size() : step)) {
            write(text.substr(0, step));
        }
    }
    out.finish();
    fuzz::require(out.error() == 0, "memory can be written to");
    fuzz::require(written.text() == expected_of(bytes), "the output is the text, cleaned");
    return 0;
}
