#include "storyteller/memory.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "machine.hpp"
#include "model.hpp"

namespace storybake::speech {
namespace {

// Names the files that PocketSphinx reads, mapped or copied.
constexpr std::array<const char*, 6> kAcousticFiles = {
    "mdef", "means", "noisedict", "sendump", "transition_matrices", "variances"};

std::uint64_t recogniser_bytes(const std::string& acoustic_model) {
    std::uint64_t bytes = kSpeechMemory.decoder;
    for (const char* file : kAcousticFiles) {
        struct stat status {};
        if (::stat((acoustic_model + "/" + file).c_str(), &status) == 0) {
            bytes += static_cast<std::uint64_t>(status.st_size);
        }
    }
    return bytes;
}

/// Returns what a voice takes for the longest sentence, which is longer when it is spoken slowly.
std::uint64_t voice_bytes(const std::string& name, int speed) {
    const std::string voice = name.empty() ? kSpeechMemory.voices.front().voice : name.substr(0, name.find(':'));
    for (const VoiceMemory& known : kSpeechMemory.voices) {
        if (voice == known.voice) {
            return known.bytes * 100 / static_cast<std::uint64_t>(std::min(speed, 100));
        }
    }
    return 0;
}

}  // namespace

MemoryNeed memory_need(const SpeechOptions& options, const std::string& acoustic_model) {
    return {kModel.weights_bytes, kModel.kv_bytes + kModel.activation_bytes + kSpeechMemory.program,
            options.mute ? 0 : voice_bytes(options.voice, options.manner.speed),
            acoustic_model.empty() ? 0 : recogniser_bytes(acoustic_model), available_memory()};
}

}  // namespace storybake::speech
