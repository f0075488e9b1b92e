// Reads WAV files of 16-bit samples from memory, with no trust in what their header says, and writes them as they grow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"
#include "files.hpp"

namespace storybake::speech {

/// Counts the samples a second of everything that is said and heard.
constexpr int kSampleRate = 16000;

struct Wav {
    int rate;                           // samples a second and channel, above 0
    int channels;                       // 1 to 8
    std::vector<std::int16_t> samples;  // whole frames, channels interleaved
};

/// Says whether the sizes in the header have to be right, where they don't say themselves that they were not known yet,
/// or samples go on to the end whatever they are.
enum class WavSizes { kExact, kStream };

/// Reads a file that is in memory. Fails with 65 when it is no WAV file of 16-bit samples or its sizes are not those of
/// its bytes.
Result<Wav> parse_wav(std::span<const std::byte> file, WavSizes sizes = WavSizes::kExact);

/// Reads the file at `path` as a microphone would have heard it: one channel, kSampleRate. Fails with 65, 66, 74.
Result<std::vector<std::int16_t>> read_wav(const std::string& path);

/// Returns the header of a file with one channel of kSampleRate, and `data_bytes` bytes of samples.
std::array<std::byte, 44> wav_header(std::uint32_t data_bytes);

/// Returns samples made longer by a factor from 1 on, so that at the same rate they are slower and deeper.
std::vector<std::int16_t> stretched(std::span<const std::int16_t> samples, double factor);

/// Views samples as their bytes in a file or on a pipe, little-endian.
std::span<const std::byte> sample_bytes(std::span<const std::int16_t> samples);

/// Writes a WAV file that grows: its header says so until finish() puts the length in. It appears under its name when
/// it is finished, after an interruption too, but not without a sample; written to a device or a pipe, its header stays
/// as it is.
class WavFile {
public:
    /// Begins the file at `path`. Fails with 74.
    static Result<WavFile> create(const std::string& path);

    std::optional<Failure> write(std::span<const std::int16_t> samples);

    /// Completes the file. Nothing appears when a write has failed before, which is known by then.
    std::optional<Failure> finish();

private:
    WavFile(OutputFile file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

    OutputFile file_;
    std::string path_;
    std::uint64_t bytes_ = 0;  // counts the bytes of samples
    bool broken_ = false;
};

}  // namespace storybake::speech
