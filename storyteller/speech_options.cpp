#include "storyteller/speech_options.hpp"

#include <cstdio>
#include <cstring>

#include "storyteller/speaker.hpp"

namespace storybake::speech {
namespace {

enum Code : int {
    kWish = kMoreOptions,
    kMute,
    kVoice,
    kSpeed,
    kPitch,
    kVolumePercent,
    kWav,
    kSndCommand,
    kMaxSentences,
    kLanguage,
    kListen,
    kMicWav,
    kMicCommand,
    kAcousticModel,
    kPush,
    kButton,
    kSayWish,
    kLoop,
    kSleep,
    kOnListen,
    kOnThink,
    kOnSpeak,
    kOnError,
    kReport,
};

constexpr option kRows[] = {
    {"wish", required_argument, nullptr, kWish},
    {"mute", no_argument, nullptr, kMute},
    {"voice", required_argument, nullptr, kVoice},
    {"speed", required_argument, nullptr, kSpeed},
    {"pitch", required_argument, nullptr, kPitch},
    {"volume", required_argument, nullptr, kVolumePercent},
    {"wav", required_argument, nullptr, kWav},
    {"snd-command", required_argument, nullptr, kSndCommand},
    {"max-sentences", required_argument, nullptr, kMaxSentences},
    {"language", required_argument, nullptr, kLanguage},
    {"listen", no_argument, nullptr, kListen},
    {"mic-wav", required_argument, nullptr, kMicWav},
    {"mic-command", required_argument, nullptr, kMicCommand},
    {"acoustic-model", required_argument, nullptr, kAcousticModel},
    {"push", no_argument, nullptr, kPush},
    {"button", required_argument, nullptr, kButton},
    {"say-wish", no_argument, nullptr, kSayWish},
    {"loop", no_argument, nullptr, kLoop},
    {"sleep", required_argument, nullptr, kSleep},
    {"on-listen", required_argument, nullptr, kOnListen},
    {"on-think", required_argument, nullptr, kOnThink},
    {"on-speak", required_argument, nullptr, kOnSpeak},
    {"on-error", required_argument, nullptr, kOnError},
    {"report", no_argument, nullptr, kReport},
    {nullptr, 0, nullptr, 0},
};

const char* name_of(int code) {
    return kRows[code - kMoreOptions].name;
}

std::optional<Failure> set_number(int& target, int code, const char* text, int least, int most) {
    const std::string name = std::string("--") + name_of(code);
    const Result<int> number = parse_number_in(name.c_str(), text, least, most);
    if (!number) {
        return number.failure();
    }
    target = *number;
    return std::nullopt;
}

std::optional<Failure> set_text(std::string& target, int code, const char* text) {
    if (*text == '\0') {
        return failure(kExitUsage, "--%s \"\": expected a name: see --help", name_of(code));
    }
    target = text;
    return std::nullopt;
}

std::optional<Failure> set_command(Words& target, int code, const char* text) {
    const std::string name = std::string("--") + name_of(code);
    Result<Words> words = split_words(name.c_str(), text);
    if (!words) {
        return words.failure();
    }
    target = std::move(*words);
    return std::nullopt;
}

/// Minutes, or with a unit seconds, minutes or hours: 20, 90s, 20m, 1h. From a second to a day.
std::optional<Failure> set_duration(std::chrono::seconds& target, int code, std::string text) {
    constexpr int kDay = 24 * 60 * 60;
    const char last = text.empty() ? '\0' : text.back();
    const int unit = last == 's' ? 1 : last == 'h' ? 3600 : 60;
    if (last == 's' || last == 'm' || last == 'h') {
        text.pop_back();
    }
    int number = 0;
    if (auto failed = set_number(number, code, text.c_str(), 1, kDay / unit)) {
        return failed;
    }
    target = std::chrono::seconds(number * unit);
    return std::nullopt;
}

std::optional<Failure> set_option(SpeechOptions& options, int code, const char* text) {
    switch (code) {
        case kWish:
            options.wish = text;
            return std::nullopt;
        case kMute:
            options.mute = true;
            return std::nullopt;
        case kVoice:
            return set_text(options.voice, code, text);
        case kSpeed:
            return set_number(options.manner.speed, code, text, 50, 200);
        case kPitch:
            return set_number(options.manner.pitch, code, text, 50, 200);
        case kVolumePercent:
            return set_number(options.volume, code, text, kMinVolume, kMaxVolume);
        case kWav:
            return set_text(options.wav, code, text);
        case kSndCommand:
            return set_command(options.snd_command, code, text);
        case kMaxSentences:
            return set_number(options.max_sentences, code, text, 1, 1000);
        case kListen:
            options.listen = true;
            return std::nullopt;
        case kPush:
            options.push = true;
            return std::nullopt;
        case kSayWish:
            options.say_wish = true;
            return std::nullopt;
        case kLoop:
            options.loop = true;
            return std::nullopt;
        case kMicWav:
            return set_text(options.mic_wav, code, text);
        case kMicCommand:
            return set_command(options.mic_command, code, text);
        case kAcousticModel:
            return set_text(options.acoustic_model, code, text);
        case kButton:
            return set_text(options.button, code, text);
        case kSleep:
            return set_duration(options.sleep, code, text);
        case kReport:
            options.report = true;
            return std::nullopt;
        case kOnListen:
        case kOnThink:
        case kOnSpeak:
        case kOnError:
            return set_command(options.on[static_cast<std::size_t>(code - kOnListen)], code, text);
        default: {  // kLanguage
            const std::optional<Language> language = find_language(text);
            if (!language) {
                return failure(kExitUsage, "--language \"%s\": expected en or zh: see --help", text);
            }
            options.language = *language;
            return std::nullopt;
        }
    }
}

}  // namespace

Result<SpeechOptions> parse_speech_options(int argc, char* const* argv) {
    SpeechOptions options;
    options.language = environment_language();
    const MoreOptions more = {kRows,
                              [&options](int code, const char* text) { return set_option(options, code, text); }};
    Result<Options> model = parse_options(argc, argv, more);
    if (!model) {
        return model.failure();
    }
    options.model = std::move(*model);
    if (options.model.mode == Mode::kChat || options.model.profile || !options.model.logits.empty() ||
        options.model.prompt_from_stdin || options.model.repeat != 1) {
        return failure(kExitUsage,
                       "-m chat, -i -, -r, --logits and --profile are the model's own program's: see --help");
    }
    if (options.wish && options.model.prompt) {
        return failure(kExitUsage, "--wish and -i are two beginnings of one story: expected one of them");
    }
    if (options.loop && ((options.wish && *options.wish != "-") || options.model.prompt)) {
        return failure(kExitUsage, "--loop asks for each wish: expected --wish - (typed) or none (said), not a wish");
    }
    if (!options.loop && options.listens() && (options.wish || options.model.prompt)) {
        return failure(kExitUsage, "a wish that is said and one that is written: expected one of them: see --help");
    }
    return options;
}

std::string speech_help_text(const char* name) {
    char text[6144];
    std::snprintf(
        text, sizeof text,
        "Usage: %s [OPTION]...\n"
        "Tells a story aloud with the model that is baked into this program. The story goes to standard output as\n"
        "it is spoken, everything else to standard error. Nothing is recorded or sent anywhere.\n"
        "\n"
        "What to tell:\n"
        "      --wish TEXT           a story about it: \"a dragon\"; - reads it from standard input\n"
        "  -i, --prompt TEXT         how the story begins\n"
        "      --max-sentences N     end after so many sentences, 1 to 1000\n"
        "  -t -p -s -n -z --threads --batch --weights --load --info --version\n"
        "                            as the model's own program has them; -n ends with a sentence\n"
        "\n"
        "Hearing the wish:\n"
        "      --listen              hear it from the microphone\n"
        "      --mic-command CMD     gives raw samples (16 bits, one channel, 16000 Hz) on its standard output\n"
        "                            (default: arecord or tinycap); never run by a shell\n"
        "      --mic-wav FILE        a recording in place of the microphone\n"
        "      --push                listen after Enter; a line with text is a wish too\n"
        "      --button FILE         listen after a button: a file that begins with 1 while it is pressed\n"
        "                            (/sys/class/gpio/gpioN/value), or a chip and its line (/dev/gpiochip0:28), which\n"
        "                            the button connects to ground\n"
        "      --say-wish            say what was heard\n"
        "      --acoustic-model DIR  the folder of mdef (default: en-us/ beside the program, else Debian's)\n"
        "\n"
        "The robot:\n"
        "      --loop                listen, tell, and listen again; with --wish - wishes are typed. Said or typed:\n"
        "                            again, next, louder, softer, stop\n"
        "      --sleep TIME          say good night after so many minutes, 1 to 1440; or 90s, 2h\n"
        "      --on-listen CMD       run when it listens; also --on-think, --on-speak, --on-error; never run by a "
        "shell;\n"
        "                            STORYTELLER_EVENT and STORYTELLER_TEXT say what for\n"
        "\n"
        "How to tell it:\n"
        "      --voice NAME          %s\n"
        "                            (default: the first)\n"
        "      --speed PERCENT       50 to 200 (default 100)\n"
        "      --pitch PERCENT       50 to 200 (default 100)\n"
        "      --volume PERCENT      %d to %d (default 100); peaks are rounded off\n"
        "      --wav FILE            write what is said into a file instead of playing it\n"
        "      --snd-command CMD     plays raw samples (16 bits, one channel, 16000 Hz) from its standard input\n"
        "                            (default: aplay or tinyplay); never run by a shell\n"
        "      --mute                show the story, say nothing\n"
        "      --report              what the model took for each story, and the fingerprint of its last logits\n"
        "      --language LANGUAGE   of messages: en or zh (default: LANG's)\n"
        "  -h, --help                this text\n"
        "\n"
        "Exit codes: 0; 2 usage; 65 bad data; 66 a file is missing; 69 no sound device or voice; 71 no memory;\n"
        "74 input or output failed; 130 interrupted.\n",
        name, voice_names().c_str(), kMinVolume, kMaxVolume);
    return text;
}

}  // namespace storybake::speech
