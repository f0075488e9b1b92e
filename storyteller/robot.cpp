#include "storyteller/robot.hpp"

#include <algorithm>
#include <iterator>
#include <random>
#include <utility>

#include "notices.hpp"
#include "opened_model.hpp"
#include "program.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/spoken.hpp"

namespace storybake::speech {
namespace {

constexpr int kUnasked = 2;              // counts the stories in a row to nobody until it sleeps
constexpr double kLouder = 1.4;          // 3 dB
constexpr std::size_t kMaxTopic = 200;   // bytes
constexpr std::size_t kNamedTopics = 5;  // are named of those it can tell about
constexpr double kStoryLike = 5e-4;  // a token: so likely are words that stories say, mostly more; others are a third

}  // namespace

Result<std::unique_ptr<Robot>> Robot::open(const SpeechOptions& options) {
    std::unique_ptr<Robot> robot(new Robot(options));
    Result<std::unique_ptr<Watchdog>> watchdog = Watchdog::open(options.watchdog);
    if (!watchdog) {
        return watchdog.failure();
    }
    robot->watchdog_ = std::move(*watchdog);
    if (options.listens()) {
        Result<std::unique_ptr<Ears>> ears = Ears::open(options);
        if (!ears) {
            return ears.failure();
        }
        robot->ears_ = std::move(*ears);
    }
    Result<std::unique_ptr<Teller>> teller =
        Teller::open(options, robot->family_.guard(), [self = robot.get()] { self->hooks_.run(Event::kSpeak); });
    if (!teller) {
        return teller.failure();
    }
    robot->teller_ = std::move(*teller);
    robot->teller_->controls().alive = [self = robot.get()] { self->show_life(); };
    if (robot->teller_->plays() || (robot->ears_ && robot->ears_->uses_microphone())) {
        Result<Fd> lock = lock_sound();
        if (!lock) {
            return lock.failure();
        }
        robot->lock_ = std::move(*lock);
    }
    if (options.waits_for_wake_word() && robot->teller_->expects(options.wake_word) > kStoryLike) {
        warn(say(Message::kToldWakeWord, {options.wake_word}));
    }
    robot->seed_ = choose_seed(options.seed);
    const std::optional<Remembered>& last = robot->family_.remembered();
    if (last && !robot->family_.guard().find(last->topic)) {
        const std::uint64_t seed = std::exchange(robot->seed_, last->seed);
        robot->topic_ = last->topic;
        robot->last_ = robot->story_about(last->topic, last->length);
        robot->seed_ = seed;
    }
    if (options.loop || options.after_press() || options.choices) {
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
    wished_ = Clock::now();
    const std::string wrong = family_.mistakes();
    std::optional<Failure> failed = options_.loop && !wrong.empty() ? say_aloud(wrong) : std::nullopt;
    if (!failed) {
        failed = options_.loop ? loop() : once();
    }
    const std::optional<Failure> unfinished = teller_->finish();
    failed = failed ? failed : unfinished;
    if (failed) {
        hooks_.run(Event::kError, failed->message);
    }
    return failed;
}

/// Tells one story, or gives one answer.
std::optional<Failure> Robot::once() {
    if (options_.prompt && family_.guard().find(*options_.prompt)) {
        return tell_another(options_.length);
    }
    if (options_.prompt) {
        last_ = Story{*options_.prompt, Echo::kYes, seed_};
        last_->wish = last_->prompt;
        return tell();
    }
    std::optional<Wish> wish = Wish{};
    if (options_.wish) {
        wish = understand(*options_.wish);
        if (!wish) {
            return failure(kExitUsage, "--wish \"%s\": expected a topic: a dragon", options_.wish->c_str());
        }
        if (too_long(wish->topic)) {
            return Failure{kExitUsage, "--wish: " + say(Message::kTooLong, {std::to_string(options_.wish->size())})};
        }
        return answer(*wish);
    }
    while (options_.listens()) {
        wish.reset();
        if (auto failed = ask(wish)) {
            return failed;
        }
        const bool asks = wish && (wish->command == Command::kTopics || wish->command == Command::kHelp);
        if (!wish && !bedtime() && !options_.waits_for_wake_word()) {
            wish = Wish{};  // nobody is left who could be asked again
        }
        if (!asks || stop_signal != 0) {
            break;
        }
        if (auto failed = answer(*wish)) {
            return failed;
        }
    }
    return wish && stop_signal == 0 ? answer(*wish) : std::nullopt;
}

std::optional<Failure> Robot::loop() {
    int unasked = 0;
    while (stop_signal == 0 && !bedtime() && unasked < kUnasked) {
        std::optional<Wish> wish;
        if (auto failed = ask(wish)) {
            return failed;
        }
        const bool good_night = wish && (wish->command == Command::kStop || wish->command == Command::kGoodNight);
        if (!wish || stop_signal != 0 || (good_night && !wakes_again())) {
            break;
        }
        unasked = wish->none() && !wakes_again() ? unasked + 1 : 0;
        if (auto failed = answer(*wish)) {
            return failed;
        }
    }
    if (stop_signal != 0) {
        return std::nullopt;
    }
    show(say(Message::kAsleep));
    return say_aloud(kGoodNightWords);
}

/// Does what somebody wishes.
std::optional<Failure> Robot::answer(const Wish& wish) {
    switch (wish.command.value_or(Command::kStory)) {
        case Command::kLouder:
        case Command::kSofter:
            change(*wish.command);
            return say_aloud(kVolumeWords);
        case Command::kLonger:
        case Command::kShorter:
            change(*wish.command);
            return say_aloud(length_ > 0 ? kLongWords : length_ < 0 ? kShortWords : kUsualWords);
        case Command::kTopics:
            show(say(Message::kTopics, {five_topics()}));
            return say_aloud(kTopicsWords + five_topics() + ".");
        case Command::kHelp:
            show(say(Message::kHelp));
            return say_aloud(kHelpWords);
        case Command::kStop:
        case Command::kGoodNight:
            show(say(Message::kAsleep));
            return say_aloud(kGoodNightWords);
        case Command::kAgain:
        case Command::kContinue:
        case Command::kNext:
        case Command::kStory:
        case Command::kFirst:
        case Command::kSecond:
            break;
    }
    if (const std::string no = family_.refusal(); !no.empty()) {
        return say_aloud(no);
    }
    if (wish.command == Command::kAgain && last_) {
        return tell();
    }
    if (wish.command == Command::kContinue && last_) {
        if (auto failed = teller_->told().empty() ? teller_->recall(*last_) : std::nullopt) {
            return failed;
        }
        if (std::optional<Story> part = teller_->next_part(seed_)) {
            ++seed_;
            last_ = std::move(part);
            return tell();
        }
    }
    const int length = wish.length != 0 ? wish.length : length_.load();
    return tell_about(wish.command.value_or(Command::kStory) == Command::kStory ? wish.topic : topic_, length);
}

/// Tells a new story about something that the rules and the model's context allow.
std::optional<Failure> Robot::tell_about(const std::string& topic, int length) {
    const bool nobody = lower(topic) == "me" && options_.child.empty();
    const std::string wanted = nobody ? "" : family_.with_child(topic);
    if (too_long(wanted)) {
        show(say(Message::kTooLong, {std::to_string(wanted.size())}));
        return say_aloud(kTooLongWords);
    }
    if (family_.guard().find(wanted)) {
        return tell_another(length);
    }
    if (!family_.allows(topic)) {
        show(say(Message::kNotAllowed, {wanted}));
        return say_aloud(kNotAllowedWords + five_topics() + ".");
    }
    topic_ = wanted;
    last_ = story_about(topic_, length);
    return tell_new();
}

/// Tells a story of its own choice in place of one that must not be told.
std::optional<Failure> Robot::tell_another(int length) {
    show(say(Message::kForbidden));
    if (auto failed = say_aloud(kForbiddenWords)) {
        return failed;
    }
    topic_.clear();  // is remembered, and told to hooks
    last_ = story_about("", length);
    return tell_new();
}

/// Tells last_, for which its seed may not do.
std::optional<Failure> Robot::tell_new() {
    if (!topic_.empty() || options_.topics.empty()) {  // else the seed says which topic it is
        last_->wish = topic_;
    }
    std::optional<Failure> failed = tell();
    seed_ = last_->seed + 1;
    return failed;
}

std::optional<Failure> Robot::say_aloud(const std::string& words) {
    teller_->controls().ceiling = family_.loudest();
    return teller_->say(words);
}

/// Tells last_.
std::optional<Failure> Robot::tell() {
    hooks_.run(Event::kThink, topic_);
    std::vector<std::string> announcements;
    if (options_.say_wish && !topic_.empty()) {
        announcements.push_back("A story about " + topic_ + ".");
    } else if (options_.loop) {
        announcements.emplace_back(kThinkingWords);
    }
    teller_->controls().cut = false;
    teller_->controls().ceiling = family_.loudest();
    telling_ = true;  // whoever reads the next line may answer it at once
    if (!topic_.empty()) {
        show(say(Message::kStoryAbout, {topic_}));
    }
    const Choose choose = [this](const Ways& ways) { return choose_way(ways); };
    std::optional<Failure> failed = teller_->tell(*last_, announcements, wished_, options_.choices ? choose : Choose());
    telling_ = false;
    if (!failed && !options_.prompt) {
        family_.remember(topic_, last_->seed, last_->length);
    }
    return failed;
}

/// Makes a new story; without a topic one of the model's choice.
Story Robot::story_about(const std::string& topic, int length) {
    const std::uint64_t seed = seed_++;
    Story story =
        ask_for(topic.empty() && !options_.topics.empty() ? options_.topics[seed % options_.topics.size()] : topic);
    story.seed = seed;
    story.length = length;
    return story;
}

/// Makes what the model is asked for: without a topic one of its choice.
Story Robot::ask_for(const std::string& topic) {
    Story story{kWishes.prompt_for_any, Echo::kYes, 0};
    if (!topic.empty()) {
        story.prompt = kWishes.prompt_before + topic + kWishes.prompt_after;
        story.echo = kWishes.prompt_is_told ? Echo::kYes : Echo::kNo;
    }
    story.by_chat = kWishes.asks_by_chat;
    return story;
}

bool Robot::too_long(const std::string& topic) const {
    return topic.size() > kMaxTopic || !teller_->fits(ask_for(topic));
}

/// Names five topics: "a dragon, the sea, sharing, a cat or the moon"; others each time.
std::string Robot::five_topics() const {
    std::minstd_rand random(static_cast<std::uint32_t>(seed_ % std::minstd_rand::max()));
    const std::vector<std::string> known = family_.topics();
    std::vector<std::string> topics;
    std::sample(known.begin(), known.end(), std::back_inserter(topics), kNamedTopics, random);
    std::string text;
    for (std::size_t i = 0; i < topics.size(); ++i) {
        text.append(i == 0 ? "" : i + 1 < topics.size() ? ", " : " or ").append(topics[i]);
    }
    return text;
}

/// Obeys commands that can't wait while a story is told; called from the console's thread.
bool Robot::take_at_once(const std::string& line) {
    if (!telling_) {
        return false;
    }
    const std::optional<Wish> wish = understand(line);
    if (wish && wish->command && change(*wish->command)) {
        return true;
    }
    teller_->controls().cut = true;
    return !wish || wish->command == Command::kStop;  // next, again and another wish follow
}

/// Changes the volume, or the length of the stories to come; returns whether that is what the command is for.
bool Robot::change(Command command) {
    if (command == Command::kLonger || command == Command::kShorter) {
        length_ = std::clamp(length_ + (command == Command::kLonger ? 1 : -1), -1, 1);
        show(say(length_ > 0 ? Message::kLongStories : length_ < 0 ? Message::kShortStories : Message::kUsualStories));
        return true;
    }
    if (command != Command::kLouder && command != Command::kSofter) {
        return false;
    }
    std::atomic<int>& volume = teller_->controls().volume;
    const double wanted = command == Command::kLouder ? volume * kLouder : volume / kLouder;
    volume = std::max(kMinVolume, std::min(static_cast<int>(wanted), teller_->controls().ceiling.load()));
    show(say(Message::kVolume, {std::to_string(volume)}));
    return true;
}

void Robot::show_life() {
    watchdog_->feed();
}

bool Robot::bedtime() const {
    return options_.sleep.count() > 0 && Clock::now() - started_ >= options_.sleep;
}

}  // namespace storybake::speech
