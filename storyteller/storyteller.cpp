// Runs the storyteller: a wish, a story, a voice.

#include <unistd.h>

#include <cstdio>
#include <optional>

#include "files.hpp"
#include "generate.hpp"
#include "model.hpp"
#include "notices.hpp"
#include "opened_model.hpp"
#include "program.hpp"
#include "report.hpp"
#include "sbom.hpp"
#include "storyteller/memory.hpp"
#include "storyteller/recogniser.hpp"
#include "storyteller/robot.hpp"
#include "storyteller/speech_options.hpp"

namespace storybake::speech {
namespace {

constexpr const char* kName = "storyteller";

/// Reads the first line of standard input.
std::optional<Failure> read_wish(std::string& wish) {
    Result<std::string> text = read_stream(STDIN_FILENO, kMaxPromptBytes);
    if (!text) {
        return text.failure();
    }
    wish = text->substr(0, text->find('\n'));
    return std::nullopt;
}

std::optional<Failure> run(SpeechOptions& options) {
    if (!options.loop && options.wish == "-") {
        if (auto failed = read_wish(*options.wish)) {
            return failed;
        }
    }
    catch_signals();
    Result<std::unique_ptr<Robot>> robot = Robot::open(options);
    return robot ? (*robot)->run() : robot.failure();
}

/// Prints what --info says beside the model's facts.
void print_speech_info(const SpeechOptions& options) {
    const Result<std::string> acoustic_model = find_acoustic_model(options.acoustic_model);
    const MemoryNeed need = memory_need(options, acoustic_model ? *acoustic_model : "");
    const auto mega = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
    std::printf("%-18s %.1f MB with the voice\n", "telling takes", mega(need.telling()));
    if (acoustic_model) {
        std::printf("%-18s %.1f MB with the acoustic model %s\n", "hearing takes", mega(need.hearing()),
                    acoustic_model->c_str());
        std::printf("%-18s %.1f MB of %.1f available: %s\n", "both at once", mega(need.both()), mega(need.available),
                    need.both_fit() ? "both fit" : "one after the other");
    } else {
        std::printf("%-18s %s\n", "hearing", acoustic_model.failure().message.c_str());
    }
}

int main(int argc, char** argv) {
    prepare_process(kName);
    Result<SpeechOptions> options = parse_speech_options(argc, argv);
    if (!options) {
        return report_failure(options.failure());
    }
    set_language(options->language);
    if (options->action == Action::kInfo) {
        print_info(stdout, kModel, kPackedData, how_to_load(*options));
        print_speech_info(*options);
        return finish_stdout();
    }
    if (const std::optional<int> answered = answer_options(*options, kName, speech_help_text(kName), kSbom)) {
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
