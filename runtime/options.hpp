// Reads the command line: llama2.c's options with its defaults, a long name for each, and storybake's own.
//
// It is parsed with getopt_long, which is in every libc, costs a static binary nothing, and needs no exceptions and no
// iostream. CLI11, which Debian has, was considered: it throws, includes iostream and regex-like machinery, and adds
// several hundred kilobytes to a static executable whose own code has about a hundred.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "draft.hpp"
#include "fail.hpp"
#include "option_table.hpp"
#include "sampler.hpp"
#include "weights.hpp"

namespace storybake {

enum class Mode { kGenerate, kChat, kAsk };
enum class Action { kRun, kHelp, kVersion, kInfo, kSelfTest, kSbom };

struct Options {
    Action action = Action::kRun;
    std::string checkpoint;  // llama2.c's first argument: checked, not read. Empty when it is not given
    float temperature = 1.0F;
    float topp = 0.9F;
    Sampling sampling;
    std::vector<std::string> stops;  // hold texts that end a story
    bool ignore_eos = false;
    std::uint64_t seed = 0;  // 0: the time
    int steps = 256;         // 0: the whole context
    bool steps_given = false;
    int repeat = 1;  // stories, each with the next seed
    std::optional<std::string> prompt;
    bool prompt_from_stdin = false;
    std::string prompt_file;        // empty: none
    std::string separator = "---";  // the line between two stories
    std::string tokenizer;          // empty: the baked one
    Mode mode = Mode::kGenerate;
    std::optional<std::string> system_prompt;
    std::optional<int> threads;
    std::optional<int> batch;
    Drafting drafting = Drafting::kAuto;
    std::string logits;        // file to write; empty: none
    std::string weights;       // file to read; empty: the baked ones
    std::optional<Load> load;  // says how to load them; none: as suits the memory
    bool profile = false;
    bool quiet = false;                 // no report and no warning
    bool json = false;                  // the report and the warnings are one JSON object
    std::vector<std::string> warnings;  // values that llama2.c replaces silently
};

/// Returns the rows of the program's options, headings between them.
std::span<const OptionRow> option_rows();

/// Reads the arguments. Fails with 2; what llama2.c clamps is clamped as it does, with a warning.
Result<Options> parse_options(int argc, char* const* argv);

/// Returns the text of --help. `most_threads` and `max_batch` are the largest values of their options.
std::string help_text(const char* name, int seq_len, int most_threads, int max_batch);

/// Returns the text of --version.
std::string version_text(const char* name, const char* target, const char* weight_type);

}  // namespace storybake
