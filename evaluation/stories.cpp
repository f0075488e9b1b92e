// Tells the model's own stories as tokens, for tools/draft (evaluation/draft.py reads them).
//
// Arguments: how many stories, the first one's seed, the temperature. Standard output, little-endian: a story after the
// other, u32 count and i32 tokens[count], from the token that a text begins with to the last before its end.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "engine.hpp"
#include "files.hpp"
#include "model.hpp"
#include "notices.hpp"
#include "opened_model.hpp"
#include "program.hpp"
#include "sampler.hpp"

namespace storybake {
namespace {

/// Returns the tokens of one story, of at most as many as the context has.
std::vector<int> tell(Engine& engine, const Tokenizer& tokenizer, Sampler& sampler) {
    std::vector<int> tokens = tokenizer.encode("");
    for (std::size_t pos = 0; pos < static_cast<std::size_t>(kModel.seq_len); ++pos) {
        engine.forward({&tokens[pos], 1}, static_cast<int>(pos), Logits::kLast);
        if (pos + 1 < tokens.size()) {
            continue;
        }
        const int token = sampler.sample(logits(), logits_facts().largest);
        if (tokenizer.ends_text(token)) {
            break;
        }
        tokens.push_back(token);
    }
    return tokens;
}

int main(int argc, char** argv) {
    prepare_process(kModel.name);
    if (argc != 4) {
        return report_failure(
            failure(kExitUsage, "stories: expected COUNT SEED TEMPERATURE, found %d arguments", argc - 1));
    }
    Options options;
    options.threads = 1;
    if (const std::optional<int> code = answer_options(options, "stories", "")) {
        return *code;  // this CPU can't
    }
    const auto opened = OpenedModel::open(options);
    if (!opened) {
        return report_failure(opened.failure());
    }
    const OpenedModel& model = *opened;
    Engine engine(model.weights->data(), model.threads, 1, nullptr);
    const std::uint64_t seed = std::strtoull(argv[2], nullptr, 10);
    Sampler sampler(kModel.vocab_size, std::strtof(argv[3], nullptr), options.topp, seed);
    sampler.forbid(model.tokenizer->never());
    bool written = true;
    for (int i = 0; written && i < std::atoi(argv[1]); ++i) {
        sampler.restart(nth_seed(seed, i));
        const std::vector<int> tokens = tell(engine, *model.tokenizer, sampler);
        const auto count = static_cast<std::uint32_t>(tokens.size());
        written = write_all(STDOUT_FILENO, std::as_bytes(std::span(&count, 1))) == 0 &&
                  write_all(STDOUT_FILENO, std::as_bytes(std::span(tokens))) == 0;
    }
    return written ? kExitOk : kExitIo;  // whoever reads knows why it stopped
}

}  // namespace
}  // namespace storybake

int main(int argc, char** argv) {
    return storybake::main(argc, argv);
}
