// Shows whoever starts the robot that it has not hung: systemd by its socket, another init by a file, or the kernel by
// /dev/watchdog.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "fail.hpp"
#include "storyteller/process.hpp"

namespace storybake::speech {

class Watchdog {
public:
    /// Opens the file, which is made if need be, unless `path` is empty, and a socket for a systemd that waits for
    /// signs of life (WatchdogSec= of its service), and feeds both once. Fails with 74.
    static Result<std::unique_ptr<Watchdog>> open(const std::string& path);

    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    /// Writes "V", which says that the program ended by itself; the kernel's watchdog is stopped by it.
    ~Watchdog();

    /// Writes a number that is another one each time, and tells systemd WATCHDOG=1, at most once a second. Any thread
    /// may, when something has come of its work: none that would do so without. A failure is told once.
    void feed();

private:
    using Clock = std::chrono::steady_clock;

    Watchdog(std::string path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}
    void write(const std::string& text);
    void notify();
    void tell_failure(const std::string& what);

    std::string path_;
    Fd file_;               // is none without a path
    std::string notified_;  // is where systemd's datagrams go: a path, or @ and a name; empty: none
    Fd socket_;
    std::atomic<Clock::rep> fed_ = 0;
    std::atomic<std::uint64_t> count_ = 0;
    std::atomic<bool> told_ = false;
};

}  // namespace storybake::speech
