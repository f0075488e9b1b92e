#include "storyteller/hooks.hpp"

#include <algorithm>

#include "notices.hpp"
#include "program.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr std::array<const char*, 4> kNames = {"listen", "think", "speak", "error"};
constexpr auto kStep = 20ms;  // passes between looks at what comes next

}  // namespace

Hooks::Hooks(const HookCommands& commands, std::chrono::milliseconds grace) : commands_(commands), grace_(grace) {
    if (std::any_of(commands.begin(), commands.end(), [](const Words& words) { return !words.empty(); })) {
        working_ = std::thread([this] { work(); });
    }
}

Hooks::~Hooks() {
    if (working_.joinable()) {
        {
            const std::lock_guard lock(mutex_);
            leaving_ = true;
        }
        changed_.notify_all();
        working_.join();
    }
}

void Hooks::run(Event event, const std::string& text) {
    if (!commands_[static_cast<std::size_t>(event)].empty()) {
        const std::lock_guard lock(mutex_);
        calls_.push_back({event, text, Clock::now()});
        changed_.notify_all();
    }
}

/// Runs as a thread: starts the commands one after the other.
void Hooks::work() {
    while (true) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !calls_.empty() || leaving_; });
        if (calls_.empty() || (leaving_ && stop_signal != 0)) {
            return;
        }
        const Call next = std::move(calls_.front());
        calls_.pop_front();
        lock.unlock();
        call(next);
    }
}

void Hooks::call(const Call& call) {
    const auto event = static_cast<std::size_t>(call.event);
    const std::string option = std::string("--on-") + kNames[event];
    Result<Process> hook =
        Process::start(option.c_str(), commands_[event], Pipes::kNone,
                       {std::string("STORYTELLER_EVENT=") + kNames[event], "STORYTELLER_TEXT=" + call.text});
    std::string wrong;
    if (hook) {
        std::optional<int> code;
        Clock::time_point deadline = Clock::time_point::max();
        while (!code && !over(deadline)) {
            code = hook->wait(kStep);
        }
        if (code.value_or(0) != 0) {
            wrong = say(Message::kHookFailed, {option, commands_[event][0], std::to_string(*code)});
        }
    } else {
        wrong = hook.failure().message;
    }
    if (!wrong.empty() && !told_[event]) {
        told_[event] = true;
        warn(wrong);
    }
}

/// Tells whether the command that runs has had its time; `deadline` is set when something is to follow it.
bool Hooks::over(Clock::time_point& deadline) {
    const std::lock_guard lock(mutex_);
    if (leaving_ && stop_signal != 0) {
        return true;
    }
    if (deadline == Clock::time_point::max() && (leaving_ || !calls_.empty())) {
        deadline = (calls_.empty() ? Clock::now() : calls_.front().since) + grace_;
    }
    return Clock::now() >= deadline;
}

}  // namespace storybake::speech
