// llama2.c's samplers: argmax, temperature and top-p, with its xorshift generator.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "certificate.hpp"

namespace storybake {

/// The index of the largest value, the first of equals. NaN is never the largest, unless it comes first.
int argmax(std::span<const float> values);

/// Picks the next token as llama2.c's sample() does: with the same seed and the same logits, the same token. Its
/// memory is allocated once, here.
class Sampler {
public:
    /// temperature 0 is argmax and draws no random number; topp outside (0, 1) samples from all tokens.
    Sampler(int vocab_size, float temperature, float topp, std::uint64_t seed);

    /// The next token. logits: (vocab_size,), not changed, `largest` their argmax. With logits so large or so broken
    /// that no probabilities come of them, the argmax.
    int sample(std::span<const float> logits, int largest);
    int sample(std::span<const float> logits) { return sample(logits, argmax(logits)); }

    /// The token that sample() would draw from all logits, where those of the head and the bracket of the others prove
    /// it (docs/arithmetic.md); otherwise nothing, and the next sample() draws it with the same random number.
    std::optional<int> sample_head(const HeadLogits& head);

    /// Draws from another seed from now on.
    void restart(std::uint64_t seed) { state_ = seed; }

    /// Draws and forgets the random number of one sample(): llama2.c's chat samples at every position of a prompt too.
    void skip();

private:
    // The bits of 1.0, the largest probability: floats from 0 to 1 order as their bits do, and those are 30.
    static constexpr std::uint32_t kOneBits = 0x3f800000;

    /// A token that may be drawn; keys ascend as probabilities descend.
    struct Candidate {
        std::uint32_t key;
        int token;
        [[nodiscard]] float probability() const {
            const std::uint32_t bits = kOneBits - key;
            float value = 0.0F;
            std::memcpy(&value, &bits, sizeof value);
            return value;
        }
    };

    [[nodiscard]] bool takes_all() const { return topp_ <= 0.0F || topp_ >= 1.0F; }
    float draw();
    static float smallest_quotient(float cutoff, float sum);
    int sample_all(float coin, float sum) const;
    int sample_topp(float coin, float sum);
    std::size_t find_candidates(std::span<const float> exponentials, float smallest, float sum);
    std::size_t keep_most_probable(std::size_t count, double enough);
    void sort_candidates(std::size_t count);
    std::optional<int> prove_all(const HeadLogits& head, const TailBracket& tail, float coin) const;
    std::optional<int> prove_topp(const HeadLogits& head, const TailBracket& tail, float coin);

    float temperature_;
    float topp_;
    std::uint64_t state_;
    std::optional<float> coin_;        // drawn by sample_head() for the sample() that follows
    std::vector<float> exponentials_;  // (vocab_size,): probabilities, not yet divided by their sum; sums of them after
    std::vector<Candidate> candidates_;  // (vocab_size,), for top-p
    std::vector<Candidate> spare_;       // as many, to sort them
};

}  // namespace storybake
