// Tries whether this processor has an instruction, where nothing else tells.
#pragma once

#include <csetjmp>
#include <csignal>

namespace storybake {

inline sigjmp_buf before_the_attempt;

/// Runs `attempt` and returns whether every instruction in it was a legal one; at an illegal one it is left. For a
/// program that has no other thread yet.
template <typename Attempt>
[[gnu::noinline]] bool survives(const Attempt& attempt) noexcept {
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = [](int) { siglongjmp(before_the_attempt, 1); };
    sigaction(SIGILL, &action, &before);
    volatile bool survived = false;  // outlives the jump
    if (sigsetjmp(before_the_attempt, 1) == 0) {
        attempt();
        survived = true;
    }
    sigaction(SIGILL, &before, nullptr);
    return survived;
}

}  // namespace storybake
