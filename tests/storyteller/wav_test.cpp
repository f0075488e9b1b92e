// Reads and writes WAV files of every kind, whole and broken.

#include "storyteller/wav.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace storybake::speech {
namespace {

TEST(Wav, ReadsWhatItWrites) {
    const std::vector<std::int16_t> samples = {1, -2, 32767};
    const std::array<std::byte, 44> header = wav_header(6);
    std::vector<std::byte> file(header.begin(), header.end());
    const auto bytes = sample_bytes(samples);
    file.insert(file.end(), bytes.begin(), bytes.end());
    const Result<Wav> wav = parse_wav(file);
    ASSERT_TRUE(wav) << wav.failure().message;
    EXPECT_EQ(wav->samples, samples);
    EXPECT_EQ(wav->rate, kSampleRate);
    for (std::size_t length = 0; length < file.size(); ++length) {
        EXPECT_EQ(parse_wav(std::span(file).first(length)).failure().exit_code, kExitBadData) << length;
    }
}

TEST(Wav, IsStretched) {
    const std::vector<std::int16_t> samples = {0, 100, -100, 32767};
    EXPECT_EQ(stretched(samples, 1.0), samples);
    EXPECT_EQ(stretched(samples, 2.0), (std::vector<std::int16_t>{0, 50, 100, 0, -100, 16333, 32767, 32767}));
    EXPECT_TRUE(stretched({}, 1.5).empty());
}

TEST(Wav, IsNotBelievedItsSize) {
    const std::vector<std::int16_t> samples(100, 0x4142);  // bytes that could be a chunk's name
    const auto bytes = sample_bytes(samples);
    for (const std::uint32_t said : {1U, 50U, 198U, 202U, 0x7effffffU}) {
        const std::array<std::byte, 44> header = wav_header(said);
        std::vector<std::byte> file(header.begin(), header.end());
        file.insert(file.end(), bytes.begin(), bytes.end());
        EXPECT_EQ(parse_wav(file).failure().exit_code, kExitBadData) << said;
        const Result<Wav> stream = parse_wav(file, WavSizes::kStream);
        ASSERT_TRUE(stream) << said;
        EXPECT_EQ(stream->samples, samples);
    }
}

/// Returns a chunk of a WAV file that says it has `said` bytes, its own number without it.
std::string chunk(std::string_view tag, std::string_view content, std::optional<std::uint32_t> said = {}) {
    const std::uint32_t size = said.value_or(static_cast<std::uint32_t>(content.size()));
    std::string text(tag);
    for (int byte = 0; byte < 4; ++byte) {
        text += static_cast<char>(size >> (8 * byte) & 0xff);
    }
    return text.append(content).append(said ? 0 : content.size() % 2, '\0');
}

TEST(Wav, ReadsWhatProgramsWriteIntoFilesAndPipes) {
    using namespace std::string_literals;
    const std::string samples = "\1\0\2\0\3\0"s;
    const std::string pcm = "\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0"s;
    const std::string extensible =
        "\xfe\xff"s + pcm.substr(2) + "\x16\0\x10\0\4\0\0\0\1\0"s + "\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"s;
    const std::string format = chunk("fmt ", pcm);
    const struct {
        const char* what;
        std::string chunks;
        std::uint32_t riff;
    } kKinds[] = {
        {"the storyteller into a file, and arecord", format + chunk("data", samples), 42},
        {"the storyteller on a pipe", format + chunk("data", samples, 0xffffffff), 0xffffffff},
        {"sox on a pipe, and espeak-ng", format + chunk("data", samples, 0x7ffff000), 0x7ffff024},
        {"arecord on a pipe", format + chunk("data", samples, 0x80000000), 0x80000024},
        {"ffmpeg on a pipe", format + chunk("LIST", "INFOISFT\4\0\0\0Lavf"s) + chunk("data", samples, 0xffffffff),
         0xffffffff},
        {"ffmpeg into a file", format + chunk("LIST", "INFOISFT\4\0\0\0Lavf"s) + chunk("data", samples), 66},
        {"a recorder that never wrote a length", format + chunk("data", samples, 0), 0},
        {"sox, extensible with a fact chunk",
         chunk("fmt ", extensible) + chunk("fact", "\3\0\0\0"s) + chunk("data", samples), 78},
        {"an editor, with chunks before and behind",
         chunk("JUNK", "abc") + format + chunk("data", samples) + chunk("id3 ", "x"), 64},
        {"format with an empty extension", chunk("fmt ", pcm + "\0\0"s) + chunk("data", samples), 44},
        {"a pipe that ended within a sample", format + chunk("data", samples + "x", 0xffffffff), 0xffffffff},
    };
    for (const auto& kind : kKinds) {
        const std::string file = chunk("RIFF", "WAVE" + kind.chunks, kind.riff);
        const Result<Wav> wav = parse_wav(std::as_bytes(std::span(file)));
        ASSERT_TRUE(wav) << kind.what << ": " << wav.failure().message;
        EXPECT_EQ(wav->samples, (std::vector<std::int16_t>{1, 2, 3})) << kind.what;
        EXPECT_EQ(wav->rate, kSampleRate) << kind.what;
    }
}

TEST(Wav, KnowsTheFormatsThatOthersWrite) {
    const auto put = [](std::vector<std::byte>& to, std::initializer_list<int> bytes) {
        for (const int byte : bytes) {
            to.push_back(static_cast<std::byte>(byte));
        }
    };
    const std::array<std::byte, 44> header = wav_header(4);
    std::vector<std::byte> extensible(header.begin(), header.begin() + 12);  // as sox and ffmpeg write it
    put(extensible, {'L', 'I', 'S', 'T', 3, 0, 0, 0, 'a', 'b', 'c', 0});     // of odd length
    put(extensible, {'f', 'm', 't', ' ', 40, 0, 0, 0, 0xfe, 0xff, 1, 0});
    std::copy(header.begin() + 24, header.begin() + 36, std::back_inserter(extensible));
    put(extensible, {22, 0, 16, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 128, 0, 0, 170, 0, 56, 155, 113});
    const std::vector<std::byte> format(extensible.begin() + 24, extensible.end());
    put(extensible, {'d', 'a', 't', 'a', 4, 0, 0, 0, 1, 0, 2, 0});
    const Result<Wav> wav = parse_wav(extensible);
    ASSERT_TRUE(wav) << wav.failure().message;
    EXPECT_EQ(wav->samples, (std::vector<std::int16_t>{1, 2}));

    std::vector<std::byte> late(header.begin(), header.begin() + 12);
    put(late, {'d', 'a', 't', 'a', 4, 0, 0, 0, 1, 0, 2, 0});
    late.insert(late.end(), format.begin(), format.end());
    EXPECT_NE(parse_wav(late).failure().message.find("before the fmt chunk"), std::string::npos);
    std::vector<std::byte> skewed(header.begin(), header.end());
    skewed[32] = std::byte{3};
    put(skewed, {1, 0, 2, 0});
    EXPECT_NE(parse_wav(skewed).failure().message.find("3 bytes a frame, expected 2"), std::string::npos);
}

/// A WAV of two samples, and what may follow them.
std::vector<std::byte> two_samples(std::string_view rest = "") {
    const std::array<std::byte, 44> header = wav_header(4);
    std::vector<std::byte> file(header.begin(), header.end());
    const std::string samples("\1\0\2\0", 4);
    for (const char c : samples + std::string(rest)) {
        file.push_back(static_cast<std::byte>(c));
    }
    return file;
}

TEST(Wav, SaysWhatIsWrongWithAFormat) {
    const struct {
        std::size_t at;
        std::vector<int> bytes;
        const char* message;
    } wrong[] = {
        {0, {'R', 'I', 'F', 'X'}, "not a WAV file"},
        {8, {'A', 'V', 'I', ' '}, "not a WAV file"},
        {16, {15}, "its fmt chunk has 15 bytes, expected 16"},
        {20, {3}, "format 3 with 16 bits"},          // floating point
        {20, {0xfe, 0xff}, "format 65534 with 16"},  // extensible, and without the extension
        {34, {8}, "format 1 with 8 bits"},
        {22, {0}, "0 channels, expected 1 to 8"},
        {22, {9}, "9 channels, expected 1 to 8"},
        {24, {0, 0, 0, 0}, "0 samples a second"},
        {24, {0, 0, 0, 0xff}, "4278190080 samples a second"},
        {36, {'f', 'a', 'c', 't'}, "no samples: expected a chunk \"data\""},
        {40, {3}, "3 bytes of samples, expected a multiple of 2"},
        {40, {5}, "its chunk \"data\" says 5 bytes, 4 are there"},
    };
    for (const auto& [at, bytes, message] : wrong) {
        std::vector<std::byte> file = two_samples();
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            file[at + i] = static_cast<std::byte>(bytes[i]);
        }
        const Result<Wav> wav = parse_wav(file);
        ASSERT_FALSE(wav) << message;
        EXPECT_EQ(wav.failure().exit_code, kExitBadData);
        EXPECT_EQ(wav.failure().message.rfind(message, 0), 0U) << wav.failure().message;
    }
    std::vector<std::byte> odd = two_samples();
    odd.resize(12);
    for (const char c : std::string("LIST\1\0\0\0x", 9)) {
        odd.push_back(static_cast<std::byte>(c));
    }
    EXPECT_EQ(parse_wav(odd).failure().message.rfind("no samples", 0), 0U) << "ends where an even offset would begin";
}

TEST(Wav, WhatFollowsTheSamplesIsChunksOrNothing) {
    using namespace std::string_view_literals;
    for (const std::string_view good :
         {"x"sv, "LIST\0\0\0\0"sv, "LIST\3\0\0\0abc\0id3 \1\0\0\0x"sv, "LIST\2\0\0\0ab"sv}) {
        const Result<Wav> wav = parse_wav(two_samples(good));
        ASSERT_TRUE(wav) << good << wav.failure().message;
        EXPECT_EQ(wav->samples.size(), 2U);
    }
    for (const std::string_view bad :
         {"ab"sv, "LIST\1\0\0\0"sv, "LI\nT\0\0\0\0"sv, "L\377ST\0\0\0\0"sv, "LIST\0\0\0\0abcd"sv}) {
        const Result<Wav> wav = parse_wav(two_samples(bad));
        ASSERT_FALSE(wav) << bad;
        EXPECT_EQ(wav.failure().message.rfind("its header says 4 bytes of samples", 0), 0U) << wav.failure().message;
    }
}

TEST(Wav, ARecordingIsOneChannelOfTheRecognisersRate) {
    const std::string path = "/tmp/speech_parts_test." + std::to_string(::getpid()) + ".wav";
    const auto write = [&](const std::vector<std::byte>& file) {
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(file.data()), static_cast<long>(file.size()));
        return read_wav(path);
    };
    EXPECT_EQ(*write(two_samples()), (std::vector<std::int16_t>{1, 2}));
    std::vector<std::byte> stereo = two_samples();
    stereo[22] = std::byte{2};
    stereo[32] = std::byte{4};
    EXPECT_NE(write(stereo).failure().message.find(path + ": 2 channels of 16000 Hz"), std::string::npos);
    std::vector<std::byte> slow = two_samples();
    slow[25] = std::byte{0};
    EXPECT_NE(write(slow).failure().message.find(path + ": 1 channels of 128 Hz"), std::string::npos);
    EXPECT_NE(write({}).failure().message.find(path + ": not a WAV file"), std::string::npos);
    std::filesystem::remove(path);
    EXPECT_EQ(read_wav(path).failure().exit_code, kExitMissingFile);
}

TEST(Wav, NoSamplesWithChunksBehindThemAreNotASample) {
    using namespace std::string_literals;
    const std::string pcm = "\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0"s;
    const std::string body = "WAVE" + chunk("fmt ", pcm) + chunk("data", "") + chunk("LIST", "INFO");
    const std::string file = chunk("RIFF", body);
    const Result<Wav> none = parse_wav(std::as_bytes(std::span(file)));
    ASSERT_FALSE(none);
    EXPECT_NE(none.failure().message.find("0 bytes of samples"), std::string::npos) << none.failure().message;
}

/// Keeps files from growing beyond a size, without the signal that tells of it.
class SmallFiles {
public:
    explicit SmallFiles(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit small{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
    }
    ~SmallFiles() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        ::signal(SIGXFSZ, SIG_DFL);
    }
    SmallFiles(const SmallFiles&) = delete;
    SmallFiles& operator=(const SmallFiles&) = delete;

private:
    rlimit before_{};
};

TEST(Wav, WhatIsThereStaysUntilAWholeFileTakesItsPlace) {
    const std::string path = ::testing::TempDir() + "/stays." + std::to_string(::getpid()) + ".wav";
    std::ofstream(path) << "old";
    const std::vector<std::int16_t> samples(100, 7);
    const auto whole = [&] { return std::filesystem::file_size(path); };
    EXPECT_FALSE(WavFile::create(path)->finish()) << "not a sample, and no error";
    EXPECT_EQ(whole(), 3U);
    {
        Result<WavFile> file = WavFile::create(path);
        const SmallFiles small(50);
        EXPECT_TRUE(file->write(samples));
        EXPECT_FALSE(file->finish()) << "the failure was told already";
    }
    EXPECT_EQ(whole(), 3U);
    {
        Result<WavFile> file = WavFile::create(path);
        EXPECT_FALSE(file->write(samples));
        const SmallFiles small(20);
        EXPECT_TRUE(file->finish()) << "its header doesn't fit any more";
    }
    EXPECT_EQ(whole(), 3U);
    {
        Result<WavFile> file = WavFile::create(path);
        EXPECT_FALSE(file->write(samples));
        EXPECT_FALSE(file->finish());
    }
    EXPECT_EQ(whole(), 244U);
    std::filesystem::remove(path);
}

TEST(Wav, AFileThatCannotBeWrittenLeavesNothing) {
    EXPECT_EQ(WavFile::create("/nonexistent/story.wav").failure().exit_code, kExitIo);
    EXPECT_EQ(WavFile::create("/dev/full").failure().exit_code, kExitIo) << "its header doesn't fit";

    // Four gigabytes of a page of zeros, which the device doesn't look at.
    constexpr std::size_t kSamples = std::size_t{1} << 29;
    void* const zeros = ::mmap(nullptr, 2 * kSamples, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(zeros, MAP_FAILED);
    Result<WavFile> null = WavFile::create("/dev/null");
    ASSERT_TRUE(null);
    for (int gigabytes = 0; gigabytes < 3; ++gigabytes) {
        EXPECT_FALSE(null->write({static_cast<std::int16_t*>(zeros), kSamples}));
    }
    const auto longer = null->write({static_cast<std::int16_t*>(zeros), kSamples});
    ASSERT_TRUE(longer);
    EXPECT_NE(longer->message.find("at most 4 GB"), std::string::npos);
    EXPECT_FALSE(null->finish()) << "what there was before is whole";
    ::munmap(zeros, 2 * kSamples);
}

}  // namespace
}  // namespace storybake::speech
