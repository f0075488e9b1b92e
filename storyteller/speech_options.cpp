#include "storyteller/speech_options.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "storyteller/guard.hpp"
#include "storyteller/speaker.hpp"
#include "storyteller/spoken.hpp"
#include "storyteller/wishes.hpp"

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

/// Reads a volume in percent, 60 or 60%, or in decibels against 100 %, -6dB.
template <int SpeechOptions::*target>
std::optional<Failure> set_volume(Options& options, const OptionRow& row, const char* text) {
    std::string digits = text;
    const bool decibels = digits.ends_with("dB");
    digits.resize(digits.size() - (decibels ? 2 : digits.ends_with('%') ? 1 : 0));
    digits.erase(digits.find_last_not_of(' ') + 1);
    Result<int> number = parse_number_in("", digits.c_str());
    if (number && decibels) {
        *number =
            *number < -100 || *number > 100 ? 0 : static_cast<int>(std::lround(100.0 * std::pow(10.0, *number / 20.0)));
    }
    if (!number || *number < kMinVolume || *number > kMaxVolume) {
        return not_a("10 to 400 percent, or -20dB to 12dB", row, text);
    }
    own(options).*target = *number;
    return std::nullopt;
}

std::optional<Failure> set_quiet_hours(Options& options, const OptionRow& row, const char* text) {
    const std::optional<QuietHours> hours = parse_quiet_hours(text);
    if (!hours) {
        return not_a("two times: 20:00-6:30", row, text);
    }
    own(options).quiet_hours = hours;
    return std::nullopt;
}

std::optional<Failure> set_stories_a_day(Options& options, const OptionRow& row, const char* text) {
    return set_number(own(options).stories_a_day, row, text, 1, 1000);
}

/// Finds a word among some; puts what it stands for where it belongs.
template <class T, std::size_t n>
std::optional<Failure> set_one_of(T& target, const std::pair<const char*, int> (&words)[n], const char* expected,
                                  const OptionRow& row, const char* text) {
    for (const auto& [word, value] : words) {
        if (std::string_view(text) == word) {
            target = static_cast<T>(value);
            return std::nullopt;
        }
    }
    return not_a(expected, row, text);
}

std::optional<Failure> set_length(Options& options, const OptionRow& row, const char* text) {
    return set_one_of(own(options).length, {{"short", -1}, {"usual", 0}, {"long", 1}}, "short, usual or long", row,
                      text);
}

std::optional<Failure> set_attention(Options& options, const OptionRow& row, const char* text) {
    Attention attention{};
    auto failed =
        set_one_of(attention, {{"always", 0}, {"button", 1}, {"wake", 2}}, "button, wake or always", row, text);
    if (!failed) {
        own(options).attention = attention;
    }
    return failed;
}

/// Takes words that no story would say by chance, and long enough to be told from others.
std::optional<Failure> set_wake_word(Options& options, const OptionRow& row, const char* text) {
    constexpr std::ptrdiff_t kLeastPhones = 6;
    std::ptrdiff_t phones = 0;
    bool own_word = false;
    std::vector<std::string> words;
    for (std::string_view rest = text; !rest.empty();) {
        const std::string word(rest.substr(0, rest.find(' ')));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        const bool letters =
            !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
        if (!letters || word.size() > 20 || words.size() == 4) {
            return not_a("two to four words of small English letters: hello teddy", row, text);
        }
        const std::string said = pronounce(word);
        phones += said.empty() ? 0 : 1 + std::count(said.begin(), said.end(), ' ');
        own_word = own_word || std::none_of(kWishes.pronunciations.begin(), kWishes.pronunciations.end(),
                                            [&](const Pronunciation& known) { return word == known.word; });
        words.push_back(word);
    }
    if (words.size() < 2 || phones < kLeastPhones) {
        return not_a("two words or more, and longer ones: hello teddy", row, text);
    }
    if (!own_word) {
        return not_a("a word that no wish has: hello teddy", row, text);
    }
    const bool spoken =
        std::any_of(std::begin(kSpoken), std::end(kSpoken), [&](auto said) { return says(said, text); });
    if (spoken || says(kWishes.prompt_before, text)) {
        return not_a("words that the robot does not say itself, which would wake it: hello teddy", row, text);
    }
    own(options).wake_word = text;
    return std::nullopt;
}

std::optional<Failure> set_remember(Options& options, const OptionRow& row, const char* text) {
    return set_one_of(own(options).remember, {{"on", 1}, {"off", 0}}, "on or off", row, text);
}

bool is_letter(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || static_cast<unsigned char>(c) >= 0x80;
}

/// Tells whether a text has letters, spaces, hyphens and apostrophes alone, and not too many; letters of any language.
bool is_name(std::string_view text, std::size_t most) {
    return text.size() <= most && std::any_of(text.begin(), text.end(), is_letter) &&
           std::all_of(text.begin(), text.end(),
                       [](char c) { return is_letter(c) || c == ' ' || c == '-' || c == '\''; });
}

std::optional<Failure> set_child(Options& options, const OptionRow& row, const char* text) {
    if (!is_name(text, 40)) {
        return not_a("a name: Mia", row, text);
    }
    own(options).child = text;
    char& first = own(options).child.front();
    first = static_cast<char>(std::toupper(static_cast<unsigned char>(first)));
    return std::nullopt;
}

/// Splits a list at its commas, English or Chinese ones; its parts have no spaces around them.
std::vector<std::string> split_list(std::string_view list) {
    std::vector<std::string> parts(1);
    while (!list.empty()) {
        const bool chinese = list.starts_with("\xef\xbc\x8c") || list.starts_with("\xe3\x80\x81");
        if (chinese || list.front() == ',') {
            parts.emplace_back();
        } else if (list.front() != ' ' || !parts.back().empty()) {
            parts.back() += list.front();
        }
        list.remove_prefix(chinese ? 3 : 1);
    }
    for (std::string& part : parts) {
        part.erase(part.find_last_not_of(' ') + 1);
    }
    parts.resize(parts.size() - (parts.size() > 1 && parts.back().empty() ? 1 : 0));  // a comma at the end
    return parts;
}

std::optional<Failure> set_topics(Options& options, const OptionRow& row, const char* text) {
    std::vector<std::string> topics = split_list(text);
    for (std::string& topic : topics) {
        if (!is_name(topic, 80) || !understand(topic)) {
            return not_a("topics with commas between them: a dragon, the sea", row, text);
        }
        topic = topic_of(topic);
    }
    own(options).topics = std::move(topics);
    return std::nullopt;
}

std::optional<Failure> set_guard(Options& options, const OptionRow& row, const char* text) {
    return set_one_of(own(options).guard, {{"on", 1}, {"off", 0}}, "on or off", row, text);
}

/// Tells whether a text is a word for the guard, perhaps with a star at its end, but not behind one or two letters
/// alone; and whether the guard finds it.
bool is_forbidden_word(std::string_view word) {
    Guard guard;
    guard.forbid(word);
    if (!guard.find(word)) {
        return false;
    }
    const bool any_ending = word.ends_with('*');
    word.remove_suffix(any_ending ? 1 : 0);
    return is_name(word, 40) && word.size() >= (any_ending ? 3 : 1);
}

std::optional<Failure> set_forbidden_words(Options& options, const OptionRow& row, const char* text) {
    std::vector<std::string> words = split_list(text);
    if (!std::all_of(words.begin(), words.end(), is_forbidden_word)) {
        return not_a("words with commas between them, a star only behind three letters: spider, ghost*", row, text);
    }
    own(options).forbidden_words = std::move(words);
    return std::nullopt;
}

std::optional<Failure> set_max_sentences(Options& options, const OptionRow& row, const char* text) {
    return set_number(own(options).max_sentences, row, text, 1, 1000);
}

std::optional<Failure> set_rehearsals(Options& options, const OptionRow& row, const char* text) {
    return set_number(own(options).rehearsals, row, text, 0, 20);
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

// Name the options that a rules file may set: none that runs a command, or writes a file.
constexpr std::array<const char*, 20> kRules = {
    "volume", "volume-ceiling", "night-volume",    "quiet-hours", "stories-a-day", "length",    "topics",
    "child",  "guard",          "forbidden-words", "sleep",       "attention",     "wake-word", "remember",
    "voice",  "speed",          "pitch",           "language",    "max-sentences", "choices"};
constexpr std::array<const char*, 2> kRulesFiles = {"/boot/storyteller.txt", "/etc/storyteller.conf"};

/// Tells whether a voice's name is one that open_voice() can open.
bool is_voice(const std::string& name) {
    const std::string names = ", " + voice_names() + ",";
    return name.starts_with("espeak") ? in_path("espeak-ng") : names.find(", " + name + ",") != std::string::npos;
}

/// Sets an option as a rule; returns what is wrong, without the name.
std::optional<std::string> set_rule(SpeechOptions& options, const std::string& key, const std::string& value) {
    const auto row = std::find_if(std::begin(kOwnRows), std::end(kOwnRows),
                                  [&](const OptionRow& known) { return known.name != nullptr && key == known.name; });
    const bool is_rule = std::find(kRules.begin(), kRules.end(), key) != kRules.end();
    if (!is_rule || row == std::end(kOwnRows)) {
        std::string known;
        for (const char* const rule : kRules) {
            known.append(known.empty() ? "" : ", ").append(rule);
        }
        return "no rule: they are " + known;
    }
    if (key == "voice" && !is_voice(value)) {
        return "expected one of " + voice_names();
    }
    if (row->metavar == nullptr && value != "on") {  // it is off unless it is on
        return value == "off" ? std::nullopt : std::optional("\"" + value + "\": expected on or off");
    }
    const std::optional<Failure> failed = row->set(options, *row, value.c_str());
    if (!failed) {
        return std::nullopt;
    }
    // The message is that of the command line, with the option's name and a hint at its help.
    std::string message = failed->message;
    message.erase(0, message.starts_with("--" + key + " ") ? key.size() + 3 : 0);
    constexpr std::string_view kHint = ": see --help";
    message.resize(message.size() - (message.ends_with(kHint) ? kHint.size() : 0));
    return message;
}

/// Reads the arguments, and before them, so that they come over it, the rules file that they name, or the robot's own.
std::optional<Failure> read_options(int argc, char* const* argv, SpeechOptions& options,
                                    std::vector<const char*>& operands) {
    options.language = environment_language();
    const std::vector<OptionRow> rows = all_rows();
    SpeechOptions first = options;
    if (auto failed = read_arguments(argc, argv, rows, first, operands)) {
        return failed;
    }
    std::string file = first.rules;
    for (const char* const path : kRulesFiles) {
        file = file.empty() && first.loop && ::access(path, F_OK) == 0 ? path : file;
    }
    if (!file.empty()) {
        options.rule_mistakes = read_rules(file, [&options](const std::string& key, const std::string& value) {
            return set_rule(options, key, value);
        });
    }
    auto failed = read_arguments(argc, argv, rows, options, operands);
    options.rules = file;
    return failed;
}

}  // namespace

Result<SpeechOptions> parse_speech_options(int argc, char* const* argv) {
    SpeechOptions options;
    options.temperature = 0.8F;  // Serves listeners: fewer words are odd than at 1.
    options.steps = 0;           // Tells to the end.
    options.rehearsals = kWishes.prompt_is_told || kWishes.asks_by_chat ? 0 : 5;
    std::vector<const char*> operands;
    if (auto failed = read_options(argc, argv, options, operands)) {
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
