#include "storyteller/denoiser.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <functional>
#include <iterator>
#include <numbers>
#include <utility>

#include "storyteller/wav.hpp"

namespace storybake::speech {
namespace {

constexpr std::size_t kFrame = Denoiser::kFrame;
constexpr std::size_t kBands = Denoiser::kBands;
constexpr std::size_t kBins = kFrame / 2 + 1;

constexpr float kKept = 0.9F;          // of the decision about the frame before
constexpr float kLeastSpeech = 3e-3F;  // of the noise
constexpr float kLeastGain = 0.1F;
constexpr float kRoom =
    4e4F;  // is what may stay: a recogniser expects a room, and one of some steps of 16 bits is silent
constexpr float kLeastNoise = 20.0F;  // is that of samples which are rounded
constexpr float kLeastPower = 1e-8F;  // of the noise: the logarithm of nothing is none

using Spectrum = std::array<std::complex<float>, kFrame>;

using Powers = std::array<float, kBands>;

/// Holds what every frame is multiplied with: the root of Hann's window, the turns of the transform, and for each bin
/// the lower of the two bands that it lies between, and its share of the upper one. Bands are as far apart as on the
/// mel scale.
struct Tables {
    std::array<float, kFrame> window{};
    std::array<std::complex<float>, kFrame / 2> turns{};
    std::array<std::size_t, kBins> band{};
    std::array<float, kBins> share{};
    Powers bins{};  // are how many of them each band has

    Tables() {
        for (std::size_t i = 0; i < kFrame; ++i) {
            window[i] = std::sin(std::numbers::pi_v<float> * static_cast<float>(i) / kFrame);
        }
        for (std::size_t i = 0; i < kFrame / 2; ++i) {
            turns[i] = std::polar(1.0F, -2.0F * std::numbers::pi_v<float> * static_cast<float>(i) / kFrame);
        }
        const auto mel = [](std::size_t bin) {
            return std::log1p(static_cast<float>(bin) * kSampleRate / kFrame / 700.0F);
        };
        for (std::size_t bin = 0; bin < kBins; ++bin) {
            const float at = mel(bin) / mel(kBins - 1) * (kBands - 1);
            band[bin] = std::min(static_cast<std::size_t>(at), kBands - 2);
            share[bin] = at - static_cast<float>(band[bin]);
            bins[band[bin]] += 1.0F - share[bin];
            bins[band[bin] + 1] += share[bin];
        }
    }
};

const Tables& tables() {
    static const Tables made;
    return made;
}

std::complex<float> product(std::complex<float> a, std::complex<float> b) {  // without a check for NaN
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

/// Replaces values by their discrete Fourier transform: Cooley and Tukey's, radix 2.
void transform(Spectrum& x) {
    for (std::size_t i = 1, j = 0; i < kFrame; ++i) {  // in the order of the bits reversed
        std::size_t bit = kFrame / 2;
        for (; (j & bit) != 0; bit /= 2) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            std::swap(x[i], x[j]);
        }
    }
    for (std::size_t half = 1; half < kFrame; half *= 2) {
        for (std::size_t begin = 0; begin < kFrame; begin += 2 * half) {
            for (std::size_t i = 0; i < half; ++i) {
                std::complex<float>& low = x[begin + i];
                std::complex<float>& high = x[begin + i + half];
                const std::complex<float> turned = product(high, tables().turns[i * (kFrame / 2 / half)]);
                high = low - turned;
                low += turned;
            }
        }
    }
}

template <class Sample>
Spectrum spectrum_of(std::span<const Sample, kFrame> frame) {
    Spectrum x;
    for (std::size_t i = 0; i < kFrame; ++i) {
        x[i] = static_cast<float>(frame[i]) * tables().window[i];
    }
    transform(x);
    return x;
}

/// Returns the mean power of each band.
Powers powers_of(const Spectrum& x) {
    Powers powers{};
    for (std::size_t bin = 0; bin < kBins; ++bin) {
        const std::size_t band = tables().band[bin];
        const float power = std::norm(x[bin]);
        powers[band] += (1.0F - tables().share[bin]) * power / tables().bins[band];
        powers[band + 1] += tables().share[bin] * power / tables().bins[band + 1];
    }
    return powers;
}

}  // namespace

Denoiser::Denoiser(std::span<const std::int16_t> before) {
    if (before.size() < kBefore) {
        return;
    }
    learned_ = true;
    const std::span<const std::int16_t> room = before.first(kLearned);
    float frames = 0.0F;
    for (std::size_t at = 0; at + kFrame <= room.size(); at += kHop, frames += 1.0F) {
        const Powers powers = powers_of(spectrum_of<std::int16_t>(room.subspan(at).first<kFrame>()));
        std::transform(powers.begin(), powers.end(), noise_.begin(), noise_.begin(), std::plus<>());
    }
    for (std::size_t band = 0; band < kBands; ++band) {
        noise_[band] = std::max(noise_[band] / frames, kLeastNoise);
        least_[band] = std::clamp(std::sqrt(kRoom / noise_[band]), kLeastGain, 1.0F);
    }
    speech_.fill(1.0F);
}

bool Denoiser::noisy() const {
    return learned_ && std::count(least_.begin(), least_.end(), kLeastGain) > static_cast<std::ptrdiff_t>(kBands / 2);
}

std::vector<std::int16_t> Denoiser::filter(std::span<const std::int16_t> samples) {
    if (!learned_) {
        return {samples.begin(), samples.end()};
    }
    std::vector<std::int16_t> filtered;
    for (const std::int16_t sample : samples) {
        frame_[kFrame - kHop + fresh_] = sample;
        if (++fresh_ == kHop) {
            filter_frame();
            std::transform(sum_.begin(), sum_.begin() + kHop, std::back_inserter(filtered), [](float value) {
                return static_cast<std::int16_t>(std::lround(std::clamp(value, -32768.0F, 32767.0F)));
            });
            fresh_ = 0;
        }
    }
    return filtered;
}

/// Adds the frame at hand, filtered, to those before, and makes room for the next hop.
void Denoiser::filter_frame() {
    std::copy(sum_.begin() + kHop, sum_.end(), sum_.begin());
    std::fill(sum_.end() - kHop, sum_.end(), 0.0F);
    Spectrum x = spectrum_of<float>(frame_);
    std::copy(frame_.begin() + kHop, frame_.end(), frame_.begin());
    const Powers powers = powers_of(x);
    Powers gains{};
    for (std::size_t band = 0; band < kBands; ++band) {
        const float whole = std::max(powers[band] / noise_[band], kLeastPower);
        const float speech =
            std::max(kKept * speech_[band] + (1.0F - kKept) * std::max(whole - 1.0F, 0.0F), kLeastSpeech);
        const float wiener = speech / (1.0F + speech);
        const float gain = std::min(wiener * std::exp(-0.5F * std::expint(-wiener * whole)), 1.0F);
        speech_[band] = gain * gain * whole;
        gains[band] = std::max(gain, least_[band]);
    }
    for (std::size_t bin = 0; bin < kBins; ++bin) {
        const std::size_t band = tables().band[bin];
        x[bin] *= gains[band] + tables().share[bin] * (gains[band + 1] - gains[band]);
        if (bin > 0 && bin < kFrame / 2) {
            x[kFrame - bin] = std::conj(x[bin]);
        }
    }
    for (std::complex<float>& value : x) {  // the transform of what is conjugated is the way back
        value = std::conj(value);
    }
    transform(x);
    for (std::size_t i = 0; i < kFrame; ++i) {  // four windows lie over each sample, whose squares add up to two
        sum_[i] += x[i].real() * tables().window[i] / (2.0F * kFrame);
    }
}

}  // namespace storybake::speech
