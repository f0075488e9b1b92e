// Does what --selftest asks: is everything that was baked still there, and does this machine compute what it has to?
#pragma once

#include <cstddef>
#include <string>

#include "engine.hpp"
#include "fail.hpp"
#include "model.hpp"

namespace storybake {

/// Compares the packed weights and the tokenizer, section by section, with the fingerprints they were baked with; the
/// program's file with its seal, by `check_program` (seal.hpp); every kernel with plain C++; and the logits of the
/// golden run with those that codegen/golden_run.py found, position by position and in batches. Returns a line that
/// says what was proven; fails with 70, naming what is broken.
Result<std::string> self_test(Engine& engine, const std::byte* weights, const PackedData& packed,
                              Result<std::string> (*check_program)());

}  // namespace storybake
