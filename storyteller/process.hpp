// Runs commands that play, record, speak or light a lamp: started from words, never by a shell, and never left behind.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fail.hpp"

namespace storybake::speech {

using Words = std::vector<std::string>;

/// Splits a command line into the words that a shell would make of it: white space separates, '...' and "..." hold
/// together, a backslash takes the next character as it is (within "..." only before " and \). Nothing is expanded.
/// Fails with 2 when there is no word, or a quote is not closed; `what` names the command for the message.
Result<Words> split_words(const char* what, std::string_view text);

/// Tells whether a program of this name is in PATH.
bool in_path(const char* program);

/// Owns an open file, closed at the end.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept;
    ~Fd() { close(); }

    [[nodiscard]] int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release();
    void close();

private:
    int fd_ = -1;
};

/// Says what of a process is connected to a pipe; the rest is /dev/null, and its output standard error.
enum class Pipes { kNone, kInput, kOutput, kBoth };

/// Owns a running command. Its destructor ends it, with force if need be, and waits for it.
class Process {
public:
    /// Starts the command. `more` are variables of its environment beside this process's, as NAME=value. Fails with 69
    /// when it can't be started; `what` names it in messages.
    static Result<Process> start(const char* what, const Words& words, Pipes pipes, const Words& more = {});

    Process(Process&& other) noexcept;
    Process& operator=(Process&&) = delete;
    ~Process() { end(); }

    /// Returns the pipes to its standard input and from its standard output; they do not block.
    Fd& input() { return input_; }
    Fd& output() { return output_; }

    /// Waits until it has ended; returns its exit code, or 128 and the signal's number. Returns nothing when it still
    /// runs.
    std::optional<int> wait(std::chrono::milliseconds most);

    /// Ends it: SIGTERM, and SIGKILL when that does not do.
    void end();

private:
    Process(pid_t pid, Fd input, Fd output) : pid_(pid), input_(std::move(input)), output_(std::move(output)) {}

    pid_t pid_ = -1;
    int status_ = -1;  // holds what wait() returns, after the end
    Fd input_;
    Fd output_;
};

/// Says what came of moving bytes through a pipe that does not block.
enum class Moved { kSome, kEnd, kTimeout };

/// Writes what the pipe takes now of `bytes`, waiting `most` for it to take any; `bytes` becomes the rest. kEnd: nobody
/// reads it any more.
Moved write_some(int fd, std::span<const std::byte>& bytes, std::chrono::milliseconds most);

/// Appends what the pipe has now to `into`, waiting `most` for any.
Moved read_some(int fd, std::vector<std::byte>& into, std::chrono::milliseconds most);

}  // namespace storybake::speech
