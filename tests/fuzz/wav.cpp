// WAV files, exact ones and those of a program that did not know the size: what is accepted has whole frames that are
// in the file, what is not is refused with 65.

#include "storyteller/wav.hpp"

#include <cstring>
#include <vector>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    const std::span<const std::byte> all = fuzz::Input(data, size).rest();
    const std::vector<std::byte> file(all.begin(), all.end());  // so that its end is guarded
    for (const speech::WavSizes sizes : {speech::WavSizes::kExact, speech::WavSizes::kStream}) {
        const Result<speech::Wav> wav = speech::parse_wav(file, sizes);
        if (!wav) {
            fuzz::require_refusal(wav.failure(), kExitBadData);
            continue;
        }
        fuzz::require(wav->rate > 0 && wav->channels >= 1 && wav->channels <= 8, "rate and channels are in range");
        fuzz::require(!wav->samples.empty(), "there is something to hear");
        fuzz::require(wav->samples.size() % static_cast<std::size_t>(wav->channels) == 0, "frames are whole");
        fuzz::require(44 + 2 * wav->samples.size() <= file.size(), "samples are the file's");
        if (sizes == speech::WavSizes::kExact && wav->channels == 1 && wav->rate == speech::kSampleRate) {
            // What is written again is read again.
            const auto bytes = speech::sample_bytes(wav->samples);
            const auto header = speech::wav_header(static_cast<std::uint32_t>(bytes.size()));
            std::vector<std::byte> again(header.begin(), header.end());
            again.insert(again.end(), bytes.begin(), bytes.end());
            const Result<speech::Wav> read = speech::parse_wav(again);
            fuzz::require(read && read->samples == wav->samples, "samples come back");
        }
    }
    return 0;
}
