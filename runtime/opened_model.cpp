#include "opened_model.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <span>
#include <utility>

#include "clock.hpp"
#include "files.hpp"
#include "model.hpp"
#include "notices.hpp"
#include "report.hpp"
#include "seal.hpp"
#include "selftest.hpp"

namespace storybake {
namespace {

constexpr std::size_t kMaxTokenizerBytes = std::size_t{64} << 20;

/// Says how the work is cut up.
struct ThreadsAndBatch {
    int threads;
    int batch;
};

Result<ThreadsAndBatch> choose_threads_and_batch(const Options& options) {
    // Take OMP_NUM_THREADS away before anything asks OpenMP: LLVM's aborts over a number that is none.
    std::optional<std::string> wanted;
    if (const char* const environment = std::getenv("OMP_NUM_THREADS")) {
        wanted = environment;
        ::unsetenv("OMP_NUM_THREADS");
    }
    const Result<Threads> threads = choose_threads(options.threads, wanted ? wanted->c_str() : nullptr,
                                                   available_cores(), most_threads(), kModel.macs_per_token);
    if (!threads) {
        return threads.failure();
    }
    warn(threads->warning);
    const int batch = options.batch.value_or(kModel.max_batch);
    if (batch < 1 || batch > kModel.max_batch) {
        return failure(kExitUsage, "--batch %d: expected 1 to %d", batch, kModel.max_batch);
    }
    const int count = startable_threads(threads->count);
    if (count < threads->count) {
        warn(message("the system lets this program start %d of %d threads (ulimit -u, -v): running %d", count,
                     threads->count, count));
    }
    return ThreadsAndBatch{count, batch};
}

/// Opens the user's tokenizer, else the baked one. `blob` keeps the former's memory.
Result<Tokenizer> open_tokenizer(const std::string& path, std::vector<std::byte>& blob) {
    if (path.empty()) {
        return Tokenizer::view(kPackedData.tokenizer, kModel.vocab_size);
    }
    Result<std::vector<std::byte>> file = read_file(path, "tokenizer", kMaxTokenizerBytes);
    if (!file) {
        return file.failure();
    }
    Result<std::vector<std::byte>> baked = bake_tokenizer(*file, kModel.vocab_size, path.c_str());
    if (!baked) {
        return baked.failure();
    }
    blob = std::move(*baked);
    return Tokenizer::view(blob, kModel.vocab_size);
}

/// Runs --selftest: damage in the weights or the tokenizer is for it to find, so neither is looked at before.
Result<std::string> run_self_test(const Options& options) {
    const Result<ThreadsAndBatch> chosen = choose_threads_and_batch(options);
    if (!chosen) {
        return chosen.failure();
    }
    const Result<Weights> weights =
        Weights::load(kPackedData, kModel.name, options.weights, how_to_load(options), false);
    if (!weights) {
        return weights.failure();
    }
    Engine engine(weights->data(), chosen->threads, chosen->batch, nullptr);
    return self_test(engine, weights->data(), kPackedData, check_program);
}

}  // namespace

Load how_to_load(const Options& options) {
    const bool in_file = !options.weights.empty() || kPackedData.weights == nullptr;
    return options.load ? *options.load : choose_load(kPackedData, in_file, kModel.kv_bytes + kModel.activation_bytes);
}

std::optional<int> answer_options(const Options& options, const char* program, const std::string& help,
                                  std::string_view sbom) {
    switch (options.action) {
        case Action::kHelp:
            std::fputs(help.c_str(), stdout);
            return finish_stdout();
        case Action::kVersion:
            std::fputs(version_text(program, kModel.target, kModel.weight_type).c_str(), stdout);
            return finish_stdout();
        case Action::kInfo:
            print_info(stdout, kModel, kPackedData, how_to_load(options));
            return finish_stdout();
        case Action::kSbom:
            std::fwrite(sbom.data(), 1, sbom.size(), stdout);
            return finish_stdout();
        case Action::kSelfTest:
        case Action::kRun:
            break;
    }
    if (const char* extension = missing_extension()) {
        return report_failure(failure(kExitUnavailable,
                                      "this program was built for %s, which needs %s; this CPU lacks it: build with "
                                      "-Dtarget=native here, or -Dtarget=portable",
                                      kModel.target, extension));
    }
    for (const std::string& warning : options.warnings) {
        warn(warning);
    }
    if (options.action == Action::kSelfTest) {
        const Result<std::string> passed = run_self_test(options);
        if (!passed) {
            return report_failure(passed.failure());
        }
        std::fputs(passed->c_str(), stdout);
        return finish_stdout();
    }
    return std::nullopt;
}

Result<OpenedModel> OpenedModel::open(const Options& options) {
    OpenedModel model;
    const Result<ThreadsAndBatch> chosen = choose_threads_and_batch(options);
    if (!chosen) {
        return chosen.failure();
    }
    model.threads = chosen->threads;
    model.batch = chosen->batch;
    if (!options.checkpoint.empty()) {
        if (auto failed = check_checkpoint(options.checkpoint, kPackedData, kModel.name)) {
            if (failed->exit_code == kExitMissingFile) {
                failed->message += ": a story's beginning is given as -i \"TEXT\"";
            }
            return *failed;
        }
    }
    Result<Tokenizer> tokenizer = open_tokenizer(options.tokenizer, model.tokenizer_blob);
    if (!tokenizer) {
        return tokenizer.failure();
    }
    model.tokenizer.emplace(*tokenizer);
    const std::int64_t start = now_ns();
    Result<Weights> weights = Weights::load(kPackedData, kModel.name, options.weights, how_to_load(options));
    if (!weights) {
        return weights.failure();
    }
    model.loading = {weights->how(), kPackedData.weights_size, seconds_since(start)};
    model.weights.emplace(std::move(*weights));
    return model;
}

int choose_steps(int steps) {
    if (steps == 0) {
        return kModel.seq_len;
    }
    if (steps > kModel.seq_len) {
        // Don't warn about the default of 256: nobody asked for that many.
        if (steps != Options{}.steps) {
            warn(message("-n %d is beyond the model's context: using %d", steps, kModel.seq_len));
        }
        return kModel.seq_len;
    }
    return steps;
}

std::uint64_t choose_seed(std::uint64_t seed) {
    return seed != 0 ? seed : static_cast<std::uint32_t>(std::time(nullptr));
}

std::uint64_t nth_seed(std::uint64_t seed, int n) {
    const std::uint64_t next = seed + static_cast<std::uint64_t>(n);
    return next + (next < seed ? 1 : 0);
}

}  // namespace storybake
