// The sampler: any finite logits, temperature and top-p. A token comes out.

#include "sampler.hpp"

#include <cmath>
#include <cstring>
#include <vector>

#include "fuzz.hpp"

namespace storybake {
namespace {

float real(fuzz::Input& input) {
    float value = 0.0F;
    const auto bytes = input.take(sizeof value);
    std::memcpy(&value, bytes.data(), bytes.size());
    return std::isfinite(value) ? value : 0.0F;
}

}  // namespace
}  // namespace storybake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    fuzz::Input input(data, size);
    // In the ranges that the command line lets through.
    const float wanted = std::fabs(real(input));
    const float temperature = wanted < 1e-30F ? 0.0F : wanted;
    const float topp = std::fmod(std::fabs(real(input)), 1.0F);
    const std::uint64_t seed = 1 + input.byte();
    std::vector<float> logits;
    const std::uint8_t flat = input.byte();
    logits.insert(logits.end(), flat < 0xf0 ? flat / 8 : 300, real(input));  // 300: enough to be sorted the other way
    while (logits.empty() || (!input.empty() && logits.size() < 400)) {
        logits.push_back(real(input));
    }
    const int count = static_cast<int>(logits.size());
    const int largest = argmax(logits);
    Sampler sampler(count, temperature, topp, seed);
    const int token = sampler.sample(logits, largest);
    fuzz::require(token >= 0 && token < count, "tokens are below vocab_size");
    fuzz::require(temperature != 0.0F || token == largest, "temperature 0 takes the likeliest token");
    return 0;
}
