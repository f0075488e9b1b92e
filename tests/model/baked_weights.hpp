// The weights of this build's model, from the program itself or the file that STORYBAKE_WEIGHTS names.
#pragma once

#include <cstdlib>

#include "weights.hpp"

namespace storybake {

inline const Result<Weights>& baked_weights() {
    const char* beside = std::getenv("STORYBAKE_WEIGHTS");
    static const Result<Weights> weights =
        Weights::load(kPackedData, kModel.name, beside != nullptr ? beside : "", Load::kMap);
    return weights;
}

}  // namespace storybake
