// Declares what the classifier's head says of a token, and a bracket of the logits that were not computed.
#pragma once

#include <cstdint>
#include <span>

namespace storybake {

/// Holds what a bake found out about the classifier: its rows were packed with those first that training has told
/// apart, the head, each part in the order of its tokens; the others, the tail, lie within `radius` of `centroid`.
/// Without a tail the rows are packed in the order of their tokens, and all spans are empty.
struct Certificate {
    int head_rows;                                // are whole tiles of every target
    std::span<const std::uint32_t> token_of_row;  // (vocab_size,)
    std::span<const std::uint32_t> row_of_token;  // (vocab_size,)
    std::span<const float> centroid;              // (dim,)
    double radius;                                // is a length by Euclid's norm
};

/// Holds what choosing a token asks of logits: the index of the largest, the first of equals, and whether all are
/// finite; if not, there is no largest.
struct LogitsFacts {
    int largest;
    bool finite;
};

/// Bounds a logit: from the lowest value to the highest that it can have.
struct LogitRange {
    double low, high;
};

/// Returns the range of the tail's logits, as any kernel computes them, for an activation (dim,): c·x ± (R‖x‖ +
/// rounding).
LogitRange tail_range(const Certificate& certificate, std::span<const double> x);

/// Holds the logits of the head's rows, for the last position, and where all others lie.
struct HeadLogits {
    std::span<const float> logits;                // (head_rows,), finite
    std::span<const std::uint32_t> token_of_row;  // (vocab_size,)
    std::span<const std::uint32_t> row_of_token;  // (vocab_size,)
    LogitsFacts facts;                            // cover the head's rows alone
    LogitRange tail;                              // says where the other logits lie
    int lowered = 0;                              // counts those of them that may lie below, at minus infinity even
};

/// Brackets the exponentials e^(logit / temperature - largest) that were not computed, and the sum of all.
struct TailBracket {
    double low, high;                  // bound one of the tail's exponentials
    double highest;                    // bounds any exponential that was not computed
    double smallest_sum, largest_sum;  // bound the sum of all, added up in float32 and in order
    double rounding;                   // bounds the error of that sum's additions, together
};

}  // namespace storybake
