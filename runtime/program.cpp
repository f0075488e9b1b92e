#include "program.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <span>
#include <utility>

#include "clock.hpp"
#include "files.hpp"
#include "model.hpp"
#include "report.hpp"
#include "seal.hpp"
#include "selftest.hpp"
#include "text_output.hpp"

namespace storybake {
namespace {

const char* program_name = "storybake";

constexpr std::size_t kMaxTokenizerBytes = std::size_t{64} << 20;

/// Handles SIGBUS: a page of a mapped file is no longer there, or the card doesn't give it any more. Any other cause is
/// a defect of the program, which dies of it.
void lost_page(int signal, siginfo_t* info, void* /*context*/) {
    if (info->si_code != BUS_ADRERR) {
        std::signal(signal, SIG_DFL);
        return;
    }
    discard_unfinished_files();
    for (const char* text : {program_name,
                             ": weights: a page is gone from their file: it was cut short, or the card fails: "
                             "copy it again, or use --load read\n"}) {
        static_cast<void>(write_all(STDERR_FILENO, std::as_bytes(std::span(text, std::strlen(text)))));
    }
    std::_Exit(kExitIo);
}

/// Ends the process without memory: there is nothing to undo but files, for everything is allocated before the first
/// token.
[[noreturn]] void out_of_memory() {
    discard_unfinished_files();
    std::fprintf(stderr, "%s: out of memory: close other programs\n", program_name);
    std::_Exit(kExitNoMemory);
}

/// Prints "program: message" as one line on standard error.
void print_message(const std::string& message) {
    std::fprintf(stderr, "%s: %s\n", program_name, printable(message).c_str());
}

/// Takes the descriptors 0 to 2 that are closed: the next file would get them, and the story or the messages with it.
/// Each is opened the wrong way round, so that reading and writing fail as they do on a closed one.
void fill_standard_descriptors() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) == -1 && ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            print_message(std::string("/dev/null: cannot be opened: ") + std::strerror(errno));
            std::_Exit(kExitIo);
        }
    }
}

Warnings warnings = Warnings::kPrint;
std::vector<std::string> kept_warnings;

/// Says how the work is cut up.
struct Shares {
    int threads;
    int batch;
};

Result<Shares> choose_shares(const Options& options) {
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
    return Shares{threads->count, batch};
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
Result<std::string> prove(const Options& options) {
    const Result<Shares> shares = choose_shares(options);
    if (!shares) {
        return shares.failure();
    }
    const Result<Weights> weights =
        Weights::load(kPackedData, kModel.name, options.weights, how_to_load(options), false);
    if (!weights) {
        return weights.failure();
    }
    Engine engine(weights->data(), shares->threads, shares->batch, nullptr);
    return self_test(engine, weights->data(), kPackedData, check_program);
}

}  // namespace

volatile std::sig_atomic_t stop_signal = 0;

void catch_signals() {
    struct sigaction action {};
    action.sa_handler = [](int signal) { stop_signal = signal; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        sigaction(signal, &action, nullptr);
    }
}

void prepare_process(const char* name) {
    program_name = name;
    fill_standard_descriptors();
    std::set_new_handler(out_of_memory);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    struct sigaction action {};
    action.sa_sigaction = lost_page;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, nullptr);
}

int report_failure(const Failure& failed) {
    print_message(failed.message);
    return failed.exit_code;
}

void warn(const std::string& message) {
    if (message.empty() || warnings == Warnings::kDrop) {
        return;
    }
    if (warnings == Warnings::kKeep) {
        kept_warnings.push_back(message);
    } else {
        print_message("warning: " + message);
    }
}

void set_warnings(Warnings how) {
    warnings = how;
}

std::vector<std::string> take_warnings() {
    return std::exchange(kept_warnings, {});
}

int finish_stdout() {
    const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
    if (!failed || errno == EPIPE) {
        return kExitOk;
    }
    return report_failure(failure(kExitIo, "standard output: writing failed: %s", std::strerror(errno)));
}

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
        const Result<std::string> passed = prove(options);
        if (!passed) {
            return report_failure(passed.failure());
        }
        std::fputs(passed->c_str(), stdout);
        return finish_stdout();
    }
    return std::nullopt;
}

Result<BakedModel> BakedModel::open(const Options& options) {
    BakedModel model;
    const Result<Shares> shares = choose_shares(options);
    if (!shares) {
        return shares.failure();
    }
    model.threads = shares->threads;
    model.batch = shares->batch;
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
            warn(failure(0, "-n %d is beyond the model's context: using %d", steps, kModel.seq_len).message);
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
