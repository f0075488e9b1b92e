// Does what every program around a baked model does beside its own work: signals, messages, opening what was baked.
#pragma once

#include <csignal>
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

/// Holds the signal that asked for an end, 0 before. Set by SIGINT, SIGTERM and SIGHUP after catch_signals().
extern volatile std::sig_atomic_t stop_signal;

/// Lets a signal end the run in order, after the token or batch at hand: with what it took, and no partial file.
void catch_signals();

/// Prepares the process at the beginning of main(), with the program's name for its messages: running out of memory
/// ends the process with 71, losing a page of a mapped file with 74, and writing to a pipe that was closed, or beyond
/// the file size that the user may write, is an error instead of a signal. Whichever of the descriptors 0, 1 and 2 is
/// closed is taken by something that can't be read or written, so that no file is opened in its place.
void prepare_process(const char* name);

/// Prints why it failed; returns the exit code.
int report_failure(const Failure& failed);

/// Says what becomes of warnings: printed when they occur, kept for take_warnings(), or dropped.
enum class Warnings { kPrint, kKeep, kDrop };
void set_warnings(Warnings how);

/// Prints a warning, or does what set_warnings() said; unless it is empty.
void warn(const std::string& message);

/// Returns the warnings that were kept, and forgets them.
std::vector<std::string> take_warnings();

/// Returns the exit code after everything has been printed to stdout: 0 or 74.
int finish_stdout();

/// Chooses how the weights are loaded: as asked, or as suits the memory.
Load how_to_load(const Options& options);

/// Does what --help, --version, --info, --sbom and --selftest ask for, or refuses a CPU that can't run the model (69);
/// then returns the exit code. Returns nothing when there is a story to tell; warnings about the options are printed
/// then.
std::optional<int> answer_options(const Options& options, const char* program, const std::string& help,
                                  std::string_view sbom = {});

/// Holds the model that is baked into this program, opened as the options say.
struct BakedModel {
    std::vector<std::byte> tokenizer_blob;  // holds the bytes of a tokenizer that was named
    std::optional<Tokenizer> tokenizer;
    std::optional<Weights> weights;
    Loading loading{};  // says how the weights were loaded
    int threads = 1;
    int batch = 1;

    /// Opens tokenizer, weights and engine. Fails with 2, 65, 66, 71 and 74.
    static Result<BakedModel> open(const Options& options);
};

/// Returns the positions that --steps asks for; the model's at most.
int choose_steps(int steps);

/// Returns the seed that was asked for, or makes one of the time.
std::uint64_t choose_seed(std::uint64_t seed);

/// Returns the seed of the story `n` after the one of `seed`. No seed is ever 0: the generator would stay there.
std::uint64_t nth_seed(std::uint64_t seed, int n);

}  // namespace storybake
