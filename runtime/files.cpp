#include "files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string_view>

#if __has_include(<mach-o/dyld.h>)
#include <mach-o/dyld.h>
#endif

namespace storybake {
namespace {

/// Calls read(2) until `into` is full or the input ends. Returns the bytes read, or -1 with errno.
ssize_t read_some(int fd, std::span<std::byte> into) {
    std::size_t have = 0;
    while (have < into.size()) {
        // Linux moves at most 2 GiB at once anyway; a round number well below keeps reads aligned.
        const std::size_t want = std::min(into.size() - have, std::size_t{1} << 30);
        const ssize_t size = ::read(fd, into.data() + have, want);
        if (size < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        if (size == 0) {
            break;
        }
        have += static_cast<std::size_t>(size);
    }
    return static_cast<ssize_t>(have);
}

/// Holds the temporary names of files that are being written; null for a free place. There are more places than files
/// ever open at once.
std::atomic<const char*> unfinished[8];

/// Puts a name in the first place that holds another, which may be null.
void replace_unfinished(const char* from, const char* to) {
    for (auto& name : unfinished) {
        const char* expected = from;
        if (name.compare_exchange_strong(expected, to)) {
            return;
        }
    }
}

}  // namespace

std::string executable_folder() {
    char path[4096];
#if __has_include(<mach-o/dyld.h>)
    std::uint32_t room = sizeof path;
    const ssize_t size = ::_NSGetExecutablePath(path, &room) == 0 ? static_cast<ssize_t>(std::strlen(path)) : -1;
#else
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
#endif
    if (size <= 0 || size == static_cast<ssize_t>(sizeof path)) {
        return {};
    }
    const std::string_view view(path, static_cast<std::size_t>(size));
    return std::string(view.substr(0, view.rfind('/') + 1));
}

std::string followed(std::string path) {
    constexpr int kMostLinks = 40;  // is Linux's own limit
    for (int i = 0; i < kMostLinks; ++i) {
        char link[4096];
        const ssize_t size = ::readlink(path.c_str(), link, sizeof link);
        if (size <= 0 || size == static_cast<ssize_t>(sizeof link)) {
            break;  // it is no symbolic link
        }
        const std::size_t folder = link[0] == '/' ? 0 : path.rfind('/') + 1;
        path.replace(folder, std::string::npos, link, static_cast<std::size_t>(size));
    }
    return path;
}

bool is_special(const std::string& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

int write_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return 0;
}

Result<InputFile> InputFile::open(const std::string& path, const char* what, bool waits) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | (waits ? 0 : O_NONBLOCK));
    struct stat status {};
    if (fd < 0 || ::fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) {
        const char* const reason = fd < 0 ? std::strerror(errno) : "not a file";
        if (fd >= 0) {
            ::close(fd);
        }
        return failure(kExitMissingFile, "%s %s: cannot be read: %s", what, path.c_str(), reason);
    }
    const auto size = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
    return InputFile(fd, size, std::string(what) + " " + path);
}

InputFile::InputFile(InputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), size_(other.size_), name_(std::move(other.name_)) {}

InputFile::~InputFile() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

Result<std::size_t> InputFile::read(std::span<std::byte> into) {
    const ssize_t size = read_some(fd_, into);
    if (size < 0) {
        return failure(kExitIo, "%s: reading failed: %s", name_.c_str(), std::strerror(errno));
    }
    return static_cast<std::size_t>(size);
}

Result<std::byte*> InputFile::map(std::size_t size) {
    void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (mapped == MAP_FAILED) {
        return failure(errno == ENOMEM ? kExitNoMemory : kExitIo, "%s: cannot be mapped: %s: use --load read",
                       name_.c_str(), std::strerror(errno));
    }
    return static_cast<std::byte*>(mapped);
}

Result<std::vector<std::byte>> read_file(const std::string& path, const char* what, std::size_t limit) {
    Result<InputFile> file = InputFile::open(path, what);
    if (!file) {
        return file.failure();
    }
    std::vector<std::byte> bytes;
    constexpr std::size_t kStep = 1 << 16;
    while (bytes.size() <= limit) {
        const std::size_t before = bytes.size();
        bytes.resize(before + std::max<std::size_t>(kStep, file->size() < limit ? file->size() + 1 : 0));
        Result<std::size_t> got = file->read(std::span(bytes).subspan(before));
        if (!got) {
            return got.failure();
        }
        const bool ended = before + *got < bytes.size();
        bytes.resize(before + *got);
        if (ended && bytes.size() <= limit) {
            return bytes;
        }
    }
    return failure(kExitBadData, "%s %s: longer than %zu bytes: is it the right file?", what, path.c_str(), limit);
}

Result<std::string> read_stream(int fd, std::size_t limit) {
    std::string text(limit + 1, '\0');
    const ssize_t size = read_some(fd, std::as_writable_bytes(std::span(text.data(), text.size())));
    if (size < 0) {
        return failure(kExitIo, "standard input: reading failed: %s", std::strerror(errno));
    }
    text.resize(static_cast<std::size_t>(size));
    text.shrink_to_fit();
    return text;
}

Result<std::string> read_text(const std::string& path, const char* what, std::size_t limit) {
    Result<InputFile> file = InputFile::open(path, what);
    if (!file) {
        return file.failure();
    }
    std::string text(limit + 1, '\0');
    const Result<std::size_t> size = file->read(std::as_writable_bytes(std::span(text.data(), text.size())));
    if (!size) {
        return size.failure();
    }
    text.resize(*size);
    text.shrink_to_fit();
    return text;
}

Result<OutputFile> OutputFile::create(const std::string& path) {
    const bool special = is_special(path);
    const std::string target = special ? path : followed(path);
    Name temporary;
    if (!special) {
        const std::string beside = target + "." + std::to_string(::getpid()) + ".tmp";
        temporary.assign(beside.c_str(), beside.c_str() + beside.size() + 1);
    }
    const char* const name = special ? path.c_str() : temporary.data();
    const int fd = ::open(name, O_WRONLY | O_CLOEXEC | (special ? 0 : O_CREAT | O_EXCL), 0666);
    if (fd < 0) {
        return failure(kExitIo, "%s: cannot be written: %s", path.c_str(), std::strerror(errno));
    }
    if (!special) {
        replace_unfinished(nullptr, temporary.data());
    }
    return OutputFile(fd, target, std::move(temporary));
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), temporary_(std::move(other.temporary_)) {}

OutputFile::~OutputFile() {
    if (fd_ >= 0) {
        ::close(fd_);
        discard();
    }
}

/// Leaves nothing of the file.
void OutputFile::discard() {
    if (!temporary_.empty()) {
        ::unlink(temporary_.data());
        replace_unfinished(temporary_.data(), nullptr);
    }
}

Failure OutputFile::io_failure(int error) const {
    return failure(kExitIo, "%s: writing failed: %s: nothing is left of it", path_.c_str(), std::strerror(error));
}

std::optional<Failure> OutputFile::write(std::span<const std::byte> bytes) {
    const int error = write_all(fd_, bytes);
    return error == 0 ? std::nullopt : std::optional(io_failure(error));
}

std::optional<Failure> OutputFile::rewrite_start(std::span<const std::byte> bytes) {
    if (temporary_.empty()) {
        return std::nullopt;
    }
    const int error = ::lseek(fd_, 0, SEEK_SET) == 0 ? write_all(fd_, bytes) : errno;
    if (error != 0) {
        return io_failure(error);
    }
    return std::nullopt;
}

std::optional<Failure> OutputFile::commit() {
    const int closed = ::close(std::exchange(fd_, -1));
    if (closed != 0 || (!temporary_.empty() && ::rename(temporary_.data(), path_.c_str()) != 0)) {
        const int error = errno;
        discard();
        return io_failure(error);
    }
    if (!temporary_.empty()) {
        replace_unfinished(temporary_.data(), nullptr);
    }
    return std::nullopt;
}

void discard_unfinished_files() {
    for (const auto& name : unfinished) {
        if (const char* const known = name) {
            ::unlink(known);
        }
    }
}

}  // namespace storybake
