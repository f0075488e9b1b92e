#include "sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "model.hpp"

namespace storybake {
namespace {

constexpr std::size_t kFewCandidates = 256;  // limits the candidates that are sorted by comparing them
constexpr float kNever = -std::numeric_limits<float>::infinity();

}  // namespace

int argmax(std::span<const float> values) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); ++i) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return static_cast<int>(best);
}

Sampler::Sampler(int vocab_size, float temperature, float topp, std::uint64_t seed, const Sampling& sampling)
    : temperature_(temperature),
      topp_(topp),
      state_(seed),
      sampling_(sampling),
      n_(static_cast<std::size_t>(vocab_size)),
      adjusted_(adjusts() ? n_ : 0),
      ranked_(sampling.top_k > 0 ? n_ : 0),
      exponentials_(temperature == 0.0F ? 0 : static_cast<std::size_t>(vocab_size)),
      candidates_(takes_all() ? 0 : exponentials_.size()),
      spare_(candidates_.size()) {}

void Sampler::forbid(std::span<const int> tokens) {
    forbidden_.insert(forbidden_.end(), tokens.begin(), tokens.end());
    std::sort(forbidden_.begin(), forbidden_.end());
    forbidden_.erase(std::unique(forbidden_.begin(), forbidden_.end()), forbidden_.end());
    if (adjusts() && adjusted_.empty()) {
        adjusted_.resize(n_);
    }
}

void Sampler::accept(int token) {
    if (sampling_.repeat_penalty != 1.0F) {
        accepted_.push_back(token);
    }
}

/// Returns the tokens whose logits the penalty changes, each once.
std::vector<int> Sampler::accepted_lately() const {
    if (sampling_.repeat_penalty == 1.0F) {
        return {};
    }
    const auto last = static_cast<std::size_t>(sampling_.repeat_last_n);
    const std::size_t first = last == 0 || last > accepted_.size() ? 0 : accepted_.size() - last;
    std::vector<int> lately(accepted_.begin() + static_cast<std::ptrdiff_t>(first), accepted_.end());
    std::sort(lately.begin(), lately.end());
    lately.erase(std::unique(lately.begin(), lately.end()), lately.end());
    return lately;
}

void Sampler::penalise(float& logit) const {
    logit = logit > 0.0F ? logit / sampling_.repeat_penalty : logit * sampling_.repeat_penalty;
}

/// Takes from `logits` what may not be drawn, into adjusted_; counts what is left in n_.
void Sampler::adjust(std::span<const float> logits) {
    std::copy(logits.begin(), logits.end(), adjusted_.begin());
    for (const int token : accepted_lately()) {
        penalise(adjusted_[static_cast<std::size_t>(token)]);
    }
    for (const int token : forbidden_) {
        adjusted_[static_cast<std::size_t>(token)] = kNever;
    }
    n_ = adjusted_.size() - forbidden_.size();
    if (sampling_.top_k > 0 && static_cast<std::size_t>(sampling_.top_k) < n_) {
        keep_top_k(adjusted_);
    }
}

/// Drops all but the top_k largest of more logits than that, of equal ones the first are kept; returns the least that
/// is kept.
float Sampler::keep_top_k(std::span<float> logits) {
    n_ = static_cast<std::size_t>(sampling_.top_k);
    const std::span<int> ranked = std::span(ranked_).first(logits.size());
    std::iota(ranked.begin(), ranked.end(), 0);
    const auto better = [&](int a, int b) {
        const float x = logits[static_cast<std::size_t>(a)];
        const float y = logits[static_cast<std::size_t>(b)];
        return x > y || (x == y && a < b);
    };
    const auto last = ranked.begin() + static_cast<std::ptrdiff_t>(n_) - 1;
    std::nth_element(ranked.begin(), last, ranked.end(), better);
    for (auto at = last + 1; at != ranked.end(); ++at) {
        logits[static_cast<std::size_t>(*at)] = kNever;
    }
    return logits[static_cast<std::size_t>(*last)];
}

/// Drops the tokens that are less than min_p times as likely as the likeliest, whose exponential is 1; returns the sum
/// of the others, first to last.
float Sampler::keep_likely(std::span<float> exponentials) {
    float sum = 0.0F;
    n_ = 0;
    for (float& x : exponentials) {
        x = x >= sampling_.min_p ? x : 0.0F;
        sum += x;
        n_ += x > 0.0F ? 1 : 0;
    }
    return sum;
}

// Draws by xorshift64* (Vigna 2016), the upper 24 of the upper 32 bits: [0, 1).
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

int Sampler::sample(std::span<const float> logits, int largest) {
    if (adjusts()) {
        adjust(logits);
        logits = adjusted_;
        largest = argmax(logits);
    }
    return temperature_ == 0.0F ? largest : draw_from(logits, largest);
}

/// Draws from logits in the order of tokens, of all of them or of those with a chance; returns the index of one.
int Sampler::draw_from(std::span<const float> logits, int largest) {
    // Computes softmax(logits / temperature), in llama2.c's order of operations. Division keeps the order, so the
    // largest quotient is that of the largest logit.
    const std::span<float> own = std::span(exponentials_).first(logits.size());
    float sum = exponentials(own, logits, temperature_, logits[static_cast<std::size_t>(largest)] / temperature_);
    if (sampling_.min_p > 0.0F) {
        sum = keep_likely(own);
    }
    const float coin = coin_ ? *coin_ : draw();
    coin_.reset();
    if (!(sum > 0.0F)) {
        return largest;  // the quotients overflowed, or the logits are no numbers
    }
    return takes_all() ? sample_all(own, coin, sum) : sample_topp(own, coin, sum);
}

int Sampler::sample_all(std::span<const float> exponentials, float coin, float sum) const {
    float cdf = 0.0F;
    for (std::size_t i = 0; i < exponentials.size(); ++i) {
        cdf += exponentials[i] / sum;
        if (coin < cdf) {
            return static_cast<int>(i);
        }
    }
    // Rounding errors may leave the coin beyond all sums: then the last token that may be drawn is drawn.
    std::size_t last = exponentials.size() - 1;
    while (adjusts() && last > 0 && !(exponentials[last] > 0.0F)) {
        --last;
    }
    return static_cast<int>(last);
}

/// Finds the smallest x for which x / sum >= cutoff: division keeps the order, so comparing x with it saves dividing.
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

int Sampler::sample_topp(std::span<float> exponentials, float coin, float sum) {
    // A token below the cutoff cannot be in the smallest set that exceeds topp.
    const float cutoff = (1.0F - topp_) / static_cast<float>(n_ - 1);
    const std::size_t count = find_candidates(exponentials, smallest_quotient(cutoff, sum), sum);
    if (count == 0) {
        // It is so flat that none reaches the cutoff (topp < 1 / vocab_size); llama2.c reads out of bounds here. The
        // set would be the single most probable token.
        return argmax(exponentials);
    }
    const std::size_t kept = keep_most_probable(count, topp_);
    sort_candidates(kept);
    // Add up the first, the first two, ... Nobody needs the exponentials any more.
    const std::span<float> sums = exponentials;
    std::size_t last = 0;
    float cumulative = candidates_[0].probability();
    sums[0] = cumulative;
    while (!(cumulative > topp_) && last + 1 < kept) {
        cumulative += candidates_[++last].probability();
        sums[last] = cumulative;
    }
    const auto end = sums.begin() + static_cast<std::ptrdiff_t>(last);  // is the last one's, but for rounding errors
    const auto drawn = std::upper_bound(sums.begin(), end, coin * cumulative);
    return candidates_[static_cast<std::size_t>(drawn - sums.begin())].token;
}

/// Collects the tokens whose exponential is at least `smallest`, in order; returns how many there are.
std::size_t Sampler::find_candidates(std::span<const float> exponentials, float smallest, float sum) {
    constexpr std::size_t kBlock = 16;  // tokens are passed over at once, since few are candidates
    std::size_t count = 0;
    for (std::size_t begin = 0; begin < exponentials.size(); begin += kBlock) {
        const std::span<const float> block = exponentials.subspan(begin, std::min(kBlock, exponentials.size() - begin));
        int found = 0;
        for (const float x : block) {
            found |= static_cast<int>(x >= smallest);
        }
        for (std::size_t i = 0; found != 0 && i < block.size(); ++i) {
            if (block[i] >= smallest) {
                const float probability = block[i] / sum;
                std::uint32_t bits = 0;
                std::memcpy(&bits, &probability, sizeof bits);
                candidates_[count++] = {kOneBits - bits, static_cast<int>(begin + i)};
            }
        }
    }
    return count;
}

/// Drops those of the first `count` candidates that are too improbable to be among the most probable ones that together
/// exceed `enough`, so that they need not be sorted; returns how many are left, in their order.
std::size_t Sampler::keep_most_probable(std::size_t count, double enough) {
    if (count <= kFewCandidates) {
        return count;
    }
    // Count candidates by the upper bits of their keys, eight ranges of probabilities from one power of two to the
    // next. Once the lower ends of the ranges add up to more than `enough`, so do the probabilities, even when they are
    // added in float32 and every addition loses 2^-24 of the sum.
    constexpr int kLowerBits = 20;
    std::uint32_t counts[1U << (30 - kLowerBits)] = {};
    for (std::size_t i = 0; i < count; ++i) {
        ++counts[candidates_[i].key >> kLowerBits];
    }
    enough *= 1.0 + 0x1p-23 * static_cast<double>(count);
    double sum = 0.0;
    std::uint32_t range = 0;
    while (range <= kOneBits >> kLowerBits && !(sum > enough)) {
        const std::uint32_t key = std::min((range + 1) << kLowerBits, kOneBits + 1) - 1;
        sum += counts[range++] * static_cast<double>(Candidate{key, 0}.probability());
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        candidates_[kept] = candidates_[i];
        kept += candidates_[i].key >> kLowerBits < range ? 1 : 0;
    }
    return kept;
}

/// Sorts the first `count` candidates, the most probable first. llama2.c leaves the order of equals to qsort; by index
/// is what glibc's does, and what a radix sort does by itself. A flat distribution has tens of thousands of candidates:
/// comparing them would take longer than the model.
void Sampler::sort_candidates(std::size_t count) {
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
    if (count <= kFewCandidates) {
        const auto rank = [](const Candidate& c) {
            return std::uint64_t{c.key} << 32 | static_cast<std::uint32_t>(c.token);
        };
        std::sort(candidates_.begin(), end, [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
        return;
    }
    constexpr int kDigitBits = 10;
    constexpr std::uint32_t kDigits = 1U << kDigitBits;
    for (int shift = 0; shift < 3 * kDigitBits; shift += kDigitBits) {
        const auto digit = [shift](const Candidate& c) { return c.key >> shift & (kDigits - 1); };
        std::uint32_t starts[kDigits + 1] = {};
        for (std::size_t i = 0; i < count; ++i) {
            ++starts[digit(candidates_[i]) + 1];
        }
        for (std::uint32_t d = 0; d < kDigits; ++d) {
            starts[d + 1] += starts[d];
        }
        for (std::size_t i = 0; i < count; ++i) {
            spare_[starts[digit(candidates_[i])]++] = candidates_[i];
        }
        candidates_.swap(spare_);
    }
}

}  // namespace storybake
