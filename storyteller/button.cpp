#include "storyteller/button.hpp"

#include <fcntl.h>
#include <linux/gpio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "notices.hpp"
#include "options.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {
namespace {

constexpr int kMostLines = 65536;
constexpr unsigned kDebounce = 20'000;  // microseconds
constexpr const char* kChips = "/dev/gpiochip";

Failure refused(const std::string& name, Message why, const std::string& detail) {
    return {kExitUnavailable, say(why, {name, detail})};
}

/// Asks the kernel for the presses of a line; returns the descriptor that its events are read from.
Result<Fd> request_line(const std::string& name, const std::string& path, unsigned line) {
    const Fd chip(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!chip) {
        return Failure{kExitMissingFile, say(Message::kNoButton, {name, std::strerror(errno)})};
    }
    gpiochip_info info{};
    if (::ioctl(chip.get(), GPIO_GET_CHIPINFO_IOCTL, &info) != 0) {
        return refused(name, Message::kNoGpioChip, std::strerror(errno));
    }
    if (line >= info.lines) {
        return refused(name, Message::kNoGpioLine, std::to_string(info.lines));
    }
    gpio_v2_line_request request{};
    request.offsets[0] = line;
    request.num_lines = 1;
    std::strncpy(request.consumer, "storyteller", sizeof request.consumer - 1);
    // The button connects to ground, so low is active, and a press is the edge where the line becomes active.
    request.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_ACTIVE_LOW | GPIO_V2_LINE_FLAG_BIAS_PULL_UP |
                           GPIO_V2_LINE_FLAG_EDGE_RISING;
    request.config.num_attrs = 1;
    request.config.attrs[0].mask = 1;
    request.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_DEBOUNCE;
    request.config.attrs[0].attr.debounce_period_us = kDebounce;
    if (::ioctl(chip.get(), GPIO_V2_GET_LINE_IOCTL, &request) != 0) {
        return refused(name, Message::kGpioLineRefused, std::strerror(errno));
    }
    return Fd(request.fd);
}

}  // namespace

Result<Button> Button::open(const std::string& name) {
    const std::size_t colon = name.rfind(':');
    const bool has_line =
        colon != std::string::npos && name.find_first_not_of("0123456789", colon + 1) == std::string::npos;
    if (has_line || name.starts_with(kChips)) {
        if (colon == std::string::npos) {
            return failure(kExitUsage, "--button %s: expected a line behind it: %s0:28", name.c_str(), kChips);
        }
        const Result<int> line = parse_number_in("--button CHIP:LINE", name.c_str() + colon + 1, 0, kMostLines);
        if (!line) {
            return line.failure();
        }
        Result<Fd> events = request_line(name, name.substr(0, colon), static_cast<unsigned>(*line));
        if (!events) {
            return events.failure();
        }
        return of_events(std::move(*events));
    }
    Button button(name, {});
    button.down_ = button.look();
    if (button.lost_) {
        return Failure{kExitMissingFile, say(Message::kNoButton, {name, std::strerror(errno)})};
    }
    return button;
}

/// Tells whether the file says that the button is down.
bool Button::look() {
    const Fd file(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
    char value = '0';
    lost_ = !file || ::read(file.get(), &value, 1) < 0;
    return value == '1';
}

bool Button::pressed() {
    if (events_) {
        std::vector<std::byte> news;
        const Moved moved = read_some(events_.get(), news, std::chrono::milliseconds(0));
        if (moved == Moved::kEnd) {  // the chip was unplugged
            events_.close();
            warn(say(Message::kButtonLost));
        }
        return news.size() >= sizeof(gpio_v2_line_event);
    }
    if (file_.empty()) {
        return false;
    }
    const bool was_down = down_;
    const bool was_lost = lost_;
    down_ = look();
    if (lost_ && !was_lost) {
        warn(say(Message::kButtonLost));
    }
    return down_ && !was_down;
}

}  // namespace storybake::speech
