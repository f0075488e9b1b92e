// espeak-ng as a command: the text on its standard input, a WAV file from its standard output.

#include <algorithm>
#include <csignal>

#include "program.hpp"
#include "speech/process.hpp"
#include "speech/voice.hpp"
#include "speech/wav.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr const char* kProgram = "espeak-ng";
constexpr int kWordsAMinute = 160;  // at a speed of 100; it takes 80 to 450
constexpr int kPitch = 50;          // at a pitch of 100; it takes 0 to 99
constexpr int kTries = 2;
constexpr auto kWatchdog = 10s;  // without a byte from it
constexpr auto kStep = 100ms;

class EspeakVoice final : public Voice {
public:
    explicit EspeakVoice(Words words) : words_(std::move(words)) {}

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
            if (waited >= kWatchdog) {
                return failure(kExitUnavailable, "--voice espeak: %s gave no sound for %d s: is it hanging?", kProgram,
                               static_cast<int>(kWatchdog.count()));
            }
        }
        const std::optional<int> code = process->wait(kWatchdog);
        if (!code || *code != 0) {
            return failure(kExitUnavailable, "--voice espeak: %s ended with %d, expected 0: see what it said above",
                           kProgram, code.value_or(-1));
        }
        Result<Wav> sound = parse_wav(wav, WavSizes::kStream);
        if (!sound) {
            return failure(kExitUnavailable, "--voice espeak: what %s gave is %s", kProgram,
                           sound.failure().message.c_str());
        }
        return resample(sound->samples, sound->rate);
    }

    Words words_;
};

}  // namespace

void hand_on_all(std::span<const std::int16_t> samples, const TakeSamples& take) {
    while (!samples.empty() && take(samples.first(std::min(kTogether, samples.size())))) {
        samples = samples.subspan(std::min(kTogether, samples.size()));
    }
}

Result<std::unique_ptr<Voice>> open_espeak(const std::string& name, Manner manner) {
    if (!in_path(kProgram)) {
        return failure(kExitUnavailable, "--voice %s: no %s in PATH: apt-get install %s, or take another voice",
                       name.c_str(), kProgram, kProgram);
    }
    const std::size_t colon = name.find(':');
    const std::string language = colon == std::string::npos ? "en" : name.substr(colon + 1);
    // "--stdin" would wait for the whole text, which is what is wanted: a sentence.
    return std::unique_ptr<Voice>(std::make_unique<EspeakVoice>(
        Words{kProgram, "--stdin", "--stdout", "-v", language, "-s", std::to_string(kWordsAMinute * manner.speed / 100),
              "-p", std::to_string(std::min(kPitch * manner.pitch / 100, 99))}));
}

}  // namespace storybake::speech
