#include "storyteller/speech_options.hpp"

#include <vector>

#include "storyteller/speaker.hpp"

namespace storybake::speech {
namespace {

static_assert(kMinVolume == 10 && kMaxVolume == 400, "options.inc tells the limits");

/// Casts the options that a row's setter is given: they are the storyteller's.
SpeechOptions& own(Options& options) {
    return static_cast<SpeechOptions&>(options);
}

template <bool SpeechOptions::*flag>
std::optional<Failure> set_flag(Options& options, const OptionRow& /*row*/, const char* /*text*/) {
    own(options).*flag = true;
    return std::nullopt;
}

template <std::string SpeechOptions::*target>
std::optional<Failure> set_text(Options& options, const OptionRow& row, const char* text) {
    if (*text == '\0') {
        return not_a("a name", row, text);
    }
    own(options).*target = text;
    return std::nullopt;
}

std::optional<Failure> set_words(Words& target, const OptionRow& row, const char* text) {
    Result<Words> words = split_words(row.shown().c_str(), text);
    if (!words) {
        return words.failure();
    }
    target = std::move(*words);
    return std::nullopt;
}

template <Words SpeechOptions::*target>
std::optional<Failure> set_command(Options& options, const OptionRow& row, const char* text) {
    return set_words(own(options).*target, row, text);
}

template <std::size_t event>
std::optional<Failure> set_hook(Options& options, const OptionRow& row, const char* text) {
    return set_words(own(options).on[event], row, text);
}

template <int Manner::*target>
std::optional<Failure> set_manner(Options& options, const OptionRow& row, const char* text) {
    return set_number(own(options).manner.*target, row, text, 50, 200);
}

std::optional<Failure> set_volume(Options& options, const OptionRow& row, const char* text) {
    return set_number(own(options).volume, row, text, kMinVolume, kMaxVolume);
}

std::optional<Failure> set_max_sentences(Options& options, const OptionRow& row, const char* text) {
    return set_number(own(options).max_sentences, row, text, 1, 1000);
}

std::optional<Failure> set_wish(Options& options, const OptionRow& /*row*/, const char* text) {
    own(options).wish = text;
    return std::nullopt;
}

/// Reads minutes, or with a unit seconds, minutes or hours: 20, 90s, 20m, 1h. From a second to a day.
std::optional<Failure> set_sleep(Options& options, const OptionRow& row, const char* text) {
    constexpr int kDay = 24 * 60 * 60;
    std::string digits = text;
    const char last = digits.empty() ? '\0' : digits.back();
    const int unit = last == 's' ? 1 : last == 'h' ? 3600 : 60;
    if (last == 's' || last == 'm' || last == 'h') {
        digits.pop_back();
    }
    const Result<int> number = parse_number_in("", digits.c_str(), 1, kDay / unit);
    if (!number) {
        return not_a("minutes, 1 to 1440, or 90s, 20m, 2h", row, text);
    }
    own(options).sleep = std::chrono::seconds(*number * unit);
    return std::nullopt;
}

std::optional<Failure> set_language_of_messages(Options& options, const OptionRow& row, const char* text) {
    const std::optional<Language> language = find_language(text);
    if (!language) {
        return not_a("en or zh", row, text);
    }
    own(options).language = *language;
    return std::nullopt;
}

std::optional<Failure> refuse(Options& /*options*/, const OptionRow& row, const char* /*text*/) {
    return failure(kExitUsage, "%s is the model's own program's: see --help", row.shown().c_str());
}

constexpr OptionRow kOwnRows[] = {
#define HEADING(text) {0, nullptr, nullptr, nullptr, text},
#define OPTION(letter, name, metavar, set, help) {letter, name, metavar, set, help},
#include "storyteller/options.inc"
#undef HEADING
#undef OPTION
};

/// Returns the storyteller's rows and the program's, of which it refuses some.
std::vector<OptionRow> all_rows() {
    std::vector<OptionRow> rows(std::begin(kOwnRows), std::end(kOwnRows));
    for (OptionRow row : option_rows()) {
        row.set = row.own ? refuse : row.set;
        rows.push_back(row);
    }
    return rows;
}

}  // namespace

Result<SpeechOptions> parse_speech_options(int argc, char* const* argv) {
    SpeechOptions options;
    options.language = environment_language();
    std::vector<const char*> operands;
    if (auto failed = read_arguments(argc, argv, all_rows(), options, operands)) {
        return *failed;
    }
    if (!operands.empty()) {
        return failure(kExitUsage, "unexpected argument \"%s\": a story about it is asked for with --wish \"%s\"",
                       operands[0], operands[0]);
    }
    if (options.prompt_from_stdin) {
        return failure(kExitUsage, "-i - is the model's own program's: see --help");
    }
    if (options.wish && options.prompt) {
        return failure(kExitUsage, "--wish and -i are two beginnings of one story: expected one of them");
    }
    if (options.loop && ((options.wish && *options.wish != "-") || options.prompt)) {
        return failure(kExitUsage, "--loop asks for each wish: expected --wish - (typed) or none (said), not a wish");
    }
    if (!options.loop && options.listens() && (options.wish || options.prompt)) {
        return failure(kExitUsage, "a wish that is said and one that is written: expected one of them: see --help");
    }
    return options;
}

std::string speech_help_text(const char* name) {
    std::string shared;
    for (const OptionRow& row : option_rows()) {
        if (row.name != nullptr && !row.own && row.letter != 'h') {
            shared.append(shared.empty() ? 0 : 1, ' ').append(row.shown());
        }
    }
    const HelpFact facts[] = {{"voices", voice_names()}};
    std::string text = "Usage: ";
    text += name;
    text +=
        " [OPTION]...\n"
        "Tells a story aloud with the model that is baked into this program. The story\n"
        "goes to standard output as it is spoken, everything else to standard error.\n"
        "Nothing is recorded or sent anywhere.\n";
    text += table_text(kOwnRows, facts);
    text += "\nAs the model's own program has them; -n ends with a sentence:\n  ";
    add_wrapped(text, 2, shared, 2);
    text +=
        "  -h, --help                this text\n"
        "\nExit codes: 0; 2 usage; 65 bad data; 66 a file is missing; 69 no sound device or\n"
        "voice; 71 no memory; 74 input or output failed; 130 interrupted.\n";
    return text;
}

}  // namespace storybake::speech
