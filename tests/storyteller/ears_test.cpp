// What comes before the recogniser: where speech begins and ends, and the noise of the room.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "storyteller/denoiser.hpp"
#include "storyteller/endpoint.hpp"
#include "storyteller/wav.hpp"

namespace storybake::speech {
namespace {

std::vector<std::int16_t> tone(double seconds, double size, int offset) {
    std::vector<std::int16_t> samples(static_cast<std::size_t>(seconds * kSampleRate));
    for (std::size_t i = 0; i < samples.size(); ++i) {
        samples[i] = static_cast<std::int16_t>(offset + size * std::sin(static_cast<double>(i) * 0.2));
    }
    return samples;
}

TEST(Endpoint, FindsTheEndOfSpeechWhateverTheOffset) {
    for (const int offset : {0, 5000}) {
        Endpoint endpoint;
        EXPECT_EQ(endpoint.hear(tone(1.0, 5, offset)), Endpoint::State::kSilence);
        EXPECT_DOUBLE_EQ(endpoint.quiet_seconds(), 1.0);
        EXPECT_EQ(endpoint.hear(tone(0.05, 5000, offset)), Endpoint::State::kSilence) << "a click";
        EXPECT_EQ(endpoint.hear(tone(0.5, 5, offset)), Endpoint::State::kSilence);
        EXPECT_EQ(endpoint.hear(tone(1.0, 5000, offset)), Endpoint::State::kSpeech);
        EXPECT_EQ(endpoint.hear(tone(0.5, 5, offset)), Endpoint::State::kSpeech) << "a pause";
        EXPECT_EQ(endpoint.hear(tone(0.2, 5, offset)), Endpoint::State::kEnded);
    }
}

TEST(Endpoint, InterruptsAnEndlessTalker) {
    Endpoint endpoint;
    endpoint.hear(tone(0.5, 5, 0));
    EXPECT_EQ(endpoint.hear(tone(11.0, 5000, 0)), Endpoint::State::kEnded);
}

using Samples = std::vector<std::int16_t>;

/// Returns noise, of a deviation, that falls towards high frequencies.
Samples noise(std::size_t count, double deviation) {
    std::mt19937 random(3);
    std::normal_distribution<double> normal(0.0, deviation * std::sqrt(1.0 - 0.9 * 0.9));
    Samples samples(count);
    double last = 0.0;
    for (std::int16_t& sample : samples) {
        last = 0.9 * last + normal(random);
        sample = static_cast<std::int16_t>(std::lround(last));
    }
    return samples;
}

/// Returns the filtered samples, without the delay.
Samples filtered(std::span<const std::int16_t> before, std::span<const std::int16_t> samples, std::size_t step) {
    Denoiser denoiser(before);
    Samples all;
    for (std::size_t at = 0; at < samples.size(); at += step) {
        const Samples next = denoiser.filter(samples.subspan(at, std::min(step, samples.size() - at)));
        all.insert(all.end(), next.begin(), next.end());
    }
    all.erase(all.begin(), all.begin() + (Denoiser::kFrame - Denoiser::kHop));
    return all;
}

/// Returns the power of samples from a place on, of the sine of tone() and of all else.
std::pair<double, double> powers(std::span<const std::int16_t> samples, std::size_t from) {
    double sine = 0.0;
    double cosine = 0.0;
    double all = 0.0;
    for (std::size_t i = from; i < samples.size(); ++i) {
        sine += samples[i] * std::sin(static_cast<double>(i) * 0.2);
        cosine += samples[i] * std::cos(static_cast<double>(i) * 0.2);
        all += static_cast<double>(samples[i]) * samples[i];
    }
    const double count = static_cast<double>(samples.size() - from);
    const double tone = 2.0 * (sine * sine + cosine * cosine) / count / count;
    return {tone, all / count - tone};
}

TEST(Denoiser, LowersTheNoiseAndKeepsWhatIsSaid) {
    const Samples room = noise(Denoiser::kBefore + 32000, 500.0);
    Samples spoken(room.begin() + Denoiser::kBefore, room.end());
    const Samples sound = tone(2.0, 2000, 0);
    for (std::size_t i = 0; i < spoken.size(); ++i) {
        spoken[i] = static_cast<std::int16_t>(spoken[i] + sound[i]);
    }
    const std::span<const std::int16_t> before(room.data(), Denoiser::kBefore);
    const Samples heard = filtered(before, spoken, 1600);
    ASSERT_GE(heard.size(), 31000U);
    const auto [tone_before, noise_before] = powers(spoken, 4000);
    const auto [tone_after, noise_after] = powers(heard, 4000);
    EXPECT_NEAR(10.0 * std::log10(tone_after / tone_before), 0.0, 1.0) << "dB";
    EXPECT_LT(10.0 * std::log10(noise_after / noise_before), -8.0) << "dB";
    EXPECT_EQ(filtered(before, spoken, 37), heard) << "however the samples come";
}

TEST(Denoiser, TellsNoiseFromAQuietRoom) {
    EXPECT_TRUE(Denoiser(noise(Denoiser::kBefore, 500.0)).noisy());
    EXPECT_FALSE(Denoiser(noise(Denoiser::kBefore, 50.0)).noisy());
    EXPECT_FALSE(Denoiser(noise(Denoiser::kBefore - 1, 500.0)).noisy()) << "it is not known";
}

TEST(Denoiser, ChangesNothingBeforeItKnowsTheRoom) {
    const Samples room = noise(Denoiser::kBefore - 1, 500.0);
    const Samples sound = tone(0.1, 2000, 0);
    EXPECT_EQ(Denoiser(room).filter(sound), sound);
}

TEST(Denoiser, KeepsSpeechInASilentRoom) {
    const Samples silence(Denoiser::kBefore, 0);
    const Samples sound = tone(1.0, 2000, 0);
    const Samples heard = filtered(silence, sound, 1600);
    for (std::size_t i = 4000; i < heard.size(); ++i) {
        ASSERT_NEAR(heard[i], sound[i], 20) << i;
    }
    const Samples nothing = filtered(silence, silence, 1600);
    EXPECT_TRUE(std::all_of(nothing.begin(), nothing.end(), [](auto sample) { return sample == 0; }));
}

}  // namespace
}  // namespace storybake::speech
