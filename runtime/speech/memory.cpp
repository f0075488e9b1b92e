#include "speech/memory.hpp"

#include <cstddef>
#include <cstdlib>
#include <vector>

#include "files.hpp"
#include "model.hpp"
#include "speech/recogniser.hpp"

namespace storybake::speech {
namespace {

constexpr std::uint64_t kVoiceBytes = 8 << 20;  // the pages of a voice, and two sentences of samples

/// MemAvailable of /proc/meminfo; 0 when it is not there.
std::uint64_t available_memory() {
    const Result<std::vector<std::byte>> file = read_file("/proc/meminfo", "memory", 1 << 16);
    if (!file) {
        return 0;
    }
    const std::string text(reinterpret_cast<const char*>(file->data()), file->size());
    const std::size_t at = text.find("MemAvailable:");
    return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024;
}

}  // namespace

MemoryNeed memory_need(const std::string& acoustic_model) {
    return {kModel.weights_bytes + kModel.kv_bytes + kModel.activation_bytes + kVoiceBytes,
            acoustic_model.empty() ? 0 : recogniser_bytes(acoustic_model), available_memory()};
}

}  // namespace storybake::speech
