// Runs the program of a baked model: options, then a story or a chat, then what it took.

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "clock.hpp"
#include "engine.hpp"
#include "fail.hpp"
#include "files.hpp"
#include "generate.hpp"
#include "model.hpp"
#include "notices.hpp"
#include "opened_model.hpp"
#include "options.hpp"
#include "program.hpp"
#include "report.hpp"
#include "sampler.hpp"
#include "sbom.hpp"
#include "text_output.hpp"

namespace storybake {
namespace {

/// Reads the prompt from standard input or a file, without its last newline. Fails with 2, 66 and 74.
std::optional<Failure> read_prompt(Options& options) {
    if (!options.prompt_from_stdin && options.prompt_file.empty()) {
        return std::nullopt;
    }
    Result<std::string> text = options.prompt_from_stdin ? read_stream(STDIN_FILENO, kMaxPromptBytes)
                                                         : read_text(options.prompt_file, "prompt", kMaxPromptBytes);
    if (!text) {
        return text.failure();
    }
    if (text->size() > kMaxPromptBytes) {
        const bool in = !options.prompt_from_stdin;
        return failure(kExitUsage, "the prompt %s has more than %zu bytes, the most that is read: shorten it",
                       in ? ("in " + options.prompt_file).c_str() : "on standard input", kMaxPromptBytes);
    }
    for (const char end : {'\n', '\r'}) {
        if (!text->empty() && text->back() == end) {
            text->pop_back();
        }
    }
    options.prompt = std::move(*text);
    return std::nullopt;
}

/// Opens standard output: in blocks into a file, token by token to a terminal, and into a pipe, at the other end of
/// which a program or an ssh may be reading along, what tokens there are every 10 ms.
TextOutput standard_output() {
    struct stat status {};
    const bool file = ::fstat(STDOUT_FILENO, &status) == 0 && S_ISREG(status.st_mode);
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    return {STDOUT_FILENO, !file, terminal ? 0 : 10};
}

int run(Options& options) {
    const Result<OpenedModel> model = OpenedModel::open(options);
    if (!model) {
        return report_failure(model.failure());
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
    Engine engine(model->weights->data(), model->threads, model->batch, options.profile ? &profile : nullptr);
    const std::uint64_t seed = choose_seed(options.seed);
    Sampler sampler(kModel.vocab_size, options.temperature, options.topp, seed, options.sampling);
    TextOutput out = standard_output();
    Session session(engine, *model->tokenizer, sampler, out, logits_file ? &*logits_file : nullptr,
                    choose_steps(options.mode != Mode::kGenerate && !options.steps_given ? 0 : options.steps),
                    stop_signal);
    session.stop_at(options.stops);
    session.tell_by(warn);
    session.draft(options.drafting);
    if (options.ignore_eos) {
        session.ignore_ends();
    }

    const std::int64_t start = now_ns();
    std::optional<Failure> failed;
    if (options.mode == Mode::kChat) {
        failed = session.chat(STDIN_FILENO, options.system_prompt, options.prompt);
    }
    int stories = 0;
    for (; options.mode != Mode::kChat && stories < options.repeat && !failed && stop_signal == 0; ++stories) {
        if (stories > 0) {
            out.write(options.separator);
            out.write("\n");
        }
        sampler.restart(nth_seed(seed, stories));
        failed = options.mode == Mode::kAsk ? session.reply(*options.prompt, options.system_prompt.value_or(""))
                                            : session.generate(options.prompt.value_or(""));
    }
    const double took = seconds_since(start);
    if (!failed) {
        failed = model->weights->changed(kPackedData);
    }
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
    const RunFacts facts{model->threads, options.temperature != 0.0F, seed, stories, model->loading};
    std::optional<ProfileFacts> where;
    if (options.profile) {
        where = {kOps, rows, took,
                 measure_machine({model->weights->data(), static_cast<std::size_t>(kPackedData.weights_size)}),
                 session.stats().drafts};
    }
    if (options.json) {
        print_json(stderr, kModel, session.stats(), facts, take_warnings(), where);
    } else {
        if (!options.quiet) {
            print_stats(stderr, kModel, session.stats(), facts);
        }
        if (where) {
            print_profile(stderr, *where, model->loading);
        }
    }
    if (options.json && std::ferror(stderr) != 0) {
        return kExitIo;  // there is nowhere to say so
    }
    return stop_signal == 0 ? kExitOk : 128 + static_cast<int>(stop_signal);
}

int main(int argc, char** argv) {
    prepare_process(kModel.name);
    Result<Options> options = parse_options(argc, argv);
    if (!options) {
        return report_failure(options.failure());
    }
    set_warnings(options->json ? Warnings::kKeep : options->quiet ? Warnings::kDrop : Warnings::kPrint);
    const std::string help = help_text(kModel.name, kModel.seq_len, most_threads(), kModel.max_batch);
    if (const std::optional<int> answered = answer_options(*options, kModel.name, help, kSbom)) {
        return *answered;
    }
    return run(*options);
}

}  // namespace
}  // namespace storybake

int main(int argc, char** argv) {
    return storybake::main(argc, argv);
}
