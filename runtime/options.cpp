#include "options.hpp"

#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#ifndef STORYBAKE_VERSION
#define STORYBAKE_VERSION "(development)"
#endif

namespace storybake {
namespace {

// Limits temperatures other than 0 from below: dividing by less overflows, and is argmax to the last bit long before.
constexpr float kMinTemperature = 1e-30F;
constexpr int kMostStories = 1000000;
constexpr int kMostTokens = 1 << 20;
constexpr std::size_t kMostStops = 16;
constexpr std::size_t kLongestStop = 1000;  // bytes

/// Reads a text that is one number as a whole, without space around it.
Result<double> parse_number(const OptionRow& row, const char* text) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || std::isspace(static_cast<unsigned char>(*text)) != 0 || !std::isfinite(value)) {
        return not_a("a finite number", row, text);
    }
    return value;
}

std::optional<Failure> set_seed(Options& options, const OptionRow& row, const char* text) {
    char* end = nullptr;
    errno = 0;
    const unsigned long long value = std::strtoull(text, &end, 10);
    if (std::isdigit(static_cast<unsigned char>(*text)) == 0 || *end != '\0' || errno == ERANGE) {
        return not_a("a whole number from 0 (the time) to 18446744073709551615", row, text);
    }
    options.seed = value;
    return std::nullopt;
}

std::optional<Failure> set_temperature(Options& options, const OptionRow& row, const char* text) {
    Result<double> value = parse_number(row, text);
    if (!value) {
        return value.failure();
    }
    if (*value < 0.0) {
        options.warnings.push_back("-t " + std::string(text) + " is below 0: using 0, as llama2.c does");
        value = 0.0;
    }
    options.temperature = static_cast<float>(*value);
    if ((*value > 0.0 && options.temperature < kMinTemperature) || !std::isfinite(options.temperature)) {
        return not_a("0 (always the likeliest token) or 1e-30 to 1e38", row, text);
    }
    return std::nullopt;
}

std::optional<Failure> set_top_p(Options& options, const OptionRow& row, const char* text) {
    Result<double> value = parse_number(row, text);
    if (!value) {
        return value.failure();
    }
    options.topp = static_cast<float>(*value);
    if (options.topp < 0.0F || options.topp > 1.0F) {
        options.warnings.push_back("-p " + std::string(text) + " is not in 0 to 1: using 0.9, as llama2.c does");
        options.topp = 0.9F;
    }
    return std::nullopt;
}

std::optional<Failure> set_top_k(Options& options, const OptionRow& row, const char* text) {
    return set_number(options.sampling.top_k, row, text, 0, kMostTokens);
}

std::optional<Failure> set_min_p(Options& options, const OptionRow& row, const char* text) {
    const Result<double> value = parse_number(row, text);
    if (!value || *value < 0.0 || *value > 1.0) {
        return not_a("a number from 0 (no limit) to 1", row, text);
    }
    options.sampling.min_p = static_cast<float>(*value);
    return std::nullopt;
}

std::optional<Failure> set_repeat_penalty(Options& options, const OptionRow& row, const char* text) {
    const Result<double> value = parse_number(row, text);
    if (!value || *value < 0.1 || *value > 10.0) {
        return not_a("a number from 0.1 to 10; 1 is no penalty", row, text);
    }
    options.sampling.repeat_penalty = static_cast<float>(*value);
    return std::nullopt;
}

std::optional<Failure> set_repeat_last_n(Options& options, const OptionRow& row, const char* text) {
    return set_number(options.sampling.repeat_last_n, row, text, 0, kMostTokens);
}

std::optional<Failure> set_stop(Options& options, const OptionRow& row, const char* text) {
    if (*text == '\0' || std::strlen(text) > kLongestStop || options.stops.size() == kMostStops) {
        return not_a("a text of 1 to 1000 bytes, 16 of them at most", row, text);
    }
    options.stops.emplace_back(text);
    return std::nullopt;
}

std::optional<Failure> set_steps(Options& options, const OptionRow& row, const char* text) {
    options.steps_given = true;
    if (auto failed = set_number(options.steps, row, text)) {
        return failed;
    }
    if (options.steps < 0) {
        options.warnings.push_back("-n " + std::string(text) +
                                   " is below 0: using 0, the whole context, as llama2.c does");
        options.steps = 0;
    }
    return std::nullopt;
}

std::optional<Failure> set_mode(Options& options, const OptionRow& row, const char* text) {
    if (std::strcmp(text, "generate") == 0) {
        options.mode = Mode::kGenerate;
    } else if (std::strcmp(text, "chat") == 0) {
        options.mode = Mode::kChat;
    } else if (std::strcmp(text, "ask") == 0) {
        options.mode = Mode::kAsk;
    } else {
        return not_a("generate, chat or ask", row, text);
    }
    return std::nullopt;
}

std::optional<Failure> set_load(Options& options, const OptionRow& row, const char* text) {
    if (std::strcmp(text, "read") == 0) {
        options.load = Load::kRead;
    } else if (std::strcmp(text, "map") == 0) {
        options.load = Load::kMap;
    } else {
        return not_a("read or map", row, text);
    }
    return std::nullopt;
}

std::optional<Failure> set_draft(Options& options, const OptionRow& row, const char* text) {
    constexpr const char* kNames[] = {"auto", "always", "never"};  // in the order of Drafting
    for (const Drafting when : {Drafting::kAuto, Drafting::kAlways, Drafting::kNever}) {
        if (std::strcmp(text, kNames[static_cast<std::size_t>(when)]) == 0) {
            options.drafting = when;
            return std::nullopt;
        }
    }
    return not_a("auto, always or never", row, text);
}

template <std::string Options::*file>
std::optional<Failure> set_file(Options& options, const OptionRow& row, const char* text) {
    if (*text == '\0') {
        return not_a("the name of a file", row, text);
    }
    options.*file = text;
    return std::nullopt;
}

std::optional<Failure> set_prompt(Options& options, const OptionRow& /*row*/, const char* text) {
    options.prompt_from_stdin = std::strcmp(text, "-") == 0;
    options.prompt = options.prompt_from_stdin ? "" : text;
    return std::nullopt;
}

std::optional<Failure> set_prompt_file(Options& options, const OptionRow& row, const char* text) {
    if (std::strcmp(text, "-") == 0) {
        return set_prompt(options, row, text);
    }
    return set_file<&Options::prompt_file>(options, row, text);
}

std::optional<Failure> set_repeat(Options& options, const OptionRow& row, const char* text) {
    return set_number(options.repeat, row, text, 1, kMostStories);
}

std::optional<Failure> set_threads(Options& options, const OptionRow& row, const char* text) {
    return set_number(options.threads, row, text);  // the limits are the engine's to know
}

std::optional<Failure> set_batch(Options& options, const OptionRow& row, const char* text) {
    return set_number(options.batch, row, text);
}

std::optional<Failure> set_separator(Options& options, const OptionRow& /*row*/, const char* text) {
    options.separator = text;
    return std::nullopt;
}

std::optional<Failure> set_system_prompt(Options& options, const OptionRow& /*row*/, const char* text) {
    options.system_prompt = text;
    return std::nullopt;
}

template <bool Options::*flag>
std::optional<Failure> set_flag(Options& options, const OptionRow& /*row*/, const char* /*text*/) {
    options.*flag = true;
    return std::nullopt;
}

template <Action action>
std::optional<Failure> set_action(Options& options, const OptionRow& /*row*/, const char* /*text*/) {
    options.action = action;
    return std::nullopt;
}

constexpr OptionRow kRows[] = {
#define HEADING(text) {0, nullptr, nullptr, nullptr, text},
#define OPTION(letter, name, metavar, set, help) {letter, name, metavar, set, help},
#define OWN_OPTION(letter, name, metavar, set, help) {letter, name, metavar, set, help, true},
#include "options.inc"
#undef HEADING
#undef OPTION
#undef OWN_OPTION
};

}  // namespace

std::span<const OptionRow> option_rows() {
    return kRows;
}

Result<Options> parse_options(int argc, char* const* argv) {
    Options options;
    std::vector<const char*> operands;
    if (auto failed = read_arguments(argc, argv, kRows, options, operands)) {
        return *failed;
    }
    if (!operands.empty()) {
        if (*operands[0] == '\0') {
            return failure(kExitUsage, "checkpoint \"\": expected the name of a file, or no argument: see --help");
        }
        options.checkpoint = operands[0];
    }
    if (operands.size() > 1) {
        return failure(
            kExitUsage,
            "unexpected argument \"%s\" after the checkpoint \"%s\": is a quote missing? A story's beginning is "
            "given as -i \"TEXT\"",
            operands[1], operands[0]);
    }
    if (options.prompt && !options.prompt_file.empty()) {
        return failure(kExitUsage, "-i and -f are two beginnings of one story: expected one of them");
    }
    if (options.mode == Mode::kChat && options.prompt_from_stdin) {
        return failure(kExitUsage, "-i - cannot be used with -m chat, which reads what you say from standard input");
    }
    if (options.mode == Mode::kChat && options.repeat != 1) {
        return failure(kExitUsage, "-r cannot be used with -m chat, which is one conversation");
    }
    if (options.mode == Mode::kAsk && !options.prompt && options.prompt_file.empty()) {
        return failure(kExitUsage, "-m ask: expected what to ask, found nothing: give it with -i or -f");
    }
    return options;
}

std::string help_text(const char* name, int seq_len, int most_threads, int max_batch) {
    const HelpFact facts[] = {{"seq_len", std::to_string(seq_len)},
                              {"threads", std::to_string(most_threads)},
                              {"batch", std::to_string(max_batch)}};
    std::string text = "Usage: ";
    text += name;
    text +=
        " [CHECKPOINT] [OPTION]...\n"
        "Tells a story with the model that is baked into this program. The story goes to\n"
        "standard output, everything else to standard error. CHECKPOINT is the model's\n"
        "file, for commands written for llama2.c; it must be the one that was baked, and\n"
        "is not needed.\n";
    text += table_text(kRows, facts);
    text +=
        "\nExit codes: 0; 2 usage; 65 bad data; 66 a file is missing; 69 not for this CPU;\n"
        "70 self-test; 71 no memory; 74 input or output failed; 130 interrupted.\n";
    return text;
}

std::string version_text(const char* name, const char* target, const char* weight_type) {
    return std::string(name) + " (" + weight_type + ", " + target + "), baked by storybake " STORYBAKE_VERSION "\n";
}

}  // namespace storybake
