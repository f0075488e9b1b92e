// Finds when somebody speaks: the loudness of what the microphone gives, against that of the room.
#pragma once

#include <cstdint>
#include <span>

namespace storybake::speech {

/// Takes samples at kSampleRate, and says when speech has begun and when it has ended. The level of the room is learned
/// as it goes; a constant offset does not count as sound.
class Endpoint {
public:
    enum class State { kSilence, kSpeech, kEnded };

    /// Takes the next samples; returns where things stand after them. Nothing changes after kEnded.
    State hear(std::span<const std::int16_t> samples);

    [[nodiscard]] State state() const { return state_; }

    /// Returns the seconds of silence before speech, or of silence since the last sound in it.
    [[nodiscard]] double quiet_seconds() const;

private:
    void end_frame();

    State state_ = State::kSilence;
    // Measure the frame at hand.
    int count_ = 0;
    std::int64_t sum_ = 0;
    std::int64_t squares_ = 0;
    double room_ = -1.0;  // is the mean square of the room's noise; below 0 before the first frame
    int loud_frames_ = 0;
    int quiet_frames_ = 0;
    int frames_ = 0;  // counts the frames since the beginning of the speech
};

}  // namespace storybake::speech
