// Runs the generated forward pass: how many threads share it, and how many positions it takes at once.
#pragma once

#include <csignal>
#include <optional>
#include <span>
#include <string>

#include "barrier.hpp"
#include "fail.hpp"
#include "model.hpp"
#include "team.hpp"

namespace storybake {

/// Holds the number of threads, and what there is to say about it.
struct Threads {
    int count;
    std::string warning;  // empty when there is none
};

/// Chooses how many threads to run: `requested` (--threads), which must be between 1 and `most`; else the first number
/// of `environment` (OMP_NUM_THREADS, null when it is not set) when it is; else as many as `cores` and the size of the
/// model make worth while. Fails with 2.
Result<Threads> choose_threads(std::optional<int> requested, const char* environment, int cores, int most,
                               std::uint64_t macs_per_token);

/// Returns the most threads that this build can run: kModel.max_threads, or 1 without OpenMP.
int most_threads();

/// Tries how many of `wanted` threads the system lets this process have at once, its own one included. OpenMP ends the
/// process where it can't start one that it needs; what was tried leaves it their stacks.
int startable_threads(int wanted);

/// Counts the cores that this process may run on.
int available_cores();

class Engine {
public:
    /// Takes `weights`, the packed image; 1 <= threads <= most_threads(), 1 <= batch <= kModel.max_batch. `profile` may
    /// be null.
    Engine(const std::byte* weights, int threads, int batch, Profile* profile);

    Engine(const Engine&) = delete;  // the threads of a team meet at its barrier
    Engine& operator=(const Engine&) = delete;

    /// Computes the positions pos, pos + 1, ... of up to `batch` tokens. Returns the logits of the last one when they
    /// are wanted, of the first where those of two are, (vocab_size,); else nothing.
    std::span<float> forward(std::span<const int> tokens, int pos, Logits wanted);

    /// Computes any number of positions in batches, and the classifier for the last one only; returns its logits, if
    /// all are `wanted`. Stops early between two batches when `*stop` is not 0, and has no logits then.
    std::span<float> prefill(std::span<const int> tokens, int pos, const volatile std::sig_atomic_t& stop,
                             Logits wanted = Logits::kLast);

    /// Computes the logits that Logits::kHead or kHeadOfTwo left out; returns all of the position that is chosen.
    std::span<float> complete();

    [[nodiscard]] int threads() const { return threads_; }

private:
    template <typename Work>
    void run_team(const Work& work);

    const std::byte* weights_;
    int threads_;
    int batch_;
    Profile* profile_;
    SpinBarrier barrier_;
};

}  // namespace storybake
