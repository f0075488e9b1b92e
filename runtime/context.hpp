// What every kernel is told besides its operands: how many positions, which share of the rows, where to book its time.
#pragma once

#include "profile.hpp"
#include "team.hpp"

namespace storybake {

/// The rows [begin, end) of a matrix or vector.
struct Rows {
    int begin, end;
};

struct Context {
    int n;             // positions in this batch
    Team team;         // this thread's place among those that share the rows
    Profile* profile;  // null when nobody asked

    /// Charges the time since the last mark to an operation.
    void mark(int op) const {
        if (profile != nullptr) {
            profile->mark(op);
        }
    }

    /// Waits for the other threads of the team, and charges the wait to the operation `op`.
    void wait(int op) const {
        if (team.size > 1) {
            team.sync();
            mark(op);
        }
    }

    /// The rows of a vector that this thread computed: its slice of the `tiles` whole tiles of `tile_rows` rows; the
    /// last thread has what is left of `rows` as well.
    [[nodiscard]] Rows own_rows(int tiles, int tile_rows, int rows) const {
        const Team::Slice tile = team.slice(tiles);
        return {tile.begin * tile_rows, is_last() ? rows : tile.end * tile_rows};
    }

    [[nodiscard]] bool is_last() const { return team.rank == team.size - 1; }
};

}  // namespace storybake
