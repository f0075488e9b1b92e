#include "sampler.hpp"

#include <algorithm>

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

int Sampler::sample(std::span<const float> logits) {
    if (temperature_ == 0.0F) {
        return argmax(logits);
    }
    // softmax(logits / temperature), in llama2.c's order of operations.
    float largest = logits[0] / temperature_;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        const float value = logits[i] / temperature_;
        candidates_[i] = {value, static_cast<int>(i)};
        largest = value > largest ? value : largest;
    }
    float sum = 0.0F;
    for (Candidate& candidate : candidates_) {
        candidate.probability = exp_f32(candidate.probability - largest);
        sum += candidate.probability;
    }
    const float coin = draw();
    if (!(sum > 0.0F)) {
        return argmax(logits);  // the quotients overflowed, or the logits are no numbers
    }
    for (Candidate& candidate : candidates_) {
        candidate.probability /= sum;
    }
    return topp_ <= 0.0F || topp_ >= 1.0F ? sample_all(coin) : sample_topp(coin);
}

int Sampler::sample_all(float coin) const {
    float cdf = 0.0F;
    for (const Candidate& candidate : candidates_) {
        cdf += candidate.probability;
        if (coin < cdf) {
            return candidate.token;
        }
    }
    return candidates_.back().token;  // of rounding errors
}

int Sampler::sample_topp(float coin) {
    // A token below the cutoff cannot be in the smallest set that exceeds topp. llama2.c sorts what is left; as the set
    // is small, taking the largest from a heap until topp is exceeded costs less and finds the same order. llama2.c
    // leaves the order of equals to qsort; by index is what glibc's does.
    const float cutoff = (1.0F - topp_) / static_cast<float>(candidates_.size() - 1);
    const auto begin = candidates_.begin();
    auto end = begin;
    for (const Candidate candidate : candidates_) {
        if (candidate.probability >= cutoff) {
            *end++ = candidate;
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
