// Tells where the time of a token goes, by operation and shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "clock.hpp"

namespace storybake {

/// Describes one row of the profile: an operation of one shape.
struct OpFacts {
    const char* name;     // "matmul_q8_288x288", "attention", ...
    std::uint64_t bytes;  // counts the weights' bytes that one call reads
    std::uint64_t macs;   // multiply-accumulates of one call and position
};

/// Times the steps of forward() on the thread of rank 0. mark() charges the time since the last mark to an operation
/// of so many positions, so it counts what the thread waited for the others as well.
class Profile {
public:
    struct Row {
        std::uint64_t calls = 0;
        std::uint64_t positions = 0;  // counts the positions that the calls computed, together
        std::uint64_t ns = 0;
    };

    /// Counts into `rows`, which has one entry an operation of kOps and outlives the profile.
    explicit Profile(std::span<Row> rows) : rows_(rows) {}

    void start() { last_ = now_ns(); }

    void mark(int op, int positions) {
        const std::int64_t now = now_ns();
        Row& row = rows_[static_cast<std::size_t>(op)];
        row.calls += 1;
        row.positions += static_cast<std::uint64_t>(positions);
        row.ns += static_cast<std::uint64_t>(now - last_);
        last_ = now;
    }

    /// Charges a wait for other threads to the last row.
    void mark_wait(int positions) { mark(static_cast<int>(rows_.size()) - 1, positions); }

private:
    std::span<Row> rows_;
    std::int64_t last_ = 0;
};

}  // namespace storybake
