// Draws a token from the classifier's head alone where that proves what all logits would give. Every inequality here is
// derived in docs/arithmetic.md, "The certificate of a token".
#include "certificate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "model.hpp"
#include "sampler.hpp"

namespace storybake {
namespace {

constexpr double kUnit = 0x1p-24;    // is half the distance of 1.0F to the next float: an operation is off by this much
constexpr double kFew = 8 * kUnit;   // exceeds the errors of making and comparing two probabilities
constexpr double kLeast = 0x1p-149;  // the smallest float: what an operation may be off by near 0
constexpr double kDouble = 1 + 0x1p-30;  // exceeds all rounding of the bracket itself, in double

/// Bounds the relative error of a sum of `terms` probabilities, each of them a rounded quotient, and of its use.
double relative_error(std::size_t terms) {
    return static_cast<double>(terms + 8) * kUnit;
}

/// Counts the head's exponentials that were not computed: how many, and the bounds of their sum.
struct Far {
    int count = 0;
    double low = 0, high = 0;
};

/// Bounds temperatures from below by one whose inverse is a float by far.
constexpr float kCoarsest = 1e-30F;

/// Separates near from far: exponents below this one are far, e^-8 of the largest.
constexpr float kNear = -8.0F;

/// Collects the logits that are near the largest, with their rows, in the order of both; brackets the exponentials of
/// all others. In a distribution with a top the others are nearly all, and computing them takes longer than a layer.
template <typename Collect>
Far split(std::span<const float> logits, float temperature, float largest, const Collect& collect) {
    // 2^x is read off the bits of a float whose exponent is the whole part of x and whose mantissa is the rest: 1 + f
    // for 2^f, which is at most 1.0615 times too large. What is below 2^-100 counts as that.
    constexpr float kBits = 8388608.0F;
    constexpr float kLowest = -100.0F;
    const float scale = 1.0F / (temperature * 0.69314718F);
    const float near = kNear / 0.69314718F;
    constexpr std::size_t kBlock = 8;  // are summed side by side, for a processor without speculation
    float sums[kBlock] = {};
    int found = 0;
    const auto add_block = [&](std::size_t begin, const float* block) {
        float x[kBlock];
        float highest = kLowest;
        for (std::size_t k = 0; k < kBlock; ++k) {
            x[k] = std::fmax((block[k] - largest) * scale, kLowest);
            highest = std::fmax(highest, x[k]);
        }
        for (std::size_t k = 0; highest >= near && k < kBlock; ++k) {
            if (x[k] >= near) {
                collect(begin + k);
                ++found;
                x[k] = kLowest;
            }
        }
        for (std::size_t k = 0; k < kBlock; ++k) {
            const auto bits = static_cast<std::int32_t>((x[k] + 127.0F) * kBits);
            std::memcpy(&x[k], &bits, sizeof bits);
        }
        for (std::size_t k = 0; k < kBlock; ++k) {
            sums[k] += x[k];
        }
    };
    std::size_t row = 0;
    for (; row + kBlock <= logits.size(); row += kBlock) {
        add_block(row, &logits[row]);
    }
    float rest[kBlock];
    std::fill(rest, rest + kBlock, -std::numeric_limits<float>::infinity());
    std::copy(logits.begin() + static_cast<std::ptrdiff_t>(row), logits.end(), rest);
    add_block(row, rest);
    double sum = 0;
    for (const float x : sums) {
        sum += static_cast<double>(x);
    }
    const int count = static_cast<int>(logits.size()) - found;
    const double slack = 1e-3 + count * kUnit;  // covers float32 exponents, the scale, and the sums
    const double least = static_cast<double>(logits.size() + kBlock) * 0x1p-99;
    return {count, std::max(sum * (1 - slack) / 1.0615 - least, 0.0), sum * (1 + slack)};
}

/// Brackets e^(logit / temperature - largest) for the tail's logits, and the sum of all: the tail's, the head's
/// `exponentials` and those that are far.
TailBracket bracket(const HeadLogits& head, std::span<const float> exponentials, const Far& far, float temperature,
                    float largest) {
    TailBracket tail{};
    const auto exponent = [&](double logit, double direction) {
        const double scaled = logit / static_cast<double>(temperature);
        const double difference = scaled - static_cast<double>(largest);
        const double off = (std::fabs(scaled) + std::fabs(difference)) * kUnit * kDouble;
        return std::exp(difference + direction * off) * (1 + direction * kFew) + direction * kLeast;
    };
    tail.low = std::max(exponent(head.tail.low, -1), 0.0);
    tail.high = exponent(head.tail.high, +1);
    tail.highest = far.count == 0 ? tail.high : std::max(tail.high, std::exp(static_cast<double>(kNear)) * 1.001);
    double sum = 0;
    double negligible = 0;  // sums those that an addition may lose as a whole
    int others = 0;
    for (const float x : exponentials) {
        sum += static_cast<double>(x);
        negligible += static_cast<double>(x) <= kUnit ? static_cast<double>(x) : 0.0;
        others += static_cast<double>(x) <= kUnit ? 0 : 1;
    }
    const auto count = static_cast<double>(head.token_of_row.size() - head.logits.size());
    const double low = (sum + far.low + std::max(count - head.lowered, 0.0) * tail.low) / kDouble;
    const double high = (sum + far.high + count * tail.high) * kDouble;
    // Allow for rounding: an addition of two positive floats is off by at most the smaller one, and by kUnit of the
    // sum.
    const double step = kUnit * 1.01 * high;
    tail.rounding =
        (negligible + others * step + std::min(far.count * step, far.high) + count * std::min(step, tail.high)) *
        kDouble;
    tail.smallest_sum = low - tail.rounding;
    tail.largest_sum = high + tail.rounding;
    return tail;
}

}  // namespace

LogitRange tail_range(const Certificate& certificate, std::span<const double> x) {
    double dot = 0;
    double magnitudes = 0;
    double squares = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
        const double product = static_cast<double>(certificate.centroid[j]) * x[j];
        dot += product;
        magnitudes += std::fabs(product);
        squares += x[j] * x[j];
    }
    const double reach = certificate.radius * std::sqrt(squares);
    // Count the roundings of a product, its scales and a sum: no kernel rounds more often.
    const auto roundings = static_cast<double>(x.size() + 4);
    const double gamma = roundings * kUnit / (1 - roundings * kUnit);
    const double slack = (reach + gamma * (magnitudes + reach) + roundings * kLeast) * kDouble + magnitudes * 0x1p-40;
    return {dot - slack, dot + slack};
}

/// Takes from the head's logits what may not be drawn, into the first of adjusted_; returns how many of the tail's are
/// lowered, or nothing where one is raised.
std::optional<int> Sampler::adjust_head(const HeadLogits& head) {
    const std::size_t count = head.logits.size();
    std::copy(head.logits.begin(), head.logits.end(), adjusted_.begin());
    int lowered = 0;
    for (const int token : accepted_lately()) {
        const std::uint32_t row = head.row_of_token[static_cast<std::size_t>(token)];
        if (row < count) {
            penalise(adjusted_[row]);
        } else if (sampling_.repeat_penalty >= 1.0F) {
            ++lowered;
        } else {
            return std::nullopt;
        }
    }
    for (const int token : forbidden_) {
        const std::uint32_t row = head.row_of_token[static_cast<std::size_t>(token)];
        if (row < count) {
            adjusted_[row] = -std::numeric_limits<float>::infinity();
        } else {
            ++lowered;
        }
    }
    return lowered;
}

std::optional<int> Sampler::sample_head(const HeadLogits& head) {
    n_ = head.token_of_row.size() - forbidden_.size();
    if (!adjusts()) {
        return prove(head);
    }
    const std::optional<int> lowered = adjust_head(head);
    if (!lowered) {
        return std::nullopt;
    }
    const std::span<float> own = std::span(adjusted_).first(head.logits.size());
    const LogitsFacts facts{argmax(own), true};
    const float largest = own[static_cast<std::size_t>(facts.largest)];
    if (!(static_cast<double>(largest) > head.tail.high)) {
        return std::nullopt;
    }
    bool alone = false;  // no row of the tail has a chance
    if (sampling_.top_k > 0 && static_cast<std::size_t>(sampling_.top_k) < n_) {
        if (static_cast<std::size_t>(sampling_.top_k) > own.size() ||
            !(static_cast<double>(keep_top_k(own)) > head.tail.high)) {
            return std::nullopt;
        }
        alone = true;
    }
    const HeadLogits adjusted = {own, head.token_of_row, head.row_of_token, facts, head.tail, *lowered};
    if (sampling_.min_p > 0.0F && temperature_ != 0.0F && !alone) {
        const float scaled = largest / temperature_;
        if (!std::isfinite(scaled) ||
            !(bracket(adjusted, {}, {}, temperature_, scaled).high < static_cast<double>(sampling_.min_p))) {
            return std::nullopt;
        }
        alone = true;
    }
    if (!alone || temperature_ == 0.0F) {
        return prove(adjusted);
    }
    return static_cast<int>(head.token_of_row[static_cast<std::size_t>(draw_from(own, facts.largest))]);
}

/// Proves the token of a head's logits, which may be adjusted.
std::optional<int> Sampler::prove(const HeadLogits& head) {
    const auto row = static_cast<std::size_t>(head.facts.largest);
    const float scaled = head.logits[row] / temperature_;
    if (!(static_cast<double>(head.logits[row]) > head.tail.high) || (temperature_ != 0.0F && !std::isfinite(scaled))) {
        return std::nullopt;
    }
    if (temperature_ == 0.0F) {
        return static_cast<int>(head.token_of_row[row]);
    }
    coin_ = draw();
    std::optional<int> token;
    if (!takes_all() && temperature_ > kCoarsest) {
        std::size_t near = 0;
        const Far far = split(head.logits, temperature_, head.logits[row], [&](std::size_t found) {
            exponentials_[near] = head.logits[found];
            spare_[near++].token = static_cast<int>(found);
        });
        const std::span<float> own = std::span(exponentials_).first(near);
        exponentials(own, own, temperature_, scaled);
        token = prove_topp(head, bracket(head, own, far, temperature_, scaled), near, *coin_);
    }
    if (!token) {
        const std::span<float> own = std::span(exponentials_).first(head.logits.size());
        exponentials(own, head.logits, temperature_, scaled);
        const TailBracket tail = bracket(head, own, {}, temperature_, scaled);
        token = takes_all() ? prove_all(head, tail, *coin_) : prove_topp(head, tail, own.size(), *coin_);
    }
    if (token) {
        coin_.reset();
    }
    return token;
}

/// Finds the first token whose cumulative probability certainly exceeds the coin, if that of the token before it, with
/// all of the tail in between, certainly does not.
std::optional<int> Sampler::prove_all(const HeadLogits& head, const TailBracket& tail, float coin) const {
    const double least = (static_cast<double>(coin) * tail.largest_sum * (1 + kFew) + tail.rounding) * kDouble;
    const double most = (static_cast<double>(coin) * tail.smallest_sum * (1 - kFew) - tail.rounding) / kDouble;
    double before = 0;  // sums the head's exponentials
    for (std::size_t row = 0; row < head.logits.size(); ++row) {
        const auto token = static_cast<std::size_t>(head.token_of_row[row]);
        const auto passed = static_cast<double>(token - row);  // counts rows of the tail: both parts are in order
        const double certain = std::max(passed - head.lowered, 0.0) * tail.low;
        const double own = static_cast<double>(exponentials_[row]);
        if (before + own + certain > least) {
            const bool proven = token == 0 || before + passed * tail.high <= most;
            return proven ? std::optional(static_cast<int>(token)) : std::nullopt;
        }
        before += own;
    }
    return std::nullopt;
}

/// Sorts the most probable of the head's first `computed` exponentials, of rows that spare_ has where these are not
/// all; brackets the length of the set that exceeds topp; and sees whether the coin falls on the same token for all of
/// these lengths. The sum of all exponentials cancels but for that length.
std::optional<int> Sampler::prove_topp(const HeadLogits& head, const TailBracket& tail, std::size_t computed,
                                       float coin) {
    const float cutoff = (1.0F - topp_) / static_cast<float>(n_ - 1);
    const double reachable = static_cast<double>(cutoff) * tail.largest_sum * (1 + kFew);
    const double smallest = std::max(reachable, tail.highest * (1 + kFew));
    const std::span<const float> own = std::span(exponentials_).first(computed);
    const std::size_t count = find_candidates(own, static_cast<float>(smallest), 1.0F);
    for (std::size_t i = 0; i < count && computed < head.logits.size(); ++i) {
        candidates_[i].token = spare_[static_cast<std::size_t>(candidates_[i].token)].token;
    }
    const double topp = static_cast<double>(topp_);
    const std::size_t kept = count == 0 ? 0 : keep_most_probable(count, topp * tail.largest_sum * (1 + 0x1p-8));
    sort_candidates(kept);
    const auto value = [this](std::size_t rank) { return static_cast<double>(candidates_[rank].probability()); };

    // Find the sums of the sets that may be meant, which end with the ranks first to last.
    std::size_t first = kept;
    std::size_t last = kept;
    double first_sum = 0;
    double sum = 0;
    for (std::size_t rank = 0; rank < kept && last == kept; ++rank) {
        sum += value(rank);
        if (first == kept && sum * (1 + relative_error(rank)) > topp * tail.smallest_sum) {
            first = rank;
            first_sum = sum;
        }
        if (sum * (1 - relative_error(rank)) > topp * tail.largest_sum) {
            last = rank;
        }
    }
    if (last == kept || value(last) <= smallest * (1 + kFew)) {
        return std::nullopt;  // the tail, or what lies below the cutoff, may be in the set
    }
    const double error = relative_error(last) * kDouble;
    const double least = static_cast<double>(coin) * first_sum * (1 - error);
    const double most = static_cast<double>(coin) * sum * (1 + error);
    std::size_t rank = 0;
    double before = 0;
    double through = value(0);
    while (rank < first && through * (1 + error) <= least) {
        before = through;
        through += value(++rank);
    }
    if ((rank > 0 && before * (1 + error) > least) || (rank < last && !(through * (1 - error) > most))) {
        return std::nullopt;
    }
    // Near equals may change places when they are divided by the sum; equals stand in the order of their tokens.
    const double drawn = value(rank);
    std::size_t above = rank;
    std::size_t below = rank;
    while (above > 0 && value(above) == drawn) {
        --above;
    }
    while (below + 1 < kept && value(below) == drawn) {
        ++below;
    }
    const bool alone_above = value(above) == drawn || value(above) > drawn * (1 + kFew);
    const bool alone_below = value(below) == drawn ? kept == count : value(below) * (1 + kFew) < drawn;
    if (!alone_above || !alone_below) {
        return std::nullopt;
    }
    return static_cast<int>(head.token_of_row[static_cast<std::size_t>(candidates_[rank].token)]);
}

}  // namespace storybake
