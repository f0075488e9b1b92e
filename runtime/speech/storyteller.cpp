// The storyteller: a wish, a story, a voice.

#include <array>
#include <chrono>
#include <optional>

#include "program.hpp"
#include "speech/speech_options.hpp"
#include "speech/teller.hpp"

namespace storybake::speech {
namespace {

constexpr const char* kName = "storyteller";

std::optional<Failure> run(const SpeechOptions& options) {
    catch_signals();
    Result<std::unique_ptr<Teller>> opened = Teller::open(options);
    if (!opened) {
        return opened.failure();
    }
    Teller& teller = **opened;
    const auto since = std::chrono::steady_clock::now();
    Story story = {options.model.prompt.value_or(""), Echo::kYes, choose_seed(options.model.seed)};
    if (options.wish) {
        story.prompt = "Tell me a story about " + *options.wish + ".";
        story.echo = Echo::kNo;
    }
    const std::optional<Failure> failed = teller.tell(story, {}, since);
    const std::optional<Failure> unfinished = teller.finish();
    return failed ? failed : unfinished;
}

int main(int argc, char** argv) {
    prepare_process(kName);
    const Result<SpeechOptions> options = parse_speech_options(argc, argv);
    if (!options) {
        return report_failure(options.failure());
    }
    set_language(options->language);
    if (const std::optional<int> answered = answer_options(options->model, kName, speech_help_text(kName))) {
        return *answered;
    }
    if (const std::optional<Failure> failed = run(*options)) {
        return report_failure(*failed);
    }
    return stop_signal == 0 ? kExitOk : 128 + static_cast<int>(stop_signal);
}

}  // namespace
}  // namespace storybake::speech

int main(int argc, char** argv) {
    return storybake::speech::main(argc, argv);
}
