#include "speech/memory.hpp"

#include "machine.hpp"
#include "model.hpp"
#include "speech/recogniser.hpp"

namespace storybake::speech {
namespace {

constexpr std::uint64_t kVoiceBytes = 8 << 20;  // the pages of a voice, and two sentences of samples

}  // namespace

MemoryNeed memory_need(const std::string& acoustic_model) {
    return {kModel.weights_bytes + kModel.kv_bytes + kModel.activation_bytes + kVoiceBytes,
            acoustic_model.empty() ? 0 : recogniser_bytes(acoustic_model), available_memory()};
}

}  // namespace storybake::speech
