#include "speech/console.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "speech/process.hpp"

namespace storybake::speech {
namespace {

constexpr int kStep = 50;  // milliseconds between looks at the button
constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxLines = 16;

}  // namespace

Console::Console(std::string button, std::function<bool(const std::string&)> at_once)
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

void Console::clear() {
    const std::lock_guard lock(mutex_);
    lines_.clear();
}

bool Console::pressed() const {
    const Fd file(::open(button_.c_str(), O_RDONLY | O_CLOEXEC));
    char value = '0';
    return file && ::read(file.get(), &value, 1) == 1 && value == '1';
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

/// A thread.
void Console::watch() {
    std::string text;
    bool input_ended = false;
    bool was_pressed = false;
    while (!leaving_) {
        pollfd ready = {input_ended ? -1 : STDIN_FILENO, POLLIN, 0};
        if (::poll(&ready, 1, kStep) > 0) {
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
        if (!button_.empty()) {
            const bool is_pressed = pressed();
            if (is_pressed && !was_pressed) {
                take("");
            }
            was_pressed = is_pressed;
        }
        ended_ = input_ended && button_.empty();
    }
}

}  // namespace storybake::speech
