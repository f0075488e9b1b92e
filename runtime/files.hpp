// Handles files: read whole or in parts, written whole or not at all. Every failure is one line with its exit code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fail.hpp"

namespace storybake {

/// Returns the folder of the running executable, with a slash; empty (the working folder) when the system does not
/// tell.
std::string executable_folder();

/// Writes all bytes to a file descriptor, through short writes and interruptions. Returns 0, or the errno of the
/// failure.
int write_all(int fd, std::span<const std::byte> bytes);

/// Finds the file that a path stands for: through symbolic links, also to one that is not there yet.
std::string followed(std::string path);

/// Tells whether there is something at a path that is no regular file, and may not be replaced by one: a device, a
/// pipe, a folder.
bool is_special(const std::string& path);

/// Reads a file that is open.
class InputFile {
public:
    /// Opens a file. `what` is its role, for messages: "tokenizer", "weights". A pipe is waited for until somebody
    /// writes into it, unless `waits` is false: what has to have a length never comes from one. Fails with 66 when it
    /// cannot be opened or is a folder.
    static Result<InputFile> open(const std::string& path, const char* what, bool waits = true);

    InputFile(InputFile&& other) noexcept;
    InputFile& operator=(InputFile&&) = delete;
    ~InputFile();

    /// Returns the length of a regular file in bytes; 0 for anything else.
    [[nodiscard]] std::uint64_t size() const { return size_; }

    /// Reads until `into` is full or the file ends; returns the number of bytes read. Fails with 74.
    Result<std::size_t> read(std::span<std::byte> into);

    /// Maps the first `size` bytes as memory that can't be written: the page cache's own pages. The caller unmaps them.
    /// Fails with 71 without room for them, and with 74 when this kind of file can't be mapped.
    Result<std::byte*> map(std::size_t size);

private:
    InputFile(int fd, std::uint64_t size, std::string name) : fd_(fd), size_(size), name_(std::move(name)) {}

    int fd_;
    std::uint64_t size_;
    std::string name_;  // names role and path, for messages
};

/// Reads the bytes of a file of at most `limit` bytes. Fails with 66, 74, or 65 when it is longer.
Result<std::vector<std::byte>> read_file(const std::string& path, const char* what, std::size_t limit);

/// Reads all of standard input, or of any descriptor; one byte more than `limit` at most, so that the caller can tell
/// that it is too long. Fails with 74.
Result<std::string> read_stream(int fd, std::size_t limit);

/// Reads a text file, likewise one byte more than `limit` at most. Fails with 66 and 74.
Result<std::string> read_text(const std::string& path, const char* what, std::size_t limit);

/// Writes a file that appears under its name only when it is complete: written beside it, renamed by commit(), removed
/// otherwise. A symbolic link is followed to the file that it points to. What is no regular file (a device, a pipe) is
/// written to directly.
class OutputFile {
public:
    /// Begins the file at `path`. Fails with 74 when it cannot be made.
    static Result<OutputFile> create(const std::string& path);

    OutputFile(OutputFile&& other) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    ~OutputFile();

    std::optional<Failure> write(std::span<const std::byte> bytes);

    /// Writes over the first bytes of what was written, last before commit(); does nothing to a device or a pipe.
    std::optional<Failure> rewrite_start(std::span<const std::byte> bytes);
    std::optional<Failure> commit();

private:
    // Ends with NUL; its memory stays where it is when the file is moved.
    using Name = std::vector<char>;

    OutputFile(int fd, std::string path, Name temporary)
        : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}
    [[nodiscard]] Failure io_failure(int error) const;
    void discard();

    int fd_;
    std::string path_;
    Name temporary_;  // empty when path_ is written directly
};

/// Removes what OutputFiles have written and not committed: for a process that ends on the spot.
void discard_unfinished_files();

}  // namespace storybake
