#include "storyteller/diary.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <span>
#include <string_view>

#include "files.hpp"
#include "storyteller/process.hpp"

namespace storybake::speech {
namespace {

constexpr std::size_t kMaxFile = 4096;
constexpr std::string_view kHeading = "storyteller 1\n";
constexpr std::string_view kEnd = "end\n";  // tells that nothing was cut off

/// Takes "name value\n" from the beginning of a text, which becomes the rest; nothing when it begins otherwise.
std::optional<std::string_view> take(std::string_view& text, std::string_view name) {
    const std::size_t end = text.find('\n');
    if (!text.starts_with(name) || end == std::string_view::npos || end <= name.size() || text[name.size()] != ' ') {
        return std::nullopt;
    }
    const std::string_view value = text.substr(name.size() + 1, end - name.size() - 1);
    text.remove_prefix(end + 1);
    return value;
}

template <class T>
bool take_number(std::string_view& text, std::string_view name, T& into) {
    const std::optional<std::string_view> value = take(text, name);
    if (!value) {
        return false;
    }
    const auto [at, error] = std::from_chars(value->data(), value->data() + value->size(), into);
    return error == std::errc() && at == value->data() + value->size();
}

Failure io_failure(const std::string& path, int error) {
    return failure(kExitIo, "%s: writing failed: %s", path.c_str(), std::strerror(error));
}

}  // namespace

Result<std::optional<Remembered>> read_diary(const std::string& path) {
    if (::access(path.c_str(), F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return std::optional<Remembered>();
    }
    if (is_special(path)) {  // of which a pipe would be waited for
        return failure(kExitMissingFile, "memory %s: cannot be read: not a file", path.c_str());
    }
    const Result<std::string> file = read_text(path, "memory", kMaxFile);
    if (!file) {
        return file.failure();
    }
    std::string_view text = *file;
    Remembered found;
    if (!text.starts_with(kHeading)) {
        return std::optional<Remembered>();
    }
    text.remove_prefix(kHeading.size());
    const std::optional<std::string_view> topic = take(text, "topic");
    const bool whole = topic && take_number(text, "seed", found.seed) && take_number(text, "length", found.length) &&
                       take_number(text, "day", found.day) && take_number(text, "stories", found.stories) &&
                       text == kEnd;
    if (!whole || found.length < -1 || found.length > 1 || found.stories < 0) {
        return std::optional<Remembered>();
    }
    found.topic = *topic;
    return std::optional(found);
}

std::optional<Failure> write_diary(const std::string& path, const Remembered& remembered) {
    std::string text(kHeading);
    text += "topic " + remembered.topic + "\nseed " + std::to_string(remembered.seed) + "\nlength " +
            std::to_string(remembered.length) + "\nday " + std::to_string(remembered.day) + "\nstories " +
            std::to_string(remembered.stories) + "\n";
    text += kEnd;
    if (is_special(path)) {
        return failure(kExitIo, "%s: cannot be written: not a file", path.c_str());
    }
    const std::string target = followed(path);
    const std::string beside = target + ".new";  // of a fixed name: what a power cut has left is written over
    Fd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) {
        return io_failure(path, errno);
    }
    int error = write_all(file.get(), std::as_bytes(std::span(text)));
    error = error == 0 && ::fsync(file.get()) != 0 ? errno : error;
    const int fd = file.release();
    error = ::close(fd) != 0 && error == 0 ? errno : error;
    error = error == 0 && ::rename(beside.c_str(), target.c_str()) != 0 ? errno : error;
    if (error != 0) {
        ::unlink(beside.c_str());
        return io_failure(path, error);
    }
    const std::size_t slash = target.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : target.substr(0, slash);
    if (const Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)); directory) {
        ::fsync(directory.get());  // has the new name reach the card too, where the file system needs it
    }
    return std::nullopt;
}

}  // namespace storybake::speech
