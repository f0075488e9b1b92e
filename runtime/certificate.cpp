// Draws a token from the classifier's head alone where that proves what all logits would give. Every inequality here is
// derived in docs/arithmetic.md, "The certificate of a token".
#include "certificate.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "model.hpp"
#include "sampler.hpp"

namespace storybake {
namespace {

constexpr double kUnit = 0x1p-24;    // half the distance of 1.0F to the next float: an operation is off by this much
constexpr double kFew = 8 * kUnit;   // more than the operations that make and compare two probabilities
constexpr double kLeast = 0x1p-149;  // the smallest float: what an operation may be off by near 0
constexpr double kDouble = 1 + 0x1p-30;  // more than all rounding of the bracket itself, in double

/// The relative error of a sum of `terms` probabilities, each of them a rounded quotient, and of its use.
double relative_error(std::size_t terms) {
    return static_cast<double>(terms + 8) * kUnit;
}

/// Brackets e^(logit / temperature - largest) for the tail's logits, and the sum of all exponentials.
TailBracket bracket(const HeadLogits& head, std::span<const float> exponentials, float temperature, float largest) {
    TailBracket tail{};
    const auto exponent = [&](double logit, double direction) {
        const double scaled = logit / static_cast<double>(temperature);
        const double difference = scaled - static_cast<double>(largest);
        const double off = (std::fabs(scaled) + std::fabs(difference)) * kUnit * kDouble;
        return std::exp(difference + direction * off) * (1 + direction * kFew) + direction * kLeast;
    };
    tail.low = std::max(exponent(head.tail.low, -1), 0.0);
    tail.high = exponent(head.tail.high, +1);
    double negligible = 0;  // those that an addition may lose as a whole
    int others = 0;
    for (const float x : exponentials) {
        tail.sum += static_cast<double>(x);
        negligible += static_cast<double>(x) <= kUnit ? static_cast<double>(x) : 0.0;
        others += static_cast<double>(x) <= kUnit ? 0 : 1;
    }
    const auto count = static_cast<double>(head.token_of_row.size() - head.logits.size());
    // An addition of two positive floats is off by at most the smaller one, and by kUnit of the sum.
    const double step = kUnit * 1.01 * (tail.sum + count * tail.high);
    tail.rounding = (negligible + others * step + count * std::min(step, tail.high)) * kDouble;
    tail.smallest_sum = (tail.sum + count * tail.low) / kDouble - tail.rounding;
    tail.largest_sum = (tail.sum + count * tail.high) * kDouble + tail.rounding;
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
    // A product, its scales and a sum: no kernel rounds more often.
    const auto roundings = static_cast<double>(x.size() + 4);
    const double gamma = roundings * kUnit / (1 - roundings * kUnit);
    const double slack = (reach + gamma * (magnitudes + reach) + roundings * kLeast) * kDouble + magnitudes * 0x1p-40;
    return {dot - slack, dot + slack};
}

std::optional<int> Sampler::sample_head(const HeadLogits& head) {
    const auto row = static_cast<std::size_t>(head.facts.largest);
    const float scaled = head.logits[row] / temperature_;
    if (!(static_cast<double>(head.logits[row]) > head.tail.high) || (temperature_ != 0.0F && !std::isfinite(scaled))) {
        return std::nullopt;
    }
    if (temperature_ == 0.0F) {
        return static_cast<int>(head.token_of_row[row]);
    }
    const std::span<float> own = std::span(exponentials_).first(head.logits.size());
    exponentials(own, head.logits, temperature_, scaled);
    const TailBracket tail = bracket(head, own, temperature_, scaled);
    coin_ = draw();
    const std::optional<int> token = takes_all() ? prove_all(head, tail, *coin_) : prove_topp(head, tail, *coin_);
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
    double before = 0;  // of the head's exponentials
    for (std::size_t row = 0; row < head.logits.size(); ++row) {
        const auto token = static_cast<std::size_t>(head.token_of_row[row]);
        const auto passed = static_cast<double>(token - row);  // rows of the tail: both parts are in order
        const double own = static_cast<double>(exponentials_[row]);
        if (before + own + passed * tail.low > least) {
            const bool proven = token == 0 || before + passed * tail.high <= most;
            return proven ? std::optional(static_cast<int>(token)) : std::nullopt;
        }
        before += own;
    }
    return std::nullopt;
}

/// Sorts the head's most probable tokens; brackets the length of the set that exceeds topp; and sees whether the coin
/// falls on the same token for all of these lengths. The sum of all exponentials cancels but for that length.
std::optional<int> Sampler::prove_topp(const HeadLogits& head, const TailBracket& tail, float coin) {
    const float cutoff = (1.0F - topp_) / static_cast<float>(head.token_of_row.size() - 1);
    const double reachable = static_cast<double>(cutoff) * tail.largest_sum * (1 + kFew);
    const double smallest = std::max(reachable, tail.high * (1 + kFew));
    const std::span<const float> own = std::span(exponentials_).first(head.logits.size());
    const std::size_t count = find_candidates(own, static_cast<float>(smallest), 1.0F);
    const double topp = static_cast<double>(topp_);
    const std::size_t kept = count == 0 ? 0 : keep_most_probable(count, topp * tail.largest_sum * (1 + 0x1p-8));
    sort_candidates(kept);
    const auto value = [this](std::size_t rank) { return static_cast<double>(candidates_[rank].probability()); };

    // The sets that may be meant end with the ranks first to last; their sums.
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
