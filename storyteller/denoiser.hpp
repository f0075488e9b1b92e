// Lowers the noise of a room: speech over it is understood as seldom as over none.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace storybake::speech {

/// Filters samples at kSampleRate: each band is lowered by what it has of the noise, which is learned from what came
/// before somebody spoke, such that the logarithm of what is left is as near as can be to that of the speech (Ephraim
/// and Malah, "Speech enhancement using a minimum mean-square error log-spectral amplitude estimator", 1985, equation
/// 20). How much is speech is decided with the frame before in mind (the same, "... short-time spectral amplitude
/// estimator", 1984, equation 51). The bands are as wide as the ear's, and a recogniser's: narrow ones would chirp.
class Denoiser {
public:
    static constexpr std::size_t kFrame = 512;
    static constexpr std::size_t kHop = kFrame / 4;
    static constexpr std::size_t kBands = 25;
    /// Is how much has to come before: its end may be speech already, whose first sounds are soft.
    static constexpr std::size_t kBefore = 8000;
    static constexpr std::size_t kLearned = 5000;

    /// Learns the noise from the oldest of the samples before speech began; fewer than kBefore, and nothing is changed.
    explicit Denoiser(std::span<const std::int16_t> before);

    /// Tells whether most of the bands may be lowered by as much as any: what is heard is no longer speech as it was.
    [[nodiscard]] bool noisy() const;

    /// Returns the next samples, kFrame - kHop later than they came, and as many as make whole hops.
    std::vector<std::int16_t> filter(std::span<const std::int16_t> samples);

private:
    void filter_frame();

    bool learned_ = false;
    std::array<float, kBands> noise_{};   // is the power of the noise
    std::array<float, kBands> least_{};   // is how much each band may be lowered
    std::array<float, kBands> speech_{};  // is the power of the frame before, filtered, of the noise's
    std::array<float, kFrame> frame_{};   // is what came last
    std::array<float, kFrame> sum_{};     // adds up the filtered frames
    std::size_t fresh_ = 0;               // samples at the end of the frame
};

}  // namespace storybake::speech
