// Asks a listener, and takes the answer: said, typed, or pressed.

#include <algorithm>
#include <string>
#include <utility>

#include "program.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/robot.hpp"
#include "storyteller/spoken.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr int kAsk = 3;          // counts the times until it tells a story of its own choice
constexpr int kAskWhichWay = 2;  // counts the times until it chooses the first
constexpr auto kStep = 100ms;
constexpr auto kSecondPress = 1200ms;  // is the time for it after the first
constexpr auto kDecide = 30s;          // is the time to type or press which way

/// Returns which of two ways somebody says, 0 or 1; nothing for another wish.
std::optional<std::size_t> way_of(const Wish& wish) {
    if (wish.command == Command::kFirst) {
        return 0;
    }
    return wish.command == Command::kSecond ? std::optional<std::size_t>(1) : std::nullopt;
}

}  // namespace

/// Collects what is typed and pressed in answer to two ways.
class Robot::Decision {
public:
    void take(const std::string& line) {
        const std::optional<Wish> wish = understand(line);
        const bool empty = line.find_first_not_of(" \t\r") == std::string::npos;
        presses_ += empty ? 1 : 0;
        pressed_ = empty ? Clock::now() : pressed_;
        if (wish && (wish->command == Command::kStop || wish->command == Command::kGoodNight)) {
            ended_ = true;
        } else if (line == "1" || line == "2") {
            way_ = line == "1" ? 0 : 1;
        } else if (wish && way_of(*wish)) {
            way_ = way_of(*wish);
        } else if (!empty) {
            show(say(Message::kNotUnderstood));
        }
    }

    /// Tells whether it is made; a press is the only one when none follows in time, or can.
    bool made(bool last) {
        if (!way_ && presses_ > 0 && (presses_ > 1 || last || Clock::now() - pressed_ > kSecondPress)) {
            way_ = presses_ > 1 ? 1 : 0;
        }
        return way_ || ended_;
    }

    /// Returns the way, the first when none was chosen; nothing when the story shall end.
    [[nodiscard]] std::optional<std::size_t> way() const {
        return ended_ ? std::nullopt : std::optional(way_.value_or(0));
    }

private:
    std::optional<std::size_t> way_;
    int presses_ = 0;
    Clock::time_point pressed_;
    bool ended_ = false;
};

/// Asks in which way the story goes on: said, typed, or by one press or two; the first when nobody says.
Result<std::optional<std::size_t>> Robot::choose_way(const Ways& ways) {
    telling_ = false;
    show(say(Message::kChoice, {ways[0], ways[1]}));
    const bool says = options_.listens() && !ears_->exhausted();
    const std::string how = says && !options_.after_press() ? kSayWhichWords : kPressWhichWords;
    if (auto failed = say_aloud("What happens next? One: " + ways[0] + " Two: " + ways[1] + how)) {
        return *failed;
    }
    hooks_.run(Event::kListen);
    Decision decision;
    const Clock::time_point deadline = Clock::now() + kDecide;
    bool nobody_types = false;
    const auto made = [&](std::chrono::milliseconds most) {
        const bool ended = console_->ended();  // Asks before the last lines are looked for.
        const std::optional<std::string> line = console_->next(most);
        if (line) {
            decision.take(*line);
        }
        nobody_types = ended && !line;
        return decision.made(nobody_types) || over();
    };
    for (int i = 0; says && i < kAskWhichWay && !decision.made(false) && !ears_->exhausted() && !over(); ++i) {
        const Result<Heard> heard = ears_->hear([&] { return made(0ms); });
        if (!heard) {
            return heard.failure();
        }
        if (heard->kind == Heard::Kind::kWords) {
            show(say(Message::kHeard, {heard->words}));
            decision.take(heard->words);
        }
    }
    while (!says && !made(kStep) && !nobody_types && Clock::now() < deadline) {
    }
    static_cast<void>(decision.made(true));
    if (const std::optional<std::size_t> way = decision.way(); way && stop_signal == 0) {
        show(say(Message::kChosen, {std::to_string(*way + 1)}));
    }
    telling_ = true;
    return stop_signal == 0 ? decision.way() : std::nullopt;
}

/// Asks for a wish until there is one. Afterwards `wish` is that, a wish for nothing in particular when none was
/// understood, or nothing when there is nobody to ask any more.
std::optional<Failure> Robot::ask(std::optional<Wish>& wish) {
    if (options_.waits_for_wake_word()) {
        show(say(Message::kWaiting, {options_.wake_word}));
        const Result<bool> woken = ears_->wait_for_wake_word([this] { return over(); });
        if (!woken || !*woken) {
            return woken ? std::nullopt : std::optional(woken.failure());
        }
    }
    for (int i = 0; i < kAsk && !over(); ++i) {
        Result<Answer> answer = listen(wish);
        if (!answer) {
            return answer.failure();
        }
        if (wish && way_of(*wish)) {  // Nothing was offered.
            wish.reset();
            *answer = Answer::kNotUnderstood;
        }
        if (*answer == Answer::kWish || *answer == Answer::kEnded || over()) {
            return std::nullopt;
        }
        const bool nothing = *answer == Answer::kNothing;
        const std::string why = nothing
                                    ? say(Message::kNothingHeard, {std::to_string(static_cast<int>(Ears::kSilence))})
                                    : say(Message::kNotUnderstood);
        hooks_.run(Event::kError, why);
        show(why);
        if (i + 1 < kAsk) {
            if (auto failed = say_aloud(nothing ? kNothingHeardWords : kAskAgainWords)) {
                return failed;
            }
        }
    }
    if (!over()) {
        show(say(Message::kStoryOfOwnChoice));
        wish = Wish{};
        return say_aloud(kOwnChoiceWords);
    }
    return std::nullopt;
}

/// Takes one wish, said or typed.
Result<Robot::Answer> Robot::listen(std::optional<Wish>& wish) {
    if (!options_.after_press() || !options_.listens()) {
        hooks_.run(Event::kListen);
    }
    if (!options_.listens()) {
        show(say(Message::kTypeWish));
        return read_line(wish, false);
    }
    if (options_.after_press()) {
        show(say(Message::kPushToTalk));
        Result<Answer> pressed = read_line(wish, true);
        if (!pressed || *pressed == Answer::kEnded || wish) {
            return pressed;
        }
        hooks_.run(Event::kListen);
    }
    if (ears_->exhausted()) {
        return Answer::kEnded;
    }
    show(say(Message::kListening, {"tell me a story about "}));
    return hear_speech(wish);
}

/// Reads what is typed: a wish, or with `press_is_enough` an empty line, which is no wish.
Result<Robot::Answer> Robot::read_line(std::optional<Wish>& wish, bool press_is_enough) {
    while (!over()) {
        const std::optional<std::string> line = console_->next(kStep);
        if (!line) {
            if (console_->ended()) {
                return Answer::kEnded;
            }
            continue;
        }
        wished_ = Clock::now();
        wish = understand(*line);
        if (wish || press_is_enough) {
            return Answer::kWish;
        }
        return Answer::kNotUnderstood;
    }
    return Answer::kEnded;
}

Result<Robot::Answer> Robot::hear_speech(std::optional<Wish>& wish) {
    std::optional<Wish> typed;  // was typed in the meantime
    const Result<Heard> heard = ears_->hear([this, &typed] {
        const std::optional<std::string> line = console_ ? console_->next(0ms) : std::nullopt;
        typed = line ? understand(*line) : std::nullopt;
        return typed || over();
    });
    if (!heard) {
        return heard.failure();
    }
    switch (heard->kind) {
        case Heard::Kind::kInterrupted:
            wished_ = Clock::now();
            wish = typed ? typed : wish;
            return typed ? Answer::kWish : Answer::kEnded;
        case Heard::Kind::kNothing:
            return Answer::kNothing;
        case Heard::Kind::kNotUnderstood:
            return Answer::kNotUnderstood;
        case Heard::Kind::kWords:
            break;
    }
    wished_ = heard->ended;
    show(say(Message::kHeard, {heard->words}));
    wish = understand(heard->words);
    return wish ? Answer::kWish : Answer::kNotUnderstood;
}

/// Tells whether nobody is to be asked any more; whoever waits asks this again and again.
bool Robot::over() {
    show_life();
    return stop_signal != 0 || bedtime();
}

}  // namespace storybake::speech
