#include "storyteller/wav.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace storybake::speech {
namespace {

static_assert(std::endian::native == std::endian::little, "samples are written as they lie in memory");

constexpr std::size_t kMaxFile = std::size_t{256} << 20;  // over two hours
constexpr std::uint32_t kUnknownSize = 0xffffffff;
// What programs write on a pipe, where the length is not known yet, is from here on: sox and espeak-ng 7ffff000,
// arecord 80000000, ffmpeg and WavFile ffffffff; or 0.
constexpr std::uint32_t kLeastUnknownSize = 0x7f000000;
constexpr std::uint16_t kPcm = 1;
constexpr std::uint16_t kExtensible = 0xfffe;  // says that the format's number is in an extension
constexpr int kMaxChannels = 8;
constexpr int kMaxRate = 768000;

std::uint32_t word(std::span<const std::byte> bytes, std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

std::uint16_t half(std::span<const std::byte> bytes, std::size_t at) {
    std::uint16_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

bool has_tag(std::span<const std::byte> bytes, std::size_t at, const char* tag) {
    return std::memcmp(bytes.data() + at, tag, 4) == 0;
}

struct Format {
    int channels;
    int rate;
};

Result<Format> parse_format(std::span<const std::byte> chunk) {
    if (chunk.size() < 16) {
        return failure(kExitBadData, "its fmt chunk has %zu bytes, expected 16 or more: is it damaged?", chunk.size());
    }
    std::uint16_t kind = half(chunk, 0);
    if (kind == kExtensible && chunk.size() >= 26) {
        kind = half(chunk, 24);
    }
    const int channels = half(chunk, 2);
    const std::uint32_t rate = word(chunk, 4);
    const int align = half(chunk, 12);
    const int bits = half(chunk, 14);
    if (kind != kPcm || bits != 16) {
        return failure(kExitBadData,
                       "format %d with %d bits a sample, expected 1 (PCM) with 16: convert it: sox in.wav "
                       "-b 16 -e signed-integer out.wav",
                       kind, bits);
    }
    if (channels < 1 || channels > kMaxChannels) {
        return failure(kExitBadData, "%d channels, expected 1 to %d: is it damaged?", channels, kMaxChannels);
    }
    if (rate < 1 || rate > kMaxRate) {
        return failure(kExitBadData, "%u samples a second, expected 1 to %d: is it damaged?", rate, kMaxRate);
    }
    if (align != 2 * channels) {
        return failure(kExitBadData, "%d bytes a frame, expected %d for %d channels of 16 bits: is it damaged?", align,
                       2 * channels, channels);
    }
    return Format{channels, static_cast<int>(rate)};
}

/// Tells whether what follows the samples is chunks too, and not more samples than the header says.
bool are_chunks(std::span<const std::byte> rest) {
    while (rest.size() >= 8) {
        const std::size_t size = word(rest, 4);
        bool named = true;
        for (const std::byte b : rest.first(4)) {
            named = named && b >= std::byte{' '} && b <= std::byte{'~'};
        }
        if (!named || size > rest.size() - 8) {
            return false;
        }
        rest = rest.subspan(std::min(rest.size(), 8 + size + size % 2));
    }
    return rest.size() < 2;  // a byte that makes the length even
}

}  // namespace

Result<Wav> parse_wav(std::span<const std::byte> file, WavSizes sizes) {
    if (file.size() < 12 || !has_tag(file, 0, "RIFF") || !has_tag(file, 8, "WAVE")) {
        return failure(kExitBadData, "not a WAV file: expected RIFF and WAVE in its first 12 bytes");
    }
    std::optional<Format> format;
    for (std::size_t at = 12; file.size() - at >= 8;) {
        const std::size_t left = file.size() - at - 8;
        const std::uint32_t size = word(file, at + 4);
        const bool is_data = has_tag(file, at, "data");
        const bool is_unknown = size >= kLeastUnknownSize || (size == 0 && !are_chunks(file.subspan(at + 8)));
        const bool is_stream = is_data && (sizes == WavSizes::kStream || is_unknown);
        if (size > left && !is_stream) {
            char tag[5] = {};
            std::memcpy(tag, file.data() + at, 4);
            return failure(kExitBadData, "its chunk \"%s\" says %u bytes, %zu are there: was the file cut?", tag, size,
                           left);
        }
        const std::span<const std::byte> chunk = file.subspan(at + 8, is_stream ? left : size);
        if (has_tag(file, at, "fmt ")) {
            const Result<Format> parsed = parse_format(chunk);
            if (!parsed) {
                return parsed.failure();
            }
            format = *parsed;
        } else if (is_data) {
            if (!format) {
                return failure(kExitBadData, "samples before the fmt chunk that says what they are: is it damaged?");
            }
            const std::size_t frame = 2 * static_cast<std::size_t>(format->channels);
            if (chunk.size() < frame || (!is_stream && chunk.size() % frame != 0)) {
                return failure(kExitBadData,
                               "%zu bytes of samples, expected a multiple of %zu, not 0: was the file cut?",
                               chunk.size(), frame);
            }
            const std::span<const std::byte> rest = file.subspan(std::min(at + 8 + size + size % 2, file.size()));
            if (!is_stream && !are_chunks(rest)) {
                return failure(kExitBadData,
                               "its header says %u bytes of samples, and %zu follow that are no chunk: was the "
                               "recording ended before its header was written?",
                               size, rest.size());
            }
            Wav wav{format->rate, format->channels, {}};
            wav.samples.resize(chunk.size() / frame * static_cast<std::size_t>(format->channels));
            std::memcpy(wav.samples.data(), chunk.data(), 2 * wav.samples.size());
            return wav;
        }
        at += 8 + size;
        at += size % 2 != 0 && at < file.size() ? 1 : 0;  // chunks begin at even offsets
    }
    return failure(kExitBadData, "no samples: expected a chunk \"data\": was the file cut?");
}

Result<std::vector<std::int16_t>> read_wav(const std::string& path) {
    const Result<std::vector<std::byte>> file = read_file(path, "recording", kMaxFile);
    if (!file) {
        return file.failure();
    }
    Result<Wav> wav = parse_wav(*file);
    if (!wav) {
        return failure(wav.failure().exit_code, "recording %s: %s", path.c_str(), wav.failure().message.c_str());
    }
    if (wav->rate != kSampleRate || wav->channels != 1) {
        return failure(
            kExitBadData,
            "recording %s: %d channels of %d Hz, expected 1 of %d: convert it: sox in.wav -r %d -c 1 out.wav",
            path.c_str(), wav->channels, wav->rate, kSampleRate, kSampleRate);
    }
    return std::move(wav->samples);
}

std::array<std::byte, 44> wav_header(std::uint32_t data_bytes) {
    const std::uint32_t riff_bytes = data_bytes == kUnknownSize ? kUnknownSize : data_bytes + 36;
    const std::uint32_t rate = kSampleRate;
    const std::uint32_t byte_rate = 2 * rate;
    const std::uint32_t format_bytes = 16;
    const std::uint16_t format[] = {kPcm, 1};
    const std::uint16_t frame[] = {2, 16};
    std::array<std::byte, 44> header{};
    std::memcpy(header.data(), "RIFF", 4);
    std::memcpy(header.data() + 4, &riff_bytes, 4);
    std::memcpy(header.data() + 8, "WAVEfmt ", 8);
    std::memcpy(header.data() + 16, &format_bytes, 4);
    std::memcpy(header.data() + 20, format, 4);
    std::memcpy(header.data() + 24, &rate, 4);
    std::memcpy(header.data() + 28, &byte_rate, 4);
    std::memcpy(header.data() + 32, frame, 4);
    std::memcpy(header.data() + 36, "data", 4);
    std::memcpy(header.data() + 40, &data_bytes, 4);
    return header;
}

std::vector<std::int16_t> stretched(std::span<const std::int16_t> samples, double factor) {
    std::vector<std::int16_t> longer(static_cast<std::size_t>(static_cast<double>(samples.size()) * factor));
    for (std::size_t i = 0; i < longer.size(); ++i) {
        const double at = static_cast<double>(i) / factor;
        const auto before = std::min(static_cast<std::size_t>(at), samples.size() - 1);
        const std::size_t after = std::min(before + 1, samples.size() - 1);
        const double share = at - static_cast<double>(before);
        longer[i] = static_cast<std::int16_t>(samples[before] + share * (samples[after] - samples[before]));
    }
    return longer;
}

std::span<const std::byte> sample_bytes(std::span<const std::int16_t> samples) {
    return std::as_bytes(samples);
}

Result<WavFile> WavFile::create(const std::string& path) {
    Result<OutputFile> file = OutputFile::create(path);
    if (!file) {
        return file.failure();
    }
    if (const auto failed = file->write(wav_header(kUnknownSize))) {
        return *failed;
    }
    return WavFile(std::move(*file), path);
}

std::optional<Failure> WavFile::write(std::span<const std::int16_t> samples) {
    const std::span<const std::byte> bytes = sample_bytes(samples);
    if (bytes_ + bytes.size() > kUnknownSize - 36) {
        return failure(kExitIo, "%s: a WAV file has at most 4 GB: the story is longer", path_.c_str());
    }
    if (auto failed = file_.write(bytes)) {
        broken_ = true;
        return failed;
    }
    bytes_ += bytes.size();
    return std::nullopt;
}

std::optional<Failure> WavFile::finish() {
    if (broken_ || bytes_ == 0) {
        return std::nullopt;  // what was there before stays
    }
    if (auto failed = file_.rewrite_start(wav_header(static_cast<std::uint32_t>(bytes_)))) {
        return failed;
    }
    return file_.commit();
}

}  // namespace storybake::speech
