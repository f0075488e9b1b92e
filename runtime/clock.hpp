// Reads the clock that times a run. <chrono> would cost every file that includes it a third of a second of compiling.
#pragma once

#include <cstdint>
#include <ctime>

namespace storybake {

/// Returns the nanoseconds since a moment that stays the same while the machine runs; never goes back.
inline std::int64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Returns the seconds since now_ns() returned `start`.
inline double seconds_since(std::int64_t start) {
    return static_cast<double>(now_ns() - start) * 1e-9;
}

}  // namespace storybake
