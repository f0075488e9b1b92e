// Runs commands that light a lamp or move a mouth when the robot begins to do something else.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "storyteller/process.hpp"

namespace storybake::speech {

enum class Event { kListen, kThink, kSpeak, kError };

/// Holds a command for each event; empty: none.
using HookCommands = std::array<Words, 4>;

/// Runs the commands in the order of the events, one at a time, so that the last event has the last word. The robot
/// waits for none. One that still runs a while after the next event is ended. A command that fails is said so once.
class Hooks {
public:
    /// Gives a running command this much time from the next event on, until it is ended.
    static constexpr std::chrono::milliseconds kGrace{1000};

    explicit Hooks(const HookCommands& commands, std::chrono::milliseconds grace = kGrace);

    Hooks(const Hooks&) = delete;
    Hooks& operator=(const Hooks&) = delete;

    /// Runs the commands that wait and gives the last its time; after an interruption it ends them at once.
    ~Hooks();

    /// Has the event's command run, with STORYTELLER_EVENT (listen, think, speak, error) and STORYTELLER_TEXT in its
    /// environment.
    void run(Event event, const std::string& text = {});

private:
    using Clock = std::chrono::steady_clock;

    struct Call {
        Event event;
        std::string text;
        Clock::time_point since;
    };

    void work();
    void call(const Call& call);
    [[nodiscard]] bool over(Clock::time_point& deadline);

    const HookCommands& commands_;
    std::chrono::milliseconds grace_;
    std::array<bool, 4> told_{};  // says of each event whether its command's failure was told
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Call> calls_;
    bool leaving_ = false;
    std::thread working_;  // runs where there is a command
};

}  // namespace storybake::speech
