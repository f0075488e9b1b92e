#include "storyteller/endpoint.hpp"

#include <algorithm>

#include "storyteller/wav.hpp"

namespace storybake::speech {
namespace {

constexpr int kFrame = kSampleRate / 100;
constexpr double kAboveRoom = 8.0;               // 9 dB
constexpr double kLeast = 100.0 * 100.0;         // is the least: quieter is no speech, in however quiet a room
constexpr double kMostOfRoom = 1500.0 * 1500.0;  // louder from the start is somebody who speaks already
constexpr int kBegin = 8;                        // frames of sound, with gaps, that are speech and no click
constexpr int kEnd = 60;                         // frames of silence that end it
constexpr int kMost = 1000;                      // frames: an endless talker is interrupted
constexpr double kRise = 1.01;                   // is what the room may become louder by, a frame

}  // namespace

Endpoint::State Endpoint::hear(std::span<const std::int16_t> samples) {
    for (const std::int16_t sample : samples) {
        sum_ += sample;
        squares_ += std::int64_t{sample} * sample;
        if (++count_ == kFrame) {
            end_frame();
        }
    }
    return state_;
}

double Endpoint::quiet_seconds() const {
    return static_cast<double>(quiet_frames_) / 100.0;
}

void Endpoint::end_frame() {
    const double mean = static_cast<double>(sum_) / kFrame;
    const double power = static_cast<double>(squares_) / kFrame - mean * mean;
    count_ = 0;
    sum_ = 0;
    squares_ = 0;
    // The room is the quietest of what was heard, forgotten slowly.
    room_ = std::min({room_ < 0.0 ? power : room_ * kRise, power, kMostOfRoom});
    const bool loud = power > std::max(kAboveRoom * room_, kLeast);
    if (state_ == State::kSilence) {
        ++quiet_frames_;
        loud_frames_ = std::max(loud_frames_ + (loud ? 1 : -1), 0);
        if (loud_frames_ >= kBegin) {
            state_ = State::kSpeech;
            quiet_frames_ = 0;
        }
    } else if (state_ == State::kSpeech) {
        quiet_frames_ = loud ? 0 : quiet_frames_ + 1;
        if (quiet_frames_ >= kEnd || ++frames_ >= kMost) {
            state_ = State::kEnded;
        }
    }
}

}  // namespace storybake::speech
