#include "storyteller/denoiser.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <iterator>
#include <numbers>
#include <utility>

namespace storybake::speech {
namespace {

constexpr std::size_t kFrame = Denoiser::kFrame;

constexpr float kKept = 0.98F;         // of the decision about the frame before
constexpr float kMore = 1.5F;          // than the average of the noise, which is louder half of the time
constexpr float kLeastSpeech = 3e-3F;  // of the noise
constexpr float kLeastGain = 0.1F;
constexpr float kRoom =
    4e4F;  // is what may stay: a recogniser expects a room, and one of some steps of 16 bits is silent
constexpr float kLeastNoise = 20.0F;   // is that of samples which are rounded
constexpr std::ptrdiff_t kSmooth = 2;  // bands on either side

using Spectrum = std::array<std::complex<float>, kFrame>;

/// Holds what every frame is multiplied with: the root of Hann's window, and the turns of the transform.
struct Tables {
    std::array<float, kFrame> window{};
    std::array<std::complex<float>, kFrame / 2> turns{};

    Tables() {
        for (std::size_t i = 0; i < kFrame; ++i) {
            window[i] = std::sin(std::numbers::pi_v<float> * static_cast<float>(i) / kFrame);
        }
        for (std::size_t i = 0; i < kFrame / 2; ++i) {
            turns[i] = std::polar(1.0F, -2.0F * std::numbers::pi_v<float> * static_cast<float>(i) / kFrame);
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

}  // namespace

Denoiser::Denoiser(std::span<const std::int16_t> before) {
    if (before.size() < kBefore) {
        return;
    }
    learned_ = true;
    const std::span<const std::int16_t> room = before.last(kBefore).first(kLearned);
    std::array<float, kBands> power{};
    float frames = 0.0F;
    for (std::size_t at = 0; at + kFrame <= room.size(); at += kHop, frames += 1.0F) {
        const Spectrum x = spectrum_of<std::int16_t>(room.subspan(at).first<kFrame>());
        for (std::size_t band = 0; band < kBands; ++band) {
            power[band] += std::norm(x[band]);
        }
    }
    for (std::ptrdiff_t band = 0; band < std::ssize(power); ++band) {
        float sum = 0.0F;
        for (std::ptrdiff_t near = band - kSmooth; near <= band + kSmooth; ++near) {
            sum += power[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(near, 0, kBands - 1))];
        }
        const float mean = sum / (2 * kSmooth + 1) / frames;
        noise_[static_cast<std::size_t>(band)] = std::max(kMore * mean, kLeastNoise);
        least_[static_cast<std::size_t>(band)] =
            std::clamp(std::sqrt(kRoom / noise_[static_cast<std::size_t>(band)]), kLeastGain, 1.0F);
    }
    speech_.fill(1.0F);
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
    for (std::size_t band = 0; band < kBands; ++band) {
        const float whole = std::norm(x[band]) / noise_[band];
        const float speech =
            std::max(kKept * speech_[band] + (1.0F - kKept) * std::max(whole - 1.0F, 0.0F), kLeastSpeech);
        const float gain = speech / (1.0F + speech);
        speech_[band] = gain * gain * whole;
        x[band] *= std::max(gain, least_[band]);
        if (band > 0 && band < kFrame / 2) {
            x[kFrame - band] = std::conj(x[band]);
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
