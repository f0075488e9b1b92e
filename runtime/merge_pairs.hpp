// Runs byte-pair encoding's loop: adjacent tokens are merged, the best pair first, until none is left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <queue>
#include <vector>

namespace storybake {

/// Says what a pair of adjacent tokens becomes; the pair of the highest score is merged first, the leftmost of equals.
struct Merge {
    float score;
    int id;
};

/// Merges `ids` in place. `find(left, right)` is the merge of two ids, if there is one. Takes O(n log n) for n ids.
template <class Find>
void merge_pairs(std::vector<int>& ids, Find find) {
    // The symbols are a list linked by their places; the candidates lie in a heap, best score first, then leftmost.
    // A candidate is out of date when its place has changed or is gone: recognised when it comes up, not searched for.
    struct Candidate {
        float score;
        int left;
        int left_id, right_id, merged_id;
        bool operator<(const Candidate& other) const {
            return score != other.score ? score < other.score : left > other.left;
        }
    };
    const int count = static_cast<int>(ids.size());
    std::vector<int> next(ids.size());
    std::vector<int> previous(ids.size());
    for (int i = 0; i < count; ++i) {
        next[static_cast<std::size_t>(i)] = i + 1;
        previous[static_cast<std::size_t>(i)] = i - 1;
    }
    const auto at = [](std::vector<int>& list, int i) -> int& { return list[static_cast<std::size_t>(i)]; };
    std::priority_queue<Candidate> candidates;
    const auto consider = [&](int left) {
        if (left < 0 || at(next, left) == count) {
            return;
        }
        const int left_id = at(ids, left);
        const int right_id = at(ids, at(next, left));
        if (const std::optional<Merge> merge = find(left_id, right_id)) {
            candidates.push({merge->score, left, left_id, right_id, merge->id});
        }
    };
    for (int i = 0; i + 1 < count; ++i) {
        consider(i);
    }
    constexpr int kGone = -1;
    while (!candidates.empty()) {
        const Candidate best = candidates.top();
        candidates.pop();
        const int right = at(next, best.left);
        if (at(ids, best.left) != best.left_id || right == count || at(ids, right) != best.right_id) {
            continue;
        }
        at(ids, best.left) = best.merged_id;
        at(ids, right) = kGone;
        const int after = at(next, right);
        at(next, best.left) = after;
        if (after < count) {
            at(previous, after) = best.left;
        }
        consider(at(previous, best.left));
        consider(best.left);
    }
    ids.erase(std::remove(ids.begin(), ids.end(), kGone), ids.end());
}

}  // namespace storybake
