// Sends samples where they go: to the command that plays them, into a WAV file, to both, or nowhere.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"
#include "storyteller/process.hpp"
#include "storyteller/sound_card.hpp"
#include "storyteller/wav.hpp"

namespace storybake::speech {

/// Finds the commands in PATH that play raw samples from their standard input, aplay and tinyplay, in the order in
/// which to try them. A first sound card that can't play, as on boards that number the microphone's card 0, is passed
/// over: `devices` is the folder in which the kernel lists them. Fails with 69 when neither is in PATH.
Result<std::vector<Words>> find_players(const std::string& devices = kSoundDevices);

/// Limit how loud it is: 100 is as the voice speaks. Above, peaks are rounded off.
constexpr int kMinVolume = 10;
constexpr int kMaxVolume = 400;

/// Brings samples to their loudness, clip by clip: from silence to the first, and from one volume to the next, it goes
/// in a hundredth of a second, so that nothing clicks. Peaks are rounded off below -1 dB of full scale.
class Level {
public:
    void set(std::span<std::int16_t> samples, double gain);

private:
    double gain_ = 0.0;  // is that of the last sample
};

/// Says how long a player may take no sample, and how long it may play on after the last.
struct PlayerPatience {
    std::chrono::milliseconds stuck = std::chrono::seconds(10);
    std::chrono::milliseconds tail = std::chrono::seconds(15);
};

/// Plays samples. A player that dies, or hangs and is ended, is started again, a few times; after that the text goes on
/// without sound, and that is said once; one that can't be started is not tried twice. One that never played anything
/// gives way to the next; when it was the last, that is a failure.
class Speaker {
public:
    /// Takes `players`, which may be empty, and `wav`, which may be null. `cut` becomes true when what is being said
    /// shall end at once. `begun` is called before the first sample.
    Speaker(
        std::span<const Words> players, WavFile* wav, const std::atomic<bool>& cut, std::function<void()> begun = [] {},
        PlayerPatience patience = {})
        : players_(players), wav_(wav), cut_(cut), begun_(std::move(begun)), patience_(patience) {}

    /// Blocks until the samples are on their way, which is nearly as long as they take. Fails with 69 and 74.
    std::optional<Failure> play(std::span<const std::int16_t> samples);

    /// Waits until all has been heard. The device is free then; play() takes it again.
    std::optional<Failure> finish();

    /// Returns when the first samples went out; nothing before.
    [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> first_sound() const { return first_sound_; }

    /// Names the command in use.
    [[nodiscard]] const std::string& player() const { return players_.front()[0]; }

    /// Tells whether the player was given up in the middle.
    [[nodiscard]] bool silent() const { return silent_; }

private:
    bool feed(std::span<const std::byte> bytes);
    void warn_of_hanging(std::chrono::milliseconds waited) const;
    [[nodiscard]] bool stopped() const;

    std::span<const Words> players_;  // begin with the one in use
    WavFile* wav_;
    const std::atomic<bool>& cut_;
    std::function<void()> begun_;
    PlayerPatience patience_;
    std::optional<Process> process_;
    std::optional<std::chrono::steady_clock::time_point> first_sound_;
    std::string not_started_;  // says why the command in use can't be started; empty while it can
    bool played_ = false;
    bool silent_ = false;
};

}  // namespace storybake::speech
