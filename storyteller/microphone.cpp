#include "storyteller/microphone.hpp"

#include <algorithm>
#include <span>

#include "storyteller/messages.hpp"
#include "storyteller/wav.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr auto kStep = 100ms;
constexpr std::size_t kStepSamples = kSampleRate / 10;

}  // namespace

Result<Words> find_recorder(const std::string& devices) {
    const std::optional<SoundCard> card = find_card(devices, 'c');
    Words recorder;
    if (in_path("arecord")) {
        recorder = {"arecord", "-q", "-r", "16000", "-c", "1", "-f", "S16_LE", "-t", "raw"};
        if (card && card->number != "0") {  // the default is card 0
            recorder.insert(recorder.end(), {"-D", "plughw:" + card->number + "," + card->device});
        }
        return recorder;
    }
    if (in_path("tinycap")) {
        recorder = {"tinycap", "--", "-r", "16000", "-c", "1", "-b", "16"};
        if (card) {
            recorder.insert(recorder.end(), {"-D", card->number, "-d", card->device});
        }
        return recorder;
    }
    return Failure{kExitUnavailable, say(Message::kNoMicrophone)};
}

Result<Microphone> Microphone::start(const Words& recorder) {
    Result<Process> process = Process::start("--mic-command", recorder, Pipes::kOutput);
    if (!process) {
        return process.failure();
    }
    Microphone microphone;
    microphone.process_.emplace(std::move(*process));
    return microphone;
}

Microphone Microphone::of(std::vector<std::int16_t> recording) {
    Microphone microphone;
    microphone.recording_ = std::move(recording);
    return microphone;
}

Result<std::vector<std::int16_t>> Microphone::read() {
    if (!process_) {
        std::vector<std::int16_t> samples(kStepSamples, 0);
        const std::size_t count = std::min(kStepSamples, recording_.size() - at_);
        std::copy_n(recording_.begin() + static_cast<std::ptrdiff_t>(at_), count, samples.begin());
        at_ += count;
        return samples;
    }
    if (read_some(process_->output().get(), bytes_, kStep) == Moved::kEnd) {
        const std::optional<int> code = process_->wait(1s);
        return Failure{kExitUnavailable,
                       say(Message::kMicrophoneEnded, {"--mic-command", std::to_string(code.value_or(-1))})};
    }
    std::vector<std::int16_t> samples(bytes_.size() / 2);
    const auto whole = bytes_.begin() + static_cast<std::ptrdiff_t>(2 * samples.size());
    std::copy(bytes_.begin(), whole, std::as_writable_bytes(std::span(samples)).begin());
    bytes_.erase(bytes_.begin(), whole);
    return samples;
}

}  // namespace storybake::speech
