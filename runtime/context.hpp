// Holds what every kernel is told besides its operands: how many positions, which share of the rows, where to book its
// time.
#pragma once

#include <algorithm>

#include "profile.hpp"
#include "team.hpp"

namespace storybake {

/// Names the rows [begin, end) of a matrix or vector.
struct Rows {
    int begin, end;
};

/// Lies behind the last row of any matrix.
constexpr int kAllRows = 1 << 30;

struct Context {
    int n;                        // positions in this batch
    Team team;                    // this thread's place among those that share the rows
    Profile* profile;             // null when nobody asked
    Rows wanted = {0, kAllRows};  // are whole tiles; the team shares their rows alone

    /// Charges the time since the last mark to an operation.
    void mark(int op) const {
        if (profile != nullptr) {
            profile->mark(op, n);
        }
    }

    /// Waits for the other threads of the team, and charges the wait to the row of its own.
    void wait() const {
        if (team.size > 1) {
            team.sync();
            if (profile != nullptr) {
                profile->mark_wait(n);
            }
        }
    }

    /// Returns this thread's slice of those of `tiles` tiles of `tile_rows` rows from `first_row` on that are wanted.
    [[nodiscard]] Team::Slice own_tiles(int first_row, int tiles, int tile_rows) const {
        const int begin = std::clamp((wanted.begin - first_row) / tile_rows, 0, tiles);
        const int end = std::clamp((wanted.end - first_row) / tile_rows, 0, tiles);
        const Team::Slice tile = team.slice(end - begin);
        return {begin + tile.begin, begin + tile.end};
    }

    /// Returns the rows of a vector that this thread computed: its slice of `tiles` tiles of `tile_rows` rows from
    /// `first_row` on. A padded tile's rows are counted in full: vectors have room for them.
    [[nodiscard]] Rows own_rows(int first_row, int tiles, int tile_rows) const {
        const Team::Slice tile = own_tiles(first_row, tiles, tile_rows);
        return {first_row + tile.begin * tile_rows, first_row + tile.end * tile_rows};
    }
};

}  // namespace storybake
