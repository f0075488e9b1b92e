// The program of a baked model: options, then a story or a chat, then what it took.

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <vector>

#include "engine.hpp"
#include "fail.hpp"
#include "files.hpp"
#include "generate.hpp"
#include "model.hpp"
#include "options.hpp"
#include "report.hpp"
#include "sampler.hpp"
#include "text_output.hpp"
#include "tokenizer.hpp"
#include "weights.hpp"

namespace storybake {
namespace {

constexpr std::size_t kMaxTokenizerBytes = std::size_t{64} << 20;

volatile std::sig_atomic_t stop_signal = 0;

/// A signal ends the run in order, after the token or batch at hand: with what it took, and no partial file.
void catch_signals() {
    struct sigaction action {};
    action.sa_handler = [](int signal) { stop_signal = signal; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        sigaction(signal, &action, nullptr);
    }
}

/// Without memory there is nothing to undo: everything is allocated before the first token.
[[noreturn]] void out_of_memory() {
    std::fprintf(stderr, "%s: out of memory: close other programs\n", kModel.name);
    std::_Exit(kExitNoMemory);
}

int report_failure(const Failure& failed) {
    print_message(kModel.name, failed.message);
    return failed.exit_code;
}

void warn(const std::string& message) {
    if (!message.empty()) {
        print_message(kModel.name, "warning: " + message);
    }
}

/// The exit code after everything has been printed to stdout.
int finish_stdout() {
    const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
    if (!failed || errno == EPIPE) {
        return kExitOk;
    }
    return report_failure(failure(kExitIo, "standard output: writing failed: %s", std::strerror(errno)));
}

Result<int> choose_batch(std::optional<int> requested) {
    const int batch = requested.value_or(kModel.max_batch);
    if (batch < 1 || batch > kModel.max_batch) {
        return failure(kExitUsage, "--batch %d: expected 1 to %d", batch, kModel.max_batch);
    }
    return batch;
}

/// The user's tokenizer, else the baked one. `blob` keeps the former's memory.
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

std::optional<Failure> read_prompt(Options& options) {
    if (!options.prompt_from_stdin) {
        return std::nullopt;
    }
    Result<std::string> text = read_stream(STDIN_FILENO, kMaxPromptBytes);
    if (!text) {
        return text.failure();
    }
    if (text->size() > kMaxPromptBytes) {
        return failure(kExitUsage,
                       "the prompt on standard input has more than %zu bytes, the most that is read: shorten it",
                       kMaxPromptBytes);
    }
    for (const char end : {'\n', '\r'}) {
        if (!text->empty() && text->back() == end) {
            text->pop_back();
        }
    }
    options.prompt = std::move(*text);
    return std::nullopt;
}

int positions(int steps) {
    if (steps == 0) {
        return kModel.seq_len;
    }
    if (steps > kModel.seq_len) {
        // Not for the default of 256: nobody asked for that many.
        if (steps != Options{}.steps) {
            warn(failure(0, "-n %d is beyond the model's context: using %d", steps, kModel.seq_len).message);
        }
        return kModel.seq_len;
    }
    return steps;
}

int run(Options& options) {
    const Result<Threads> threads = choose_threads(options.threads, std::getenv("OMP_NUM_THREADS"), available_cores(),
                                                   most_threads(), kModel.macs_per_token);
    if (!threads) {
        return report_failure(threads.failure());
    }
    warn(threads->warning);
    const Result<int> batch = choose_batch(options.batch);
    if (!batch) {
        return report_failure(batch.failure());
    }
    if (!options.checkpoint.empty()) {
        if (const auto failed = check_checkpoint(options.checkpoint, kPackedData, kModel.name)) {
            return report_failure(*failed);
        }
    }
    std::vector<std::byte> tokenizer_blob;
    const Result<Tokenizer> tokenizer = open_tokenizer(options.tokenizer, tokenizer_blob);
    if (!tokenizer) {
        return report_failure(tokenizer.failure());
    }
    const Result<Weights> weights = Weights::load(kPackedData, kModel.name, options.weights);
    if (!weights) {
        return report_failure(weights.failure());
    }
    if (const auto failed = read_prompt(options)) {
        return report_failure(*failed);
    }

    catch_signals();
    std::optional<OutputFile> logits_file;
    if (!options.logits.empty()) {
        Result<OutputFile> created = OutputFile::create(options.logits);
        if (!created) {
            return report_failure(created.failure());
        }
        logits_file.emplace(std::move(*created));
    }

    std::vector<Profile::Row> rows(options.profile ? kOps.size() : 0);
    Profile profile(rows);
    Engine engine(weights->data(), threads->count, *batch, options.profile ? &profile : nullptr);
    const std::uint64_t seed = options.seed != 0 ? options.seed : static_cast<std::uint32_t>(std::time(nullptr));
    Sampler sampler(kModel.vocab_size, options.temperature, options.topp, seed);
    TextOutput out(STDOUT_FILENO, ::isatty(STDOUT_FILENO) == 1);
    Session session(engine, *tokenizer, sampler, out, logits_file ? &*logits_file : nullptr, positions(options.steps),
                    stop_signal);

    const auto start = std::chrono::steady_clock::now();
    std::optional<Failure> failed = options.mode == Mode::kChat
                                        ? session.chat(STDIN_FILENO, options.system_prompt, options.prompt)
                                        : session.generate(options.prompt.value_or(""));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (!failed && logits_file && stop_signal == 0) {
        failed = logits_file->commit();
    }
    if (out.error() == EPIPE) {
        return kExitOk;  // whoever read the story has heard enough
    }
    if (failed) {
        return report_failure(*failed);
    }
    warn(session.warning());
    print_stats(stderr, kModel, session.stats(), {threads->count, options.temperature != 0.0F, seed});
    if (options.profile) {
        print_profile(stderr, kOps, rows, took.count());
    }
    return stop_signal == 0 ? kExitOk : 128 + static_cast<int>(stop_signal);
}

int main(int argc, char** argv) {
    std::set_new_handler(out_of_memory);
    std::signal(SIGPIPE, SIG_IGN);
    Result<Options> options = parse_options(argc, argv);
    if (!options) {
        return report_failure(options.failure());
    }
    switch (options->action) {
        case Action::kHelp:
            std::fputs(help_text(kModel.name, kModel.seq_len, most_threads(), kModel.max_batch).c_str(), stdout);
            return finish_stdout();
        case Action::kVersion:
            std::fputs(version_text(kModel.name, kModel.target, kModel.weight_type).c_str(), stdout);
            return finish_stdout();
        case Action::kInfo:
            print_info(stdout, kModel, kPackedData);
            return finish_stdout();
        case Action::kRun:
            break;
    }
    if (const char* extension = missing_extension()) {
        return report_failure(failure(kExitUnavailable,
                                      "this program was built for %s, which needs %s; this CPU lacks it: build with "
                                      "-Dtarget=native here, or -Dtarget=portable",
                                      kModel.target, extension));
    }
    for (const std::string& warning : options->warnings) {
        warn(warning);
    }
    return run(*options);
}

}  // namespace
}  // namespace storybake

int main(int argc, char** argv) {
    return storybake::main(argc, argv);
}
