// What hearing and telling take of memory, and what this machine has.
#pragma once

#include <cstdint>
#include <string>

namespace storybake::speech {

/// In bytes.
struct MemoryNeed {
    std::uint64_t telling;    // model and voice
    std::uint64_t listening;  // 0 without an acoustic model
    std::uint64_t available;  // of this machine, now; 0 when it doesn't say

    /// Whether the recogniser can stay while a story is told; else it is loaded for each wish anew.
    [[nodiscard]] bool both_fit() const { return telling + listening <= available; }
};
MemoryNeed memory_need(const std::string& acoustic_model);

}  // namespace storybake::speech
