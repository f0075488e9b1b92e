// What the classifier's head says of a token, and a bracket of the logits that were not computed.
#pragma once

#include <cstdint>
#include <span>

namespace storybake {

/// What a bake found out about the classifier: its rows were packed with those first that training has told apart, the
/// head, each part in the order of its tokens; the others, the tail, lie within `radius` of `centroid`. Without a tail
/// the rows are packed in the order of their tokens, and all spans are empty.
struct Certificate {
    int head_rows;                                // whole tiles of every target
    std::span<const std::uint32_t> token_of_row;  // (vocab_size,)
    std::span<const std::uint32_t> row_of_token;  // (vocab_size,)
    std::span<const float> centroid;              // (dim,)
    double radius;                                // of Euclid's norm
};

/// What choosing a token asks of logits: the index of the largest, the first of equals, and whether all are finite; if
/// not, there is no largest.
struct LogitsFacts {
    int largest;
    bool finite;
};

/// From the lowest to the highest that a logit can be.
struct LogitRange {
    double low, high;
};

/// The range of the tail's logits, as any kernel computes them, for an activation (dim,): c·x ± (R‖x‖ + rounding).
LogitRange tail_range(const Certificate& certificate, std::span<const double> x);

/// The logits of the head's rows, for the last position, and where all others lie.
struct HeadLogits {
    std::span<const float> logits;                // (head_rows,), finite
    std::span<const std::uint32_t> token_of_row;  // (vocab_size,)
    LogitsFacts facts;                            // of the head's rows
    LogitRange tail;                              // where the other logits lie
};

/// Where exponentials e^(logit / temperature - largest) lie that were not computed, and the sum of all.
struct TailBracket {
    double low, high;                  // of one of the tail's
    double highest;                    // of any that was not computed
    double smallest_sum, largest_sum;  // of all exponentials, added up in float32 and in order
    double rounding;                   // what the additions of that sum may be off by, together
};

}  // namespace storybake
