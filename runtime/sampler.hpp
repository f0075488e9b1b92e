// Implements llama2.c's samplers: argmax, temperature and top-p, with its xorshift generator.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "certificate.hpp"

namespace storybake {

/// Returns the index of the largest value, the first of equals. NaN is never the largest, unless it comes first.
int argmax(std::span<const float> values);

/// Adds what llama2.c's sampler does not have; the defaults change nothing (docs/arithmetic.md).
struct Sampling {
    int top_k = 0;                // keeps so many of the likeliest tokens; 0: all
    float min_p = 0.0F;           // keeps tokens at least this share as likely as the likeliest
    float repeat_penalty = 1.0F;  // divides the logits of tokens that were there lately; 1: nothing changes
    int repeat_last_n = 64;       // says what "lately" is: so many tokens; 0: all
};

/// Picks the next token as llama2.c's sample() does: with the same seed and the same logits, the same token. Its memory
/// is allocated once, here, except for the tokens that were there lately.
class Sampler {
public:
    /// Takes the options: temperature 0 is argmax and draws no random number; topp outside (0, 1) samples from all
    /// tokens.
    Sampler(int vocab_size, float temperature, float topp, std::uint64_t seed, const Sampling& sampling = {});

    /// Never picks these tokens, in addition to others that are forbidden; ids are below vocab_size, not all of them.
    void forbid(std::span<const int> tokens);

    /// Accepts a token of the text, for the penalty of those that were there lately.
    void accept(int token);

    /// Draws the next token. logits: (vocab_size,), not changed, `largest` their argmax. Returns the argmax where
    /// logits are so large or so broken that no probabilities come of them.
    int sample(std::span<const float> logits, int largest);
    int sample(std::span<const float> logits) { return sample(logits, argmax(logits)); }

    /// Returns the token that sample() would draw from all logits, where those of the head and the bracket of the
    /// others prove it (docs/arithmetic.md); returns nothing otherwise, and the next sample() draws it with the same
    /// random number.
    std::optional<int> sample_head(const HeadLogits& head);

    /// Draws from another seed from now on; the text begins anew.
    void restart(std::uint64_t seed) {
        state_ = seed;
        accepted_.clear();
    }

    /// Draws and forgets the random number of one sample(): llama2.c's chat samples at every position of a prompt too.
    void skip();

private:
    // Holds the bits of 1.0, the largest probability: floats from 0 to 1 order as their bits do, and those are 30.
    static constexpr std::uint32_t kOneBits = 0x3f800000;

    /// Holds a token that may be drawn; keys ascend as probabilities descend.
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

    /// Tells whether it looks at more than the logits as they are.
    [[nodiscard]] bool adjusts() const {
        return !forbidden_.empty() || sampling_.top_k > 0 || sampling_.min_p > 0.0F || sampling_.repeat_penalty != 1.0F;
    }
    [[nodiscard]] std::vector<int> accepted_lately() const;
    void adjust(std::span<const float> logits);
    std::optional<int> adjust_head(const HeadLogits& head);
    void penalise(float& logit) const;
    float keep_top_k(std::span<float> logits);
    int draw_from(std::span<const float> logits, int largest);
    float keep_likely(std::span<float> exponentials);
    float draw();
    static float smallest_quotient(float cutoff, float sum);
    int sample_all(std::span<const float> exponentials, float coin, float sum) const;
    int sample_topp(std::span<float> exponentials, float coin, float sum);
    std::size_t find_candidates(std::span<const float> exponentials, float smallest, float sum);
    std::size_t keep_most_probable(std::size_t count, double enough);
    void sort_candidates(std::size_t count);
    std::optional<int> prove(const HeadLogits& head);
    std::optional<int> prove_all(const HeadLogits& head, const TailBracket& tail, float coin) const;
    std::optional<int> prove_topp(const HeadLogits& head, const TailBracket& tail, std::size_t computed, float coin);

    float temperature_;
    float topp_;
    std::uint64_t state_;
    Sampling sampling_;
    std::size_t n_;               // tokens that may be drawn
    std::vector<int> forbidden_;  // sorted
    std::vector<int> accepted_;   // holds the text so far, for the penalty
    std::vector<float>
        adjusted_;  // (vocab_size,): the logits as the penalty leaves them, -infinity where there is no choice
    std::vector<int> ranked_;          // (vocab_size,), for top-k
    std::optional<float> coin_;        // was drawn by sample_head() for the sample() that follows
    std::vector<float> exponentials_;  // (vocab_size,): probabilities, not yet divided by their sum; sums of them after
    std::vector<Candidate> candidates_;  // (vocab_size,), for top-p
    std::vector<Candidate> spare_;       // has room for as many, to sort them
};

}  // namespace storybake
