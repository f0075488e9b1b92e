#include "storyteller/speaker.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cmath>

#include "notices.hpp"
#include "program.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr int kRestarts = 2;            // counts restarts in a row
constexpr auto kStep = 100ms;           // passes between looks at the stop
constexpr int kPipeBytes = 8192;        // is a quarter of a second: the text is not far ahead of the voice
constexpr double kTop = 0.7 * 32767.0;  // is what no sample passes: between two of them a peak may be 2 dB higher
constexpr double kKnee = 0.7 * kTop;    // is where peaks begin to be rounded off
constexpr std::size_t kRamp = kSampleRate / 100;

}  // namespace

Result<std::vector<Words>> find_players(const std::string& devices) {
    const std::optional<SoundCard> card = find_card(devices, 'p');
    std::vector<Words> players;
    if (in_path("aplay")) {
        players.push_back({"aplay", "-q", "-r", "16000", "-c", "1", "-f", "S16_LE", "-t", "raw"});
        if (card && card->number != "0") {  // the default is card 0
            players.back().insert(players.back().end(), {"-D", "plughw:" + card->number + "," + card->device});
        }
    }
    if (in_path("tinyplay")) {
        players.push_back({"tinyplay", "/dev/stdin", "-i", "raw", "-r", "16000", "-c", "1"});
        if (card) {
            players.back().insert(players.back().end(), {"-D", card->number, "-d", card->device});
        }
    }
    if (players.empty()) {
        return Failure{kExitUnavailable, say(Message::kNoSpeaker)};
    }
    return players;
}

void Level::set(std::span<std::int16_t> samples, double gain) {
    const double step =
        (gain - gain_) / std::min<double>(kRamp, static_cast<double>(std::max<std::size_t>(samples.size(), 1)));
    for (std::size_t i = 0; i < samples.size(); ++i) {
        gain_ = i < kRamp ? gain_ + step : gain;
        const double wanted = samples[i] * gain_;
        const double size = std::abs(wanted);
        const double room = kTop - kKnee;
        const double kept = size <= kKnee ? size : kKnee + room * (1.0 - std::exp(-(size - kKnee) / room));
        samples[i] = static_cast<std::int16_t>(std::copysign(kept, wanted));
    }
}

bool Speaker::stopped() const {
    return stop_signal != 0 || cut_;
}

/// Gives the bytes to the player, which is started when it does not run. Returns false when it died or hangs.
bool Speaker::feed(std::span<const std::byte> bytes) {
    if (!process_) {
        Result<Process> started = Process::start("--snd-command", players_.front(), Pipes::kInput);
        if (!started) {
            not_started_ = started.failure().message;
            return false;
        }
        process_.emplace(std::move(*started));
        ::fcntl(process_->input().get(), F_SETPIPE_SZ, kPipeBytes);
    }
    for (auto waited = 0ms; !bytes.empty() && !stopped();) {
        const Moved moved = write_some(process_->input().get(), bytes, kStep);
        waited = moved == Moved::kTimeout ? waited + kStep : 0ms;
        const bool hangs = waited >= patience_.stuck;
        if (hangs) {
            warn_of_hanging(patience_.stuck);
        }
        if (hangs || moved == Moved::kEnd) {
            process_.reset();
            return false;
        }
    }
    return true;
}

void Speaker::warn_of_hanging(std::chrono::milliseconds waited) const {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(waited).count();
    warn(say(Message::kPlayerHangs, {player(), std::to_string(seconds)}));
}

std::optional<Failure> Speaker::play(std::span<const std::int16_t> samples) {
    if (samples.empty() || stopped()) {
        return std::nullopt;
    }
    if (!first_sound_) {
        begun_();
        first_sound_ = std::chrono::steady_clock::now();
    }
    if (wav_ != nullptr) {
        if (auto failed = wav_->write(samples)) {
            return failed;
        }
    }
    if (players_.empty() || silent_) {
        return std::nullopt;
    }
    for (int tries = 0; !feed(sample_bytes(samples)); ++tries) {
        if (not_started_.empty() && tries < kRestarts) {
            continue;
        }
        if (!played_ && players_.size() > 1) {
            players_ = players_.subspan(1);
            not_started_.clear();
            tries = -1;
            continue;
        }
        if (!played_ && !not_started_.empty()) {
            return Failure{kExitUnavailable, say(Message::kSpeakerNotStarted, {not_started_})};
        }
        if (!played_) {
            return Failure{kExitUnavailable, say(Message::kSpeakerEnded, {player(), std::to_string(kRestarts + 1)})};
        }
        silent_ = true;
        warn(say(Message::kPlayerDied, {player()}));
        break;
    }
    played_ = true;
    return std::nullopt;
}

std::optional<Failure> Speaker::finish() {
    if (!process_) {
        return std::nullopt;
    }
    process_->input().close();
    std::optional<int> code;
    for (auto waited = 0ms; !code && waited < patience_.tail && !stopped(); waited += kStep) {
        code = process_->wait(kStep);
    }
    process_.reset();
    if (stopped() || code == 0) {
        return std::nullopt;
    }
    if (!code) {
        warn_of_hanging(patience_.tail);
        return std::nullopt;  // all was said
    }
    return Failure{kExitUnavailable, say(Message::kPlayerEnded, {player(), std::to_string(*code)})};
}

}  // namespace storybake::speech
