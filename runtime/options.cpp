#include "options.hpp"

#include <cctype>
#include <cerrno>
#include <climits>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#ifndef STORYBAKE_VERSION
#define STORYBAKE_VERSION "(development)"
#endif

namespace storybake {
namespace {

// The smallest temperature but 0: dividing by less overflows, and is argmax to the last bit long before.
constexpr float kMinTemperature = 1e-30F;
constexpr int kMostStories = 1000000;

enum LongOnly : int { kVersion = 256, kInfo, kThreads, kBatch, kLogits, kProfile, kWeights, kLoad, kSelfTest };

constexpr option kLongOptions[] = {
    // the letters'
    {"temperature", required_argument, nullptr, 't'},
    {"top-p", required_argument, nullptr, 'p'},
    {"seed", required_argument, nullptr, 's'},
    {"steps", required_argument, nullptr, 'n'},
    {"repeat", required_argument, nullptr, 'r'},
    {"prompt", required_argument, nullptr, 'i'},
    {"tokenizer", required_argument, nullptr, 'z'},
    {"mode", required_argument, nullptr, 'm'},
    {"system-prompt", required_argument, nullptr, 'y'},
    {"help", no_argument, nullptr, 'h'},
    // without a letter
    {"version", no_argument, nullptr, kVersion},
    {"info", no_argument, nullptr, kInfo},
    {"selftest", no_argument, nullptr, kSelfTest},
    {"threads", required_argument, nullptr, kThreads},
    {"batch", required_argument, nullptr, kBatch},
    {"logits", required_argument, nullptr, kLogits},
    {"profile", no_argument, nullptr, kProfile},
    {"weights", required_argument, nullptr, kWeights},
    {"load", required_argument, nullptr, kLoad},
    {nullptr, 0, nullptr, 0},
};

std::string option_name(int code) {
    if (code < 256) {
        return {'-', static_cast<char>(code)};
    }
    for (const option* known = kLongOptions; known->name != nullptr; ++known) {
        if (known->val == code) {
            return std::string("--") + known->name;
        }
    }
    return {};
}

Failure not_a(const char* expected, int code, const char* text) {
    return failure(kExitUsage, "%s \"%s\": expected %s: see --help", option_name(code).c_str(), text, expected);
}

/// The whole text is one number, without space around it.
Result<double> parse_number(int code, const char* text) {
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || std::isspace(static_cast<unsigned char>(*text)) != 0 || !std::isfinite(value)) {
        return not_a("a finite number", code, text);
    }
    return value;
}

/// The whole text is one decimal integer.
Result<int> parse_int(int code, const char* text) {
    char* end = nullptr;
    errno = 0;
    const long value = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || std::isspace(static_cast<unsigned char>(*text)) != 0) {
        return not_a("a whole number", code, text);
    }
    if (errno == ERANGE || value > INT_MAX || value < INT_MIN) {
        return not_a("a number of at most ten digits", code, text);
    }
    return static_cast<int>(value);
}

Result<std::uint64_t> parse_seed(const char* text) {
    char* end = nullptr;
    errno = 0;
    const unsigned long long value = std::strtoull(text, &end, 10);
    if (std::isdigit(static_cast<unsigned char>(*text)) == 0 || *end != '\0' || errno == ERANGE) {
        return not_a("a whole number from 0 (the time) to 18446744073709551615", 's', text);
    }
    return static_cast<std::uint64_t>(value);
}

std::optional<Failure> set_temperature(Options& options, const char* text) {
    Result<double> value = parse_number('t', text);
    if (!value) {
        return value.failure();
    }
    if (*value < 0.0) {
        options.warnings.push_back("-t " + std::string(text) + " is below 0: using 0, as llama2.c does");
        value = 0.0;
    }
    options.temperature = static_cast<float>(*value);
    if ((*value > 0.0 && options.temperature < kMinTemperature) || !std::isfinite(options.temperature)) {
        return not_a("0 (always the likeliest token) or 1e-30 to 1e38", 't', text);
    }
    return std::nullopt;
}

std::optional<Failure> set_topp(Options& options, const char* text) {
    Result<double> value = parse_number('p', text);
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

std::optional<Failure> set_steps(Options& options, const char* text) {
    Result<int> value = parse_int('n', text);
    if (!value) {
        return value.failure();
    }
    options.steps = *value;
    if (*value < 0) {
        options.warnings.push_back("-n " + std::string(text) +
                                   " is below 0: using 0, the whole context, as llama2.c does");
        options.steps = 0;
    }
    return std::nullopt;
}

std::optional<Failure> set_mode(Options& options, const char* text) {
    if (std::strcmp(text, "generate") == 0) {
        options.mode = Mode::kGenerate;
    } else if (std::strcmp(text, "chat") == 0) {
        options.mode = Mode::kChat;
    } else {
        return not_a("generate or chat", 'm', text);
    }
    return std::nullopt;
}

std::optional<Failure> set_load(Options& options, const char* text) {
    if (std::strcmp(text, "read") == 0) {
        options.load = Load::kRead;
    } else if (std::strcmp(text, "map") == 0) {
        options.load = Load::kMap;
    } else {
        return not_a("read or map", kLoad, text);
    }
    return std::nullopt;
}

std::optional<Failure> set_file(std::string& file, int code, const char* text) {
    if (*text == '\0') {
        return not_a("the name of a file", code, text);
    }
    file = text;
    return std::nullopt;
}

template <class T, class Parsed>
std::optional<Failure> assign(T& target, Parsed parsed) {
    if (!parsed) {
        return parsed.failure();
    }
    target = *parsed;
    return std::nullopt;
}

std::optional<Failure> set_option(Options& options, int code, const char* text) {
    switch (code) {
        case 't':
            return set_temperature(options, text);
        case 'p':
            return set_topp(options, text);
        case 's':
            return assign(options.seed, parse_seed(text));
        case 'n':
            return set_steps(options, text);
        case 'r':
            return assign(options.repeat, parse_number_in("-r", text, 1, kMostStories));
        case 'i':
            options.prompt_from_stdin = std::strcmp(text, "-") == 0;
            options.prompt = options.prompt_from_stdin ? "" : text;
            return std::nullopt;
        case 'z':
            return set_file(options.tokenizer, code, text);
        case 'm':
            return set_mode(options, text);
        case 'y':
            options.system_prompt = text;
            return std::nullopt;
        case kThreads:
            return assign(options.threads, parse_int(code, text));
        case kBatch:
            return assign(options.batch, parse_int(code, text));
        case kLogits:
            return set_file(options.logits, code, text);
        case kWeights:
            return set_file(options.weights, code, text);
        case kLoad:
            return set_load(options, text);
        case kProfile:
            options.profile = true;
            return std::nullopt;
        case 'h':
            options.action = Action::kHelp;
            return std::nullopt;
        case kVersion:
            options.action = Action::kVersion;
            return std::nullopt;
        case kSelfTest:
            options.action = Action::kSelfTest;
            return std::nullopt;
        default:  // kInfo
            options.action = Action::kInfo;
            return std::nullopt;
    }
}

}  // namespace

Result<int> parse_number_in(const char* name, const char* text, int least, int most) {
    char* end = nullptr;
    errno = 0;
    const long value = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || std::isspace(static_cast<unsigned char>(*text)) != 0 || errno == ERANGE ||
        value < least || value > most) {
        return failure(kExitUsage, "%s \"%s\": expected a whole number from %d to %d: see --help", name, text, least,
                       most);
    }
    return static_cast<int>(value);
}

Result<Options> parse_options(int argc, char* const* argv, const MoreOptions& more) {
    std::vector<option> rows;
    for (const option* row = more.rows; row != nullptr && row->name != nullptr; ++row) {
        rows.push_back(*row);
    }
    rows.insert(rows.end(), std::begin(kLongOptions), std::end(kLongOptions));
    Options options;
    opterr = 0;
    optind = 0;  // from the beginning, however often this is called
    while (true) {
        // The colon in front tells a missing value (':') from an unknown option ('?').
        const int code = getopt_long(argc, argv, ":t:p:s:n:r:i:z:m:y:h", rows.data(), nullptr);
        if (code == -1) {
            break;
        }
        if (code == ':') {
            return failure(kExitUsage, "%s needs a value: see --help", argv[optind - 1]);
        }
        if (code == '?') {
            const char letter[] = {'-', static_cast<char>(optopt), '\0'};
            const bool is_letter = optopt > 0 && optopt < 256;
            return failure(kExitUsage, "unknown option or value %s: see --help", is_letter ? letter : argv[optind - 1]);
        }
        if (std::optional<Failure> failed =
                code < kMoreOptions ? set_option(options, code, optarg) : more.set(code, optarg)) {
            return *failed;
        }
    }
    if (optind < argc) {
        options.checkpoint = argv[optind++];
    }
    if (optind < argc) {
        return failure(kExitUsage, "unexpected argument \"%s\" after the checkpoint \"%s\": is a quote missing?",
                       argv[optind], options.checkpoint.c_str());
    }
    if (options.mode == Mode::kChat && options.prompt_from_stdin) {
        return failure(kExitUsage, "-i - cannot be used with -m chat, which reads what you say from standard input");
    }
    if (options.mode == Mode::kChat && options.repeat != 1) {
        return failure(kExitUsage, "-r cannot be used with -m chat, which is one conversation");
    }
    return options;
}

std::string help_text(const char* name, int seq_len, int most_threads, int max_batch) {
    char text[4096];
    std::snprintf(
        text, sizeof text,
        "Usage: %s [CHECKPOINT] [OPTION]...\n"
        "Tells a story with the model that is baked into this program. The story goes to standard output,\n"
        "everything else to standard error.\n"
        "\n"
        "  CHECKPOINT                the model's file, for commands written for llama2.c; it must be the one\n"
        "                            that was baked, and is not needed\n"
        "  -i, --prompt TEXT         how the story begins; - reads it from standard input, without the last\n"
        "                            newline\n"
        "  -t, --temperature NUMBER  0 takes the likeliest token always, 1 (default) samples as the model says\n"
        "  -p, --top-p NUMBER        sample from the likeliest tokens that make up this share (default 0.9);\n"
        "                            0 or 1: from all\n"
        "  -s, --seed NUMBER         the same seed tells the same story; 0 (default) takes the time\n"
        "  -n, --steps NUMBER        positions to compute, the prompt's included (default 256); 0: all %d\n"
        "  -r, --repeat NUMBER       tell so many stories, one after another, each with the next seed\n"
        "  -m, --mode MODE           generate (default) or chat\n"
        "  -y, --system-prompt TEXT  in chat mode; asked for when it is not given\n"
        "  -z, --tokenizer FILE      a tokenizer.bin in place of the baked one\n"
        "\n"
        "      --threads NUMBER      1 to %d (default: OMP_NUM_THREADS, or what suits the model)\n"
        "      --batch NUMBER        positions of a prompt that are computed at once, 1 to %d\n"
        "      --weights FILE        the packed weights, in place of those inside or beside this program\n"
        "      --load HOW            read: weights in memory of their own; map: in the page cache, which others share\n"
        "                            and which may drop them (default: what suits the memory; --info says which)\n"
        "      --logits FILE         write the logits of every position: float32 [position][vocabulary]\n"
        "      --profile             where the time went, by operation\n"
        "      --info                the model's facts: dimensions, cost of a token, memory\n"
        "      --selftest            prove the weights, every kernel and a known run, and name what is broken\n"
        "  -h, --help                this text\n"
        "      --version             the version, target and weight type\n"
        "\n"
        "Exit codes: 0; 2 usage; 65 bad data; 66 a file is missing; 69 not for this CPU; 70 self-test;\n"
        "71 no memory; 74 input or output failed; 130 interrupted.\n",
        name, seq_len, most_threads, max_batch);
    return text;
}

std::string version_text(const char* name, const char* target, const char* weight_type) {
    return std::string(name) + " (" + weight_type + ", " + target + "), baked by storybake " STORYBAKE_VERSION "\n";
}

}  // namespace storybake
