// Prints what is to be said about a run and about the model.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>

#include "generate.hpp"
#include "machine.hpp"
#include "model.hpp"
#include "weights.hpp"

namespace storybake {

/// Holds what a run was made with.
struct RunFacts {
    int threads;
    bool sampled;        // tells whether it drew random numbers, from `seed`
    std::uint64_t seed;  // is the first story's
    int stories = 1;
    std::optional<Loading> weights = std::nullopt;  // none: not measured
};

/// Prints llama2.c's line "achieved tok/s: X", when anything was computed after the prompt, and a line with tokens,
/// tok/s, ms a token, GB/s of weights, the prompt's tok/s, threads, the seed and the fingerprint of the last logits.
void print_stats(std::FILE* to, const ModelFacts& model, const Stats& stats, const RunFacts& run);

/// Tells where the time of a run went.
struct ProfileFacts {
    std::span<const OpFacts> ops;
    std::span<const Profile::Row> rows;  // count what each operation took
    double seconds;                      // are the whole run's
    MachineFacts machine;
    DraftFacts drafts = {};
};

/// Prints a row an operation, and what was spent outside of the model; then the machine, what loading took, and cycles
/// a multiply-accumulate where the clock is known.
void print_profile(std::FILE* to, const ProfileFacts& profile, const Loading& weights);

/// Prints all of it as one JSON object in one line: numbers in seconds and bytes, null for what was not measured, the
/// fingerprint of the last logits and the warnings as texts.
void print_json(std::FILE* to, const ModelFacts& model, const Stats& stats, const RunFacts& run,
                std::span<const std::string> warnings, const std::optional<ProfileFacts>& profile);

/// Prints the facts of the baked model: dimensions, cost of a token, memory, how its weights are loaded, fingerprints.
void print_info(std::FILE* to, const ModelFacts& model, const PackedData& packed, Load load);

}  // namespace storybake
