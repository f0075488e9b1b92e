#include "storyteller/robot.hpp"

#include <algorithm>
#include <cstdio>

#include "program.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr int kAsk = 3;          // times, until it tells a story of its own choice
constexpr int kUnasked = 2;      // stories in a row to nobody, until it sleeps
constexpr double kLouder = 1.4;  // 3 dB
constexpr auto kStep = 100ms;

// Say what the robot says, in the language of its voice.
constexpr const char* kThinkingWords = "Let me tell you a story.";
constexpr const char* kAskAgainWords = "Sorry, I did not understand. Please tell me again.";
constexpr const char* kNothingHeardWords = "I can not hear you. What shall the story be about?";
constexpr const char* kOwnChoiceWords = "I will choose a story.";
constexpr const char* kVolumeWords = "Like this.";
constexpr const char* kGoodNightWords = "Good night.";

void tell_user(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
}

}  // namespace

Result<std::unique_ptr<Robot>> Robot::open(const SpeechOptions& options) {
    std::unique_ptr<Robot> robot(new Robot(options));
    if (options.listens()) {
        Result<std::unique_ptr<Ears>> ears = Ears::open(options);
        if (!ears) {
            return ears.failure();
        }
        robot->ears_ = std::move(*ears);
    }
    Result<std::unique_ptr<Teller>> teller =
        Teller::open(options, [self = robot.get()] { self->hooks_.run(Event::kSpeak); });
    if (!teller) {
        return teller.failure();
    }
    robot->teller_ = std::move(*teller);
    if (robot->teller_->plays() || (robot->ears_ && robot->ears_->uses_microphone())) {
        Result<Fd> lock = lock_sound();
        if (!lock) {
            return lock.failure();
        }
        robot->lock_ = std::move(*lock);
    }
    robot->seed_ = choose_seed(options.seed);
    if (options.loop || options.push || !options.button.empty()) {
        std::optional<Button> button;
        if (!options.button.empty()) {
            Result<Button> opened = Button::open(options.button);
            if (!opened) {
                return opened.failure();
            }
            button.emplace(std::move(*opened));
        }
        robot->console_ = std::make_unique<Console>(
            std::move(button), [self = robot.get()](const std::string& line) { return self->take_at_once(line); });
    }
    return robot;
}

std::optional<Failure> Robot::run() {
    std::optional<Failure> failed;
    if (options_.loop) {
        failed = loop();
    } else {
        std::optional<Wish> wish = Wish{};
        wished_ = Clock::now();
        if (options_.listens()) {
            wish.reset();
            failed = ask(wish);
            if (!wish && !bedtime()) {
                wish = Wish{};  // nobody is left who could be asked again
            }
        } else if (options_.wish) {
            wish = understand(*options_.wish);
            if (!wish) {
                failed = failure(kExitUsage, "--wish \"%s\": expected a topic: a dragon", options_.wish->c_str());
            }
        }
        if (!failed && wish && stop_signal == 0) {
            const Story story = options_.prompt ? Story{*options_.prompt, Echo::kYes, seed_} : story_about(wish->topic);
            failed = tell(story, wish->topic);
        }
    }
    const std::optional<Failure> unfinished = teller_->finish();
    failed = failed ? failed : unfinished;
    if (failed) {
        hooks_.run(Event::kError, failed->message);
    }
    return failed;
}

std::optional<Failure> Robot::loop() {
    std::string topic;
    std::optional<Story> last;
    int unasked = 0;
    while (stop_signal == 0 && !bedtime() && unasked < kUnasked) {
        std::optional<Wish> wish;
        if (auto failed = ask(wish)) {
            return failed;
        }
        if (!wish || stop_signal != 0) {
            break;
        }
        unasked = wish->topic.empty() && !wish->command ? unasked + 1 : 0;
        if (wish->command == Command::kStop) {
            break;
        }
        if (wish->command == Command::kLouder || wish->command == Command::kSofter) {
            change_volume(*wish->command);
            if (auto failed = teller_->say(kVolumeWords)) {
                return failed;
            }
            continue;
        }
        if (!wish->command) {
            topic = wish->topic;
        }
        if (!last || wish->command != Command::kAgain) {
            last = story_about(topic);
        }
        if (auto failed = tell(*last, topic)) {
            return failed;
        }
    }
    if (stop_signal != 0) {
        return std::nullopt;
    }
    tell_user(say(Message::kAsleep));
    return teller_->say(kGoodNightWords);
}

/// Asks for a wish until there is one. Afterwards `wish` is that, a wish for nothing in particular when none was
/// understood, or nothing when there is nobody to ask any more.
std::optional<Failure> Robot::ask(std::optional<Wish>& wish) {
    for (int i = 0; i < kAsk && stop_signal == 0 && !bedtime(); ++i) {
        hooks_.run(Event::kListen);
        const Result<Answer> answer = listen(wish);
        if (!answer) {
            return answer.failure();
        }
        if (*answer == Answer::kWish || *answer == Answer::kEnded || stop_signal != 0 || bedtime()) {
            return std::nullopt;
        }
        const bool nothing = *answer == Answer::kNothing;
        const std::string why = nothing
                                    ? say(Message::kNothingHeard, {std::to_string(static_cast<int>(Ears::kSilence))})
                                    : say(Message::kNotUnderstood);
        hooks_.run(Event::kError, why);
        tell_user(why);
        if (i + 1 < kAsk) {
            if (auto failed = teller_->say(nothing ? kNothingHeardWords : kAskAgainWords)) {
                return failed;
            }
        }
    }
    if (stop_signal == 0 && !bedtime()) {
        tell_user(say(Message::kStoryOfOwnChoice));
        wish = Wish{};
        return teller_->say(kOwnChoiceWords);
    }
    return std::nullopt;
}

/// Takes one wish, said or typed.
Result<Robot::Answer> Robot::listen(std::optional<Wish>& wish) {
    if (!options_.listens()) {
        tell_user(say(Message::kTypeWish));
        return read_line(wish, false);
    }
    if (options_.push || !options_.button.empty()) {
        tell_user(say(Message::kPushToTalk));
        Result<Answer> pressed = read_line(wish, true);
        if (!pressed || *pressed == Answer::kEnded || wish) {
            return pressed;
        }
    }
    if (ears_->exhausted()) {
        return Answer::kEnded;
    }
    tell_user(say(Message::kListening, {std::string(kWishes.requests.back()) + " "}));
    return hear_speech(wish);
}

/// Reads what is typed: a wish, or with `press_is_enough` an empty line, which is no wish.
Result<Robot::Answer> Robot::read_line(std::optional<Wish>& wish, bool press_is_enough) {
    while (stop_signal == 0 && !bedtime()) {
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
        return typed || stop_signal != 0 || bedtime();
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
    tell_user(say(Message::kHeard, {heard->words}));
    wish = understand(heard->words);
    return wish ? Answer::kWish : Answer::kNotUnderstood;
}

std::optional<Failure> Robot::tell(const Story& story, const std::string& topic) {
    hooks_.run(Event::kThink, topic);
    std::vector<std::string> announcements;
    if (options_.say_wish && !topic.empty()) {
        announcements.push_back("A story about " + topic + ".");
    } else if (options_.loop) {
        announcements.emplace_back(kThinkingWords);
    }
    teller_->controls().cut = false;
    telling_ = true;  // whoever reads the next line may answer it at once
    if (!topic.empty()) {
        tell_user(say(Message::kStoryAbout, {topic}));
    }
    std::optional<Failure> failed = teller_->tell(story, announcements, wished_);
    telling_ = false;
    return failed;
}

/// Makes a new story; without a topic one of the model's choice.
Story Robot::story_about(const std::string& topic) {
    const std::uint64_t seed = seed_++;
    if (topic.empty()) {
        return {"", Echo::kYes, seed};
    }
    return {kWishes.prompt_before + topic + kWishes.prompt_after, kWishes.prompt_is_told ? Echo::kYes : Echo::kNo,
            seed};
}

/// Obeys commands that can't wait while a story is told; called from the console's thread.
bool Robot::take_at_once(const std::string& line) {
    if (!telling_) {
        return false;
    }
    const std::optional<Wish> wish = understand(line);
    if (wish && (wish->command == Command::kLouder || wish->command == Command::kSofter)) {
        change_volume(*wish->command);
        return true;
    }
    teller_->controls().cut = true;
    return !wish || wish->command == Command::kStop;  // next, again and another wish follow
}

void Robot::change_volume(Command command) {
    std::atomic<int>& volume = teller_->controls().volume;
    const double wanted = command == Command::kLouder ? volume * kLouder : volume / kLouder;
    volume = std::clamp(static_cast<int>(wanted), kMinVolume, kMaxVolume);
    tell_user(say(Message::kVolume, {std::to_string(volume)}));
}

bool Robot::bedtime() const {
    return options_.sleep.count() > 0 && Clock::now() - started_ >= options_.sleep;
}

}  // namespace storybake::speech
