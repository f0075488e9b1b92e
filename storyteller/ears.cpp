#include "storyteller/ears.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "storyteller/denoiser.hpp"
#include "storyteller/endpoint.hpp"
#include "storyteller/memory.hpp"
#include "storyteller/wav.hpp"

namespace storybake::speech {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kBeforeSpeech = kSampleRate;  // keeps so many samples of what came before speech
// Hear so much of them with a wake word, which is found only with what surrounds it.
constexpr std::size_t kHeardBeforeWakeWord = kSampleRate / 2;
// Hear so much of the room before speech, and seconds after it: a grammar makes words of noise too.
constexpr std::size_t kHeardBefore = kSampleRate / 5;
constexpr double kHeardAfter = 0.25;

/// Adds samples to what came before speech, and keeps the end of it.
void keep_last(std::vector<std::int16_t>& before, std::span<const std::int16_t> samples) {
    before.insert(before.end(), samples.begin(), samples.end());
    before.erase(before.begin(), before.end() - static_cast<std::ptrdiff_t>(std::min(before.size(), kBeforeSpeech)));
}

}  // namespace

Result<std::unique_ptr<Ears>> Ears::open(const SpeechOptions& options) {
    const Result<std::string> found = find_acoustic_model(options.acoustic_model);
    if (!found) {
        return found.failure();
    }
    std::unique_ptr<Ears> ears(new Ears);
    ears->acoustic_model_ = *found;
    if (!options.mic_wav.empty()) {
        Result<std::vector<std::int16_t>> samples = read_wav(options.mic_wav);
        if (!samples) {
            return samples.failure();
        }
        ears->recording_.emplace(Microphone::of(std::move(*samples)));
    } else if (!options.mic_command.empty()) {
        ears->recorder_ = options.mic_command;
    } else {
        Result<Words> recorder = find_recorder(kSoundDevices);
        if (!recorder) {
            return recorder.failure();
        }
        ears->recorder_ = std::move(*recorder);
    }
    ears->keep_recogniser_ = memory_need(options, ears->acoustic_model_).both_fit();
    ears->wake_word_ = options.waits_for_wake_word() ? options.wake_word : "";
    if (auto failed = ears->load()) {
        return *failed;
    }
    return ears;
}

/// Loads the recogniser where it is not kept.
std::optional<Failure> Ears::load() {
    if (recogniser_) {
        return std::nullopt;
    }
    Result<std::unique_ptr<Recogniser>> opened = open_recogniser(acoustic_model_, wake_word_);
    if (!opened) {
        return opened.failure();
    }
    recogniser_ = std::move(*opened);
    return std::nullopt;
}

/// Returns the recording, or the microphone that it starts.
Result<Microphone*> Ears::start(std::optional<Microphone>& started) {
    if (recording_) {
        return &*recording_;
    }
    Result<Microphone> microphone = Microphone::start(recorder_);
    if (!microphone) {
        return microphone.failure();
    }
    started.emplace(std::move(*microphone));
    return &*started;
}

/// Has the recogniser listen to speech that has begun, from what came before on.
void Ears::begin(Recogniser::For what, std::span<const std::int16_t> before) {
    after_.clear();
    denoiser_.emplace(before);
    recogniser_->begin(what, denoiser_->noisy());
    const bool wakes = what == Recogniser::For::kWakeWord;
    heard_after_ = wakes ? kSilence : kHeardAfter;
    const std::size_t heard = std::min(before.size(), wakes ? kHeardBeforeWakeWord : kHeardBefore);
    if (denoiser_->noisy() && !wakes) {
        recogniser_->take_earlier(denoiser_->filter(before.first(before.size() - heard)));
    }
    recogniser_->hear(denoiser_->filter(before.last(heard)));
}

/// Has the recogniser hear what comes next, but for silence that nothing follows.
void Ears::hear_more(std::span<const std::int16_t> samples, double quiet_seconds) {
    const std::vector<std::int16_t> filtered = denoiser_->filter(samples);
    after_.insert(after_.end(), filtered.begin(), filtered.end());
    if (quiet_seconds < heard_after_) {
        recogniser_->hear(after_);
        after_.clear();
    }
}

Result<bool> Ears::wait_for_wake_word(const std::function<bool()>& interrupted) {
    std::optional<Microphone> started;
    if (auto failed = load()) {
        return *failed;
    }
    const Result<Microphone*> microphone = start(started);
    if (!microphone) {
        return microphone.failure();
    }
    while (!exhausted()) {  // from one sound in the room to the next
        Endpoint endpoint;
        std::vector<std::int16_t> before;
        bool woken = false;
        while (endpoint.state() != Endpoint::State::kEnded && !woken && !exhausted()) {
            const Result<std::vector<std::int16_t>> samples = (*microphone)->read();
            if (!samples) {
                return samples.failure();
            }
            if (interrupted()) {
                return false;
            }
            const bool spoke = endpoint.state() == Endpoint::State::kSpeech;
            endpoint.hear(*samples);
            if (endpoint.state() == Endpoint::State::kSilence) {
                keep_last(before, *samples);
                continue;
            }
            if (!spoke) {
                begin(Recogniser::For::kWakeWord, before);
            }
            hear_more(*samples, endpoint.quiet_seconds());
            woken = recogniser_->woken();
        }
        // At its end what was said is heard lowered too.
        if (endpoint.state() != Endpoint::State::kSilence && (!recogniser_->end().empty() || woken)) {
            return true;
        }
    }
    return false;
}

Result<Heard> Ears::hear(const std::function<bool()>& interrupted) {
    if (auto failed = load()) {
        return *failed;
    }
    std::optional<Microphone> started;
    const Result<Microphone*> opened = start(started);
    if (!opened) {
        return opened.failure();
    }
    Microphone& microphone = **opened;
    Endpoint endpoint;
    std::vector<std::int16_t> before;
    Heard heard{Heard::Kind::kNothing, {}};
    Clock::time_point last = Clock::now();  // is when samples came last
    while (endpoint.state() != Endpoint::State::kEnded && heard.kind != Heard::Kind::kInterrupted) {
        const Result<std::vector<std::int16_t>> samples = microphone.read();
        if (!samples) {
            return samples.failure();
        }
        if (interrupted()) {
            heard.kind = Heard::Kind::kInterrupted;
        }
        last = samples->empty() ? last : Clock::now();
        const bool spoke = endpoint.state() == Endpoint::State::kSpeech;
        endpoint.hear(*samples);
        if (endpoint.state() != Endpoint::State::kSilence && !spoke) {
            begin(Recogniser::For::kWish, before);
        }
        if (endpoint.state() != Endpoint::State::kSilence) {
            hear_more(*samples, endpoint.quiet_seconds());
        } else {
            keep_last(before, *samples);
        }
        // Give up by the samples before somebody speaks; by the clock for a microphone that gives none, then or later.
        if ((endpoint.state() == Endpoint::State::kSilence && endpoint.quiet_seconds() >= kSilence) ||
            (samples->empty() && Seconds(Clock::now() - last).count() > kSilence)) {
            break;
        }
    }
    started.reset();  // half duplex: nothing is recorded while the robot speaks
    if (endpoint.state() == Endpoint::State::kSilence) {
        return heard;
    }
    heard.ended = Clock::now();
    if (!recording_) {
        heard.ended -= std::chrono::duration_cast<Clock::duration>(Seconds(endpoint.quiet_seconds()));
    }
    heard.words = recogniser_->end();
    if (!keep_recogniser_) {
        recogniser_.reset();
#ifdef __GLIBC__
        ::malloc_trim(0);
#endif
    }
    if (heard.kind != Heard::Kind::kInterrupted) {
        heard.kind = heard.words.empty() ? Heard::Kind::kNotUnderstood : Heard::Kind::kWords;
    }
    return heard;
}

}  // namespace storybake::speech
