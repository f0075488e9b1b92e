// Defines failures as values: one line for the user and the exit code of its kind. Nothing is thrown.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace storybake {

/// Lists the exit codes, after sysexits.h where it has one.
enum ExitCode : int {
    kExitOk = 0,
    kExitUsage = 2,
    kExitBadData = 65,
    kExitMissingFile = 66,
    kExitUnavailable = 69,
    kExitSelfTest = 70,
    kExitNoMemory = 71,
    kExitIo = 74,
};

/// Says what happened, expected, actual and what to do, in one line without a newline, and the process's exit code.
struct Failure {
    int exit_code;
    std::string message;
};

/// Writes printf's arguments into a message. A long one is cut, never dropped.
[[gnu::format(printf, 1, 0)]] inline std::string message_of(const char* format, std::va_list arguments) {
    char text[1024];
    std::vsnprintf(text, sizeof text, format, arguments);
    return text;
}

/// Makes a message, for a warning say, from printf's arguments.
[[gnu::format(printf, 1, 2)]] inline std::string message(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::string text = message_of(format, arguments);
    va_end(arguments);
    return text;
}

/// Makes a failure from printf's arguments.
[[gnu::format(printf, 2, 3)]] inline Failure failure(int exit_code, const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::string text = message_of(format, arguments);
    va_end(arguments);
    return {exit_code, std::move(text)};
}

/// Holds a value, or why there is none. `Result<T> r = f(); if (!r) return r.failure(); use(*r);`
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Failure failure) : failure_(std::move(failure)) {}

    explicit operator bool() const { return value_.has_value(); }
    T& operator*() { return *value_; }
    const T& operator*() const { return *value_; }
    T* operator->() { return &*value_; }
    const T* operator->() const { return &*value_; }
    [[nodiscard]] const Failure& failure() const { return failure_; }

private:
    std::optional<T> value_;
    Failure failure_{};
};

}  // namespace storybake
