// Defines the barrier between the steps of a team: apart from team.hpp, for <atomic> is slow to compile and every
// kernel includes that.
#pragma once

#include <sched.h>

#include <atomic>

namespace storybake {

/// Holds threads at a barrier that spins: a token has dozens of steps of a few microseconds, and putting a thread to
/// sleep and waking it costs more than a step. After some rounds it yields, for whoever else wants the core; at once
/// when that is a thread of the team itself, because there are more of them than cores.
class SpinBarrier {
public:
    explicit SpinBarrier(bool a_core_each) : spins_(a_core_each ? kSpins : 0) {}

    /// Returns when all `size` threads have called it as often as this one.
    void wait(int size) {
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
            if (spins < spins_) {
                relax();
            } else {
                ::sched_yield();
            }
        }
    }

private:
    static constexpr int kSpins = 2000;

    static void relax() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    // Lie on cache lines of their own: waiting threads read round_ (and spins_) while others count up arrived_.
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
    const int spins_;
};

}  // namespace storybake
