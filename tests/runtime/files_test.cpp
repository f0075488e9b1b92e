// Files, the weights file and the check of the checkpoint.
#include "files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "fingerprint.hpp"
#include "machine.hpp"
#include "vocabulary.hpp"
#include "weights.hpp"

namespace storybake {
namespace {

namespace fs = std::filesystem;

class FilesTest : public testing::Test {
protected:
    void SetUp() override {
        folder_ = fs::temp_directory_path() / ("files_test." + std::to_string(::getpid()));
        fs::create_directory(folder_);
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string path(const char* name) { return (folder_ / name).string(); }
    std::string write(const char* name, const std::string& bytes) {
        std::ofstream(path(name), std::ios::binary) << bytes;
        return path(name);
    }
    std::size_t files() {
        return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
    }

    fs::path folder_;
};

std::string random_bytes(std::size_t size) {
    std::string bytes(size, '\0');
    std::uint32_t state = 1;
    for (char& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<char>(state >> 24);
    }
    return bytes;
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(FilesTest, ReadFileAroundTheSizesOfItsSteps) {
    for (const std::size_t size : {0U, 1U, 65535U, 65536U, 65537U, 200000U}) {
        const std::string bytes = random_bytes(size);
        write("f", bytes);
        auto got = read_file(path("f"), "file", 200000);
        ASSERT_TRUE(got) << got.failure().message;
        EXPECT_EQ(text_of(*got), bytes);
    }
    write("f", random_bytes(200001));
    const auto too_long = read_file(path("f"), "tokenizer", 200000);
    ASSERT_FALSE(too_long);
    EXPECT_EQ(too_long.failure().exit_code, kExitBadData);
    const auto endless = read_file("/dev/zero", "tokenizer", 200000);
    ASSERT_FALSE(endless);
    EXPECT_EQ(endless.failure().exit_code, kExitBadData);
}

TEST_F(FilesTest, WhatCannotBeReadIs66) {
    for (const std::string& name : {path("none"), folder_.string(), std::string()}) {
        const auto got = read_file(name, "tokenizer", 100);
        ASSERT_FALSE(got) << name;
        EXPECT_EQ(got.failure().exit_code, kExitMissingFile);
        EXPECT_EQ(got.failure().message.rfind("tokenizer " + name, 0), 0U) << got.failure().message;
    }
}

TEST_F(FilesTest, WhatCannotBeReadToItsEndIs74) {
    const auto got = read_file("/proc/self/mem", "tokenizer", 100);  // opens, and has nothing at its beginning
    ASSERT_FALSE(got);
    EXPECT_EQ(got.failure().exit_code, kExitIo);
    EXPECT_EQ(got.failure().message.rfind("tokenizer /proc/self/mem: reading failed: ", 0), 0U);
    EXPECT_EQ(read_text("/proc/self/mem", "rules", 100).failure().exit_code, kExitIo);
    PackedData packed{};
    const auto checkpoint = check_checkpoint("/proc/self/mem", packed, "model");
    ASSERT_TRUE(checkpoint);
    EXPECT_EQ(checkpoint->exit_code, kExitIo);
}

TEST_F(FilesTest, RoomForMoreThanAReadMayMoveIsNoError) {
    constexpr std::size_t kRoom = std::size_t{3} << 30;
    void* const room =
        ::mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(room, MAP_FAILED);
    auto file = InputFile::open(write("f", "abc"), "file");
    ASSERT_TRUE(file);
    const auto got = file->read({static_cast<std::byte*>(room), kRoom});
    ASSERT_TRUE(got);
    EXPECT_EQ(text_of({static_cast<std::byte*>(room), *got}), "abc");
    ::munmap(room, kRoom);
}

TEST_F(FilesTest, WhatCannotBeMappedSaysWhatElseToDo) {
    auto file = InputFile::open(write("f", "abc"), "weights");
    ASSERT_TRUE(file);
    const auto nothing = file->map(0);
    ASSERT_FALSE(nothing);
    EXPECT_EQ(nothing.failure().exit_code, kExitIo);
    const auto beyond = file->map(std::size_t{1} << 60);
    ASSERT_FALSE(beyond);
    EXPECT_EQ(beyond.failure().exit_code, kExitNoMemory);
    EXPECT_NE(beyond.failure().message.find("use --load read"), std::string::npos);
}

TEST_F(FilesTest, ReadStreamGathersShortReads) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    std::thread writer([&] {
        for (int i = 0; i < 100; ++i) {
            EXPECT_EQ(::write(ends[1], "abc", 3), 3);
            std::this_thread::yield();
        }
        ::close(ends[1]);
    });
    const auto text = read_stream(ends[0], 1000);
    writer.join();
    ::close(ends[0]);
    ASSERT_TRUE(text);
    EXPECT_EQ(text->size(), 300U);

    const int zero = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(read_stream(zero, 1000)->size(), 1001U) << "one more than the limit tells that it is too long";
    ::close(zero);
    const auto failed = read_stream(-1, 10);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.failure().exit_code, kExitIo);
}

TEST_F(FilesTest, OutputAppearsWhenItIsComplete) {
    const std::string bytes = random_bytes(100000);
    {
        auto file = OutputFile::create(path("out"));
        ASSERT_TRUE(file);
        EXPECT_FALSE(file->write(as_bytes(bytes)));
        EXPECT_FALSE(fs::exists(path("out")));
        EXPECT_FALSE(file->commit());
    }
    EXPECT_EQ(text_of(*read_file(path("out"), "out", 1 << 20)), bytes);
    EXPECT_EQ(files(), 1U);
    EXPECT_EQ(fs::status(path("out")).permissions() & fs::perms::owner_all,
              fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(FilesTest, OutputThatIsGivenUpLeavesNothingAndTouchesNothing) {
    write("out", "old");
    {
        auto file = OutputFile::create(path("out"));
        ASSERT_TRUE(file);
        EXPECT_FALSE(file->write(as_bytes("new")));
    }
    EXPECT_EQ(text_of(*read_file(path("out"), "out", 100)), "old");
    EXPECT_EQ(files(), 1U);
}

TEST_F(FilesTest, TheStartOfAFileIsRewrittenAndThatOfADeviceIsGone) {
    auto file = OutputFile::create(path("out"));
    ASSERT_TRUE(file);
    EXPECT_FALSE(file->write(as_bytes("????, and the rest")));
    EXPECT_FALSE(file->rewrite_start(as_bytes("size")));
    EXPECT_FALSE(file->commit());
    EXPECT_EQ(text_of(*read_file(path("out"), "out", 100)), "size, and the rest");
    auto null = OutputFile::create("/dev/null");
    ASSERT_TRUE(null);
    EXPECT_FALSE(null->rewrite_start(as_bytes("size")));
}

TEST_F(FilesTest, FilesThatAreBeingWrittenGoWhenTheProgramIsEnded) {
    auto file = OutputFile::create(path("out"));
    ASSERT_TRUE(file);
    EXPECT_FALSE(file->write(as_bytes("half")));
    EXPECT_EQ(files(), 1U);
    discard_unfinished_files();  // as a signal does
    EXPECT_EQ(files(), 0U);
}

TEST_F(FilesTest, MoreFilesThanPlacesForTheirNamesAreWrittenAllTheSame) {
    std::vector<OutputFile> open;
    for (int i = 0; i < 9; ++i) {
        auto file = OutputFile::create(path(std::to_string(i).c_str()));
        ASSERT_TRUE(file);
        EXPECT_FALSE(file->write(as_bytes("bytes")));
        open.push_back(std::move(*file));
    }
    for (OutputFile& file : open) {
        EXPECT_FALSE(file.commit());
    }
    EXPECT_EQ(files(), 9U);
    for (int i = 0; i < 9; ++i) {
        EXPECT_EQ(fs::file_size(path(std::to_string(i).c_str())), 5U);
    }
}

TEST_F(FilesTest, OutputThatCannotBeWrittenIs74) {
    const auto nowhere = OutputFile::create(path("no/such/folder"));
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.failure().exit_code, kExitIo);
    const auto is_folder = OutputFile::create(folder_.string());
    ASSERT_FALSE(is_folder);
    EXPECT_EQ(is_folder.failure().exit_code, kExitIo);
}

TEST_F(FilesTest, ADeviceIsWrittenDirectly) {
    auto null = OutputFile::create("/dev/null");
    ASSERT_TRUE(null);
    EXPECT_FALSE(null->write(as_bytes("bytes")));
    EXPECT_FALSE(null->commit());
    struct stat status {};
    ASSERT_EQ(::stat("/dev/null", &status), 0);
    EXPECT_TRUE(S_ISCHR(status.st_mode)) << "and is not replaced";
    if (auto full = OutputFile::create("/dev/full")) {
        const auto failed = full->write(as_bytes("bytes"));
        ASSERT_TRUE(failed);
        EXPECT_EQ(failed->exit_code, kExitIo);
    }
}

PackedData packed_for(const std::string& bytes) {
    PackedData packed{};
    packed.weights_size = bytes.size();
    packed.weights_fingerprint = fingerprint(as_bytes(bytes));
    packed.checkpoint_size = bytes.size();
    packed.checkpoint_fingerprint = fingerprint(as_bytes(bytes));
    return packed;
}

TEST_F(FilesTest, WeightsOfTheModelAreLoaded) {
    const std::string bytes = random_bytes(300001);
    const PackedData packed = packed_for(bytes);
    for (const Load how : {Load::kRead, Load::kMap}) {
        auto weights = Weights::load(packed, "model", write("w", bytes), how);
        ASSERT_TRUE(weights) << weights.failure().message;
        EXPECT_EQ(weights->how(), how);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(weights->data()) % 64, 0U);
        EXPECT_EQ(text_of({weights->data(), bytes.size()}), bytes);
    }
}

TEST_F(FilesTest, WeightsThatAreWrittenToWhileTheyAreMappedAreFound) {
    const std::string bytes = random_bytes(300001);
    const PackedData packed = packed_for(bytes);
    const std::string file = write("w", bytes);
    for (const Load how : {Load::kRead, Load::kMap}) {
        const auto weights = Weights::load(packed, "model", file, how);
        ASSERT_TRUE(weights);
        EXPECT_FALSE(weights->changed(packed));
        const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
        const char other = static_cast<char>(bytes[200000] ^ 1);
        ASSERT_EQ(::pwrite(fd, &other, 1, 200000), 1);
        const auto changed = weights->changed(packed);
        EXPECT_EQ(changed.has_value(), how == Load::kMap);
        if (changed) {
            EXPECT_EQ(changed->exit_code, kExitBadData);
            EXPECT_NE(changed->message.find(file), std::string::npos);
        }
        ASSERT_EQ(::pwrite(fd, &bytes[200000], 1, 200000), 1);
        ::close(fd);
    }
}

TEST_F(FilesTest, EmbeddedWeightsAreUsedWhereTheyAre) {
    const std::string bytes = random_bytes(100);
    PackedData packed = packed_for(bytes);
    packed.weights = as_bytes(bytes).data();
    auto weights = Weights::load(packed, "model", "", Load::kMap);
    ASSERT_TRUE(weights);
    EXPECT_EQ(weights->data(), packed.weights);
    EXPECT_EQ(weights->how(), Load::kMap);
    EXPECT_FALSE(Weights::load(packed, "model", path("none"), Load::kMap)) << "a file that is named is taken";
}

TEST_F(FilesTest, WeightsAreReadWhereThereIsMemoryForThem) {
    PackedData packed{};
    packed.weights_size = 1;
    EXPECT_EQ(choose_load(packed, true, 0), Load::kRead);
    EXPECT_EQ(choose_load(packed, true, std::uint64_t{1} << 60), available_memory() > 0 ? Load::kMap : Load::kRead);
    EXPECT_EQ(choose_load(packed, false, 0), Load::kMap) << "small ones inside the executable stay there";
}

TEST_F(FilesTest, LargeWeightsOfTheExecutableAreCopiedIntoLargePages) {
    PackedData packed{};
    packed.weights_size = std::size_t{1} << 50;
    EXPECT_EQ(choose_load(packed, false, 0), Load::kMap) << "no memory has room for them twice";
    packed.weights_size = std::size_t{8} << 20;
    std::string modes;
    std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), modes);
    const bool large_pages = !modes.empty() && modes.find("[never]") == std::string::npos;
    EXPECT_EQ(choose_load(packed, false, 0), large_pages ? Load::kRead : Load::kMap) << modes;

    rlimit files{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
    const rlimit none{0, files.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const Load how = choose_load(packed, false, 0);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
    EXPECT_EQ(how, Load::kMap) << "a system that doesn't say has none";
}

TEST_F(FilesTest, WeightsOfTheExecutableStayThereWithoutMemoryForACopy) {
    const std::string bytes = random_bytes(100);
    PackedData packed = packed_for(bytes);
    packed.weights = as_bytes(bytes).data();
    packed.weights_size = std::size_t{1} << 60;
    auto weights = Weights::load(packed, "model", "", Load::kRead);
    ASSERT_TRUE(weights);
    EXPECT_EQ(weights->data(), packed.weights);
    EXPECT_EQ(weights->how(), Load::kMap);
}

TEST_F(FilesTest, LargeWeightsOfTheExecutableAreWholeInACopy) {
    const std::string bytes = random_bytes((std::size_t{7} << 20) + 300);
    const std::string name = write("executable", bytes);
    const int fd = ::open(name.c_str(), O_RDONLY);
    void* const mapped = ::mmap(nullptr, bytes.size(), PROT_READ, MAP_PRIVATE, fd, 0);  // as the executable is
    ::close(fd);
    ASSERT_NE(mapped, MAP_FAILED);
    PackedData packed = packed_for(bytes);
    packed.weights = static_cast<const std::byte*>(mapped) + 64;
    packed.weights_size = bytes.size() - 64;
    {
        auto weights = Weights::load(packed, "model", "", Load::kRead);
        ASSERT_TRUE(weights);
        EXPECT_EQ(weights->how(), Load::kRead);
        EXPECT_NE(weights->data(), packed.weights);
        EXPECT_EQ(text_of({weights->data(), packed.weights_size}), bytes.substr(64));
        EXPECT_EQ(text_of({packed.weights, packed.weights_size}), bytes.substr(64)) << "they are still there";
    }
    auto from_file = Weights::load(packed_for(bytes), "model", name, Load::kRead);
    ASSERT_TRUE(from_file) << from_file.failure().message;
    EXPECT_EQ(text_of({from_file->data(), bytes.size()}), bytes);
    ::munmap(mapped, bytes.size());
}

TEST_F(FilesTest, OfALinkItsTargetIsWritten) {
    fs::create_directory(path("a"));
    write("a/file", "old");
    fs::create_symlink("file", path("a/link"));
    fs::create_symlink("a/link", path("linked twice"));
    fs::create_symlink(path("a/new"), path("dangling"));
    fs::create_symlink("loop", path("loop"));
    const struct {
        const char* link;
        const char* target;
    } rows[] = {{"a/link", "a/file"}, {"linked twice", "a/file"}, {"dangling", "a/new"}};
    for (const auto& row : rows) {
        auto file = OutputFile::create(path(row.link));
        ASSERT_TRUE(file) << file.failure().message;
        EXPECT_FALSE(file->write(as_bytes(row.link)));
        EXPECT_FALSE(file->commit());
        EXPECT_TRUE(fs::is_symlink(path(row.link))) << row.link;
        EXPECT_FALSE(fs::is_symlink(path(row.target)));
        EXPECT_EQ(fs::file_size(path(row.target)), std::string(row.link).size()) << row.link;
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(path("a")), fs::directory_iterator()), 3) << "nothing else is left";
    auto loop = OutputFile::create(path("loop"));
    EXPECT_TRUE(!loop || loop->commit() || !fs::is_symlink(path("loop"))) << "an error, or the link's place";
}

TEST_F(FilesTest, WithoutEmbeddedWeightsTheFileBesideTheExecutableIsSought) {
    const auto weights = Weights::load(packed_for("x"), "no-such-model", "", Load::kMap);
    ASSERT_FALSE(weights);
    EXPECT_EQ(weights.failure().exit_code, kExitMissingFile);
    const std::string here = fs::read_symlink("/proc/self/exe").parent_path().string();
    EXPECT_NE(weights.failure().message.find(here + "/no-such-model.weights"), std::string::npos);
}

TEST_F(FilesTest, OtherFilesAreRefused) {
    const std::string bytes = random_bytes(200000);
    const PackedData packed = packed_for(bytes);
    std::string flipped = bytes;
    flipped[150000] = static_cast<char>(flipped[150000] ^ 1);
    const std::string wrong[] = {"", bytes.substr(0, 199999), bytes + "x", flipped};
    for (const std::string& other : wrong) {
        for (const Load how : {Load::kRead, Load::kMap}) {
            const auto weights = Weights::load(packed, "model", write("w", other), how);
            ASSERT_FALSE(weights) << other.size();
            EXPECT_EQ(weights.failure().exit_code, kExitBadData);
        }
        const auto checkpoint = check_checkpoint(path("w"), packed, "model");
        ASSERT_TRUE(checkpoint) << other.size();
        EXPECT_EQ(checkpoint->exit_code, kExitBadData);
    }
    EXPECT_FALSE(check_checkpoint(write("w", bytes), packed, "model"));
    EXPECT_EQ(check_checkpoint(path("none"), packed, "model")->exit_code, kExitMissingFile);
}

}  // namespace
}  // namespace storybake
