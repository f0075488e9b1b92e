// Opens what was baked into a program, as its options say, and answers those that ask for no story.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine.hpp"
#include "fail.hpp"
#include "options.hpp"
#include "tokenizer.hpp"
#include "weights.hpp"

namespace storybake {

/// Chooses how the weights are loaded: as asked, or as suits the memory.
Load how_to_load(const Options& options);

/// Does what --help, --version, --info, --sbom and --selftest ask for, or refuses a CPU that can't run the model (69);
/// then returns the exit code. Returns nothing when there is a story to tell; warnings about the options are printed
/// then.
std::optional<int> answer_options(const Options& options, const char* program, const std::string& help,
                                  std::string_view sbom = {});

/// Holds the model that is baked into this program, opened as the options say.
struct OpenedModel {
    std::vector<std::byte> tokenizer_blob;  // holds the bytes of a tokenizer that was named
    std::optional<Tokenizer> tokenizer;
    std::optional<Weights> weights;
    Loading loading{};  // says how the weights were loaded
    int threads = 1;
    int batch = 1;

    /// Opens tokenizer, weights and engine. Fails with 2, 65, 66, 71 and 74.
    static Result<OpenedModel> open(const Options& options);
};

/// Returns the positions that --steps asks for; the model's at most.
int choose_steps(int steps);

/// Returns the seed that was asked for, or makes one of the time.
std::uint64_t choose_seed(std::uint64_t seed);

/// Returns the seed of the story `n` after the one of `seed`. No seed is ever 0: the generator would stay there.
std::uint64_t nth_seed(std::uint64_t seed, int n);

}  // namespace storybake
