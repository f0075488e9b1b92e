// Describes the threads that compute one token together: what each needs to know of the others.
#pragma once

namespace storybake {

class SpinBarrier;

/// Waits at the barrier until all `size` threads of a team are there.
void wait_at(SpinBarrier& barrier, int size);

/// Names one thread's place in the team: it takes the slice `rank` of `size` of every operation.
struct Team {
    int rank = 0;
    int size = 1;
    SpinBarrier* barrier = nullptr;

    /// Waits until every thread of the team is here; free for a team of one.
    void sync() const {
        if (size > 1) {
            wait_at(*barrier, size);
        }
    }

    struct Slice {
        int begin, end;
    };

    /// Returns this thread's share of `count` equal items, contiguous, the same for every token.
    [[nodiscard]] Slice slice(int count) const {
        return {static_cast<int>(static_cast<long long>(count) * rank / size),
                static_cast<int>(static_cast<long long>(count) * (rank + 1) / size)};
    }
};

}  // namespace storybake
