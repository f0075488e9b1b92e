#include "sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "exp.hpp"

namespace storybake {

int argmax(std::span<const float> values) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); ++i) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return static_cast<int>(best);
}

Sampler::Sampler(int vocab_size, float temperature, float topp, std::uint64_t seed)
    : temperature_(temperature),
      topp_(topp),
      state_(seed),
      candidates_(temperature == 0.0F ? 0 : static_cast<std::size_t>(vocab_size)) {}

// xorshift64* (Vigna 2016), the upper 24 of the upper 32 bits: [0, 1).
float Sampler::draw() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    const auto bits = static_cast<std::uint32_t>((state_ * 0x2545f4914f6cdd1dU) >> 32);
    return static_cast<float>(bits >> 8) / 16777216.0F;
}

void Sampler::skip() {
    if (temperature_ != 0.0F) {
        draw();
    }
}

/// The probabilities, not yet divided by the sum that is returned: e^(logits / temperature - their maximum).
float Sampler::exponentials(std::span<const float> logits, float largest) {
    constexpr std::size_t kUnroll = 4;  // so that a processor without speculation computes that many side by side
    const auto shifted = [&](std::size_t i) { return logits[i] / temperature_ - largest; };
    float sum = 0.0F;
    std::size_t i = 0;
    for (; i + kUnroll <= logits.size(); i += kUnroll) {
        float p[kUnroll];
        bool in_range = true;
        for (std::size_t k = 0; k < kUnroll; ++k) {
            p[k] = shifted(i + k);
            in_range &= p[k] >= kLowestExp && p[k] <= 0.0F;
        }
        if (in_range) {
            for (float& x : p) {
                x = exp_f32_in_range(x);
            }
        } else {
            for (float& x : p) {
                x = exp_f32(x);
            }
        }
        for (std::size_t k = 0; k < kUnroll; ++k) {
            candidates_[i + k] = {p[k], static_cast<int>(i + k)};
            sum += p[k];
        }
    }
    for (; i < logits.size(); ++i) {
        const float p = exp_f32(shifted(i));
        candidates_[i] = {p, static_cast<int>(i)};
        sum += p;
    }
    return sum;
}

int Sampler::sample(std::span<const float> logits, int largest) {
    if (temperature_ == 0.0F) {
        return largest;
    }
    // softmax(logits / temperature), in llama2.c's order of operations. Division keeps the order, so the largest
    // quotient is that of the largest logit.
    const float sum = exponentials(logits, logits[static_cast<std::size_t>(largest)] / temperature_);
    const float coin = draw();
    if (!(sum > 0.0F)) {
        return largest;  // the quotients overflowed, or the logits are no numbers
    }
    return topp_ <= 0.0F || topp_ >= 1.0F ? sample_all(coin, sum) : sample_topp(coin, sum);
}

int Sampler::sample_all(float coin, float sum) const {
    float cdf = 0.0F;
    for (const Candidate& candidate : candidates_) {
        cdf += candidate.probability / sum;
        if (coin < cdf) {
            return candidate.token;
        }
    }
    return candidates_.back().token;  // of rounding errors
}

/// The smallest x for which x / sum >= cutoff: division keeps the order, so comparing x with it saves dividing.
float Sampler::smallest_quotient(float cutoff, float sum) {
    float x = cutoff * sum;
    while (x > 0.0F && x / sum >= cutoff) {
        x = std::nextafter(x, 0.0F);
    }
    while (x / sum < cutoff) {
        x = std::nextafter(x, std::numeric_limits<float>::infinity());
    }
    return x;
}

int Sampler::sample_topp(float coin, float sum) {
    // A token below the cutoff cannot be in the smallest set that exceeds topp. llama2.c sorts what is left; as the set
    // is small, taking the largest from a heap until topp is exceeded costs less and finds the same order. llama2.c
    // leaves the order of equals to qsort; by index is what glibc's does.
    const float cutoff = (1.0F - topp_) / static_cast<float>(candidates_.size() - 1);
    const float smallest = smallest_quotient(cutoff, sum);
    const auto begin = candidates_.begin();
    auto end = begin;
    for (const Candidate candidate : candidates_) {
        if (candidate.probability >= smallest) {
            *end++ = {candidate.probability / sum, candidate.token};
        }
    }
    if (end == begin) {
        // So flat that none reaches the cutoff (topp < 1 / vocab_size); llama2.c reads out of bounds here. The set
        // would be the single most probable token. All of candidates_ is as it was: nothing has been moved.
        return std::min_element(begin, candidates_.end(),
                                [](const Candidate& a, const Candidate& b) { return a.probability > b.probability; })
            ->token;
    }
    const auto less = [](const Candidate& a, const Candidate& b) {
        return a.probability != b.probability ? a.probability < b.probability : a.token > b.token;
    };
    std::make_heap(begin, end, less);
    auto taken = end;  // [taken, end) are the largest, in ascending order
    float cumulative = 0.0F;
    while (taken != begin) {
        std::pop_heap(begin, taken, less);
        --taken;
        cumulative += taken->probability;
        if (cumulative > topp_) {
            break;
        }
    }
    const float r = coin * cumulative;
    float cdf = 0.0F;
    for (auto candidate = end; candidate != taken;) {
        --candidate;
        cdf += candidate->probability;
        if (r < cdf) {
            return candidate->token;
        }
    }
    return taken->token;  // of rounding errors
}

}  // namespace storybake
