#include "storyteller/console.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

namespace storybake::speech {
namespace {

constexpr int kStep = 50;  // milliseconds between looks at the button
constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxLines = 16;

}  // namespace

Console::Console(std::optional<Button> button, std::function<bool(const std::string&)> at_once)
    : button_(std::move(button)), at_once_(std::move(at_once)), watching_([this] { watch(); }) {}

Console::~Console() {
    leaving_ = true;
    watching_.join();
}

std::optional<std::string> Console::next(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, most, [this] { return !lines_.empty(); })) {
        return std::nullopt;
    }
    std::string line = std::move(lines_.front());
    lines_.pop_front();
    return line;
}

void Console::take(std::string line) {
    if (!at_once_(line)) {
        const std::lock_guard lock(mutex_);
        if (lines_.size() < kMaxLines) {
            lines_.push_back(std::move(line));
        }
        changed_.notify_all();
    }
}

/// Runs as a thread: reads lines and watches the button.
void Console::watch() {
    std::string text;
    bool input_ended = false;
    while (!leaving_) {
        pollfd ready[] = {{input_ended ? -1 : STDIN_FILENO, POLLIN, 0}, {button_ ? button_->events() : -1, POLLIN, 0}};
        ::poll(ready, 2, kStep);
        if (ready[0].revents != 0) {
            char block[512];
            const ssize_t size = ::read(STDIN_FILENO, block, sizeof block);
            input_ended = size <= 0;
            text.append(block, size > 0 ? static_cast<std::size_t>(size) : 0);
            if (input_ended && !text.empty()) {
                text += '\n';
            }
            for (std::size_t end = 0; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
                take(text.substr(0, end));
            }
            text.resize(std::min(text.size(), kMaxLine));
        }
        if (button_ && button_->pressed()) {
            take("");
        }
        ended_ = input_ended && !button_;
    }
}

}  // namespace storybake::speech
