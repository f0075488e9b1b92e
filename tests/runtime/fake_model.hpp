// A model of the tests' own in place of a generated one: its logits depend on every token so far, and it can be told
// what to say.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "model.hpp"

namespace storybake::fake {

/// One call of forward().
struct Call {
    int pos;
    int n;
    Logits wanted;
    int threads;
};

/// The calls so far.
extern std::vector<Call> calls;

/// The likeliest token after a position, by far; without an entry, whatever follows from the tokens so far.
extern std::map<int, int> script;

/// The table of guesses that the model was baked with: none at first.
extern std::uint32_t guesses[1024];

/// Puts a guess into the table: `token` follows the last tokens, whose latest is the last of them, so often of 16
/// times.
void guess(const std::vector<int>& last, int token, unsigned chance);

/// The kernels that differ from plain C++.
extern std::vector<const char*> broken;

/// The position whose logits have a NaN among them; -1 for none.
extern int broken_position;

/// Set by forward() at this position, as if the user interrupted there; -1 for never.
extern int interrupt_position;
extern volatile int interrupted;

/// Forgets the calls, the script and the tokens.
void reset();

}  // namespace storybake::fake
