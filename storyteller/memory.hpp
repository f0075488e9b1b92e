// Counts what hearing and telling take of memory, and what this machine has.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "storyteller/speech_options.hpp"

namespace storybake::speech {

struct VoiceMemory {
    const char* voice;  // names the voice without what stands behind a colon
    std::uint64_t bytes;
};

/// Holds what was measured beside the model, in bytes; generated from codegen/memory.py.
struct SpeechMemory {
    std::uint64_t program;
    std::uint64_t decoder;  // is PocketSphinx's with this grammar, beside the files of the acoustic model
    std::span<const VoiceMemory> voices;
};
extern const SpeechMemory kSpeechMemory;

/// Counts what a robot needs of memory, in bytes.
struct MemoryNeed {
    std::uint64_t weights;     // are pages of a file, which give way while it hears
    std::uint64_t program;     // is what else the model takes
    std::uint64_t voice;       // 0 without
    std::uint64_t recogniser;  // 0 without an acoustic model
    std::uint64_t available;   // is what this machine can spare now; 0 when it doesn't say

    [[nodiscard]] std::uint64_t telling() const { return weights + program + voice; }
    [[nodiscard]] std::uint64_t hearing() const { return program + recogniser; }
    [[nodiscard]] std::uint64_t both() const { return telling() + recogniser; }

    /// Tells whether the recogniser can stay while a story is told; else it is loaded for each wish anew.
    [[nodiscard]] bool both_fit() const { return both() <= available; }
};
MemoryNeed memory_need(const SpeechOptions& options, const std::string& acoustic_model);

}  // namespace storybake::speech
