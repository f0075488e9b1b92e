// Reads what the listener types, or presses: lines of standard input and a button, by a thread while a story is told.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "storyteller/button.hpp"

namespace storybake::speech {

class Console {
public:
    /// Calls `at_once` with each line, from its thread; lines for which that is false wait for next(). A press of the
    /// button, if there is one, is an empty line.
    Console(std::optional<Button> button, std::function<bool(const std::string&)> at_once);

    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;
    ~Console();

    /// Returns the next line, waiting `most` for it.
    std::optional<std::string> next(std::chrono::milliseconds most);

    /// Tells whether standard input is at its end, and there is no button.
    [[nodiscard]] bool ended() const { return ended_; }

private:
    void watch();
    void take(std::string line);

    std::optional<Button> button_;
    std::function<bool(const std::string&)> at_once_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::string> lines_;
    std::atomic<bool> ended_ = false;
    std::atomic<bool> leaving_ = false;
    std::thread watching_;
};

}  // namespace storybake::speech
