// What the fuzz targets share. Each is a libFuzzer target under AddressSanitizer and UndefinedBehaviorSanitizer, so a
// wrong access stops it by itself; require() adds what the code under test promises beyond that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "fail.hpp"

namespace storybake::fuzz {

inline void require(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "broken promise: %s\n", what);
        std::abort();
    }
}

/// A refusal has one of the program's exit codes and says something.
inline void require_refusal(const Failure& failed, int exit_code) {
    require(failed.exit_code == exit_code, "the exit code of a refusal");
    require(!failed.message.empty(), "a refusal says why");
}

/// The input, read from its beginning; zeros after its end.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}

    std::uint8_t byte() {
        if (bytes_.empty()) {
            return 0;
        }
        const std::uint8_t first = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return first;
    }

    [[nodiscard]] bool empty() const { return bytes_.empty(); }

    std::span<const std::byte> take(std::size_t size) {
        const auto taken = bytes_.first(size < bytes_.size() ? size : bytes_.size());
        bytes_ = bytes_.subspan(taken.size());
        return std::as_bytes(taken);
    }

    std::span<const std::byte> rest() { return take(bytes_.size()); }

    std::string_view text() {
        const auto all = rest();
        return {reinterpret_cast<const char*>(all.data()), all.size()};
    }

private:
    std::span<const std::uint8_t> bytes_;
};

}  // namespace storybake::fuzz

/// Short-lived blocks are not kept back from reuse for long, and remember little: that costs a page fault an execution.
extern "C" inline const char* __asan_default_options() {
    return "quarantine_size_mb=1:malloc_context_size=4";
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
