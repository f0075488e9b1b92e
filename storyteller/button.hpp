// Reads a button on a GPIO line: a file of the kernel's, or a line of a GPIO chip.
#pragma once

#include <string>

#include "fail.hpp"
#include "storyteller/process.hpp"

namespace storybake::speech {

class Button {
public:
    /// Opens `name`, a file that begins with 1 while the button is pressed (/sys/class/gpio/gpioN/value), or a chip and
    /// its line (/dev/gpiochip0:28), for a button that connects it to ground. Fails with 2, 66 and 69.
    static Result<Button> open(const std::string& name);

    /// Makes a button of a line whose events (struct gpio_v2_line_event) come from a descriptor.
    static Button of_events(Fd events) { return {{}, std::move(events)}; }

    /// Returns the descriptor that becomes readable with a press; below 0 for a file, which has to be looked at.
    [[nodiscard]] int events() const { return events_.get(); }

    /// Tells whether it was pressed since the last call. One that is held down is pressed once.
    bool pressed();

private:
    Button(std::string file, Fd events) : file_(std::move(file)), events_(std::move(events)) {}

    bool look();

    std::string file_;  // empty for a line
    Fd events_;
    bool down_ = false;
    bool lost_ = false;
};

}  // namespace storybake::speech
