// Runs espeak-ng as a command: the text on its standard input, a WAV file from its standard output.

#include <algorithm>
#include <csignal>

#include "program.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/process.hpp"
#include "storyteller/voice.hpp"
#include "storyteller/wav.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr double kOwnLoudness = -22.3;  // LUFS
constexpr const char* kProgram = "espeak-ng";
constexpr int kWordsAMinute = 160;  // at a speed of 100; it takes 80 to 450
constexpr int kPitch = 50;          // at a pitch of 100; it takes 0 to 99
constexpr int kTries = 2;
constexpr auto kStep = 100ms;

class EspeakVoice final : public Voice {
public:
    EspeakVoice(Words words, std::chrono::milliseconds patience)
        : Voice(kOwnLoudness), words_(std::move(words)), patience_(patience) {}

    std::optional<Failure> speak(const std::string& text, const TakeSamples& take) override {
        std::optional<Failure> last;
        for (int i = 0; i < kTries && stop_signal == 0; ++i) {
            const Result<std::vector<std::int16_t>> samples = speak_once(text + "\n");
            if (samples) {
                hand_on_all(*samples, take);
                return std::nullopt;
            }
            last = samples.failure();
        }
        return stop_signal != 0 ? std::nullopt : last;
    }

private:
    [[nodiscard]] Result<std::vector<std::int16_t>> speak_once(const std::string& text) const {
        Result<Process> process = Process::start("--voice espeak", words_, Pipes::kBoth);
        if (!process) {
            return process.failure();
        }
        std::span<const std::byte> rest = std::as_bytes(std::span(text));
        std::vector<std::byte> wav;
        auto waited = 0ms;
        for (Moved moved = Moved::kSome; moved != Moved::kEnd && stop_signal == 0;) {
            if (!rest.empty() && write_some(process->input().get(), rest, kStep) == Moved::kEnd) {
                break;
            }
            if (rest.empty()) {
                process->input().close();
                moved = read_some(process->output().get(), wav, kStep);
            }
            waited = moved == Moved::kSome ? 0ms : waited + kStep;
            if (waited >= patience_) {
                return lost(Message::kEspeakHangs,
                            std::to_string(std::chrono::duration_cast<std::chrono::seconds>(patience_).count()));
            }
        }
        const std::optional<int> code = process->wait(stop_signal == 0 ? patience_ : 0ms);
        if (!code || *code != 0) {
            return lost(Message::kEspeakEnded, std::to_string(code.value_or(-1)));
        }
        Result<Wav> sound = parse_wav(wav, WavSizes::kStream);
        if (!sound) {
            return lost(Message::kEspeakGave, sound.failure().message);
        }
        return resample(sound->samples, sound->rate);
    }

    static Failure lost(Message why, const std::string& detail) {
        return {kExitUnavailable, say(why, {kProgram, detail})};
    }

    Words words_;
    std::chrono::milliseconds patience_;
};

}  // namespace

void hand_on_all(std::span<const std::int16_t> samples, const TakeSamples& take) {
    while (!samples.empty() && take(samples.first(std::min(kSamplesAtOnce, samples.size())))) {
        samples = samples.subspan(std::min(kSamplesAtOnce, samples.size()));
    }
}

Result<std::unique_ptr<Voice>> open_espeak(const std::string& name, Manner manner, std::chrono::milliseconds patience) {
    if (!in_path(kProgram)) {
        return Failure{kExitUnavailable, say(Message::kNoEspeak, {name, kProgram})};
    }
    const std::size_t colon = name.find(':');
    const std::string language = colon == std::string::npos ? "en" : name.substr(colon + 1);
    // Wait, by "--stdin", for the whole text, which is what is wanted: a sentence.
    return std::unique_ptr<Voice>(std::make_unique<EspeakVoice>(
        Words{kProgram, "--stdin", "--stdout", "-v", language, "-s", std::to_string(kWordsAMinute * manner.speed / 100),
              "-p", std::to_string(std::min(kPitch * manner.pitch / 100, 99))},
        patience));
}

}  // namespace storybake::speech
