#include "storyteller/family.hpp"

#include <algorithm>
#include <ctime>
#include <iterator>

#include "notices.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/speaker.hpp"
#include "storyteller/spoken.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {
namespace {

constexpr std::string_view kMe = "me";

/// Splits "a dog and a boy named Tom" into its persons and things, without their names.
std::vector<std::string> parts_of(std::string_view topic) {
    constexpr std::string_view kAnd = " and ";
    const std::string small = lower(topic);
    std::vector<std::string> parts;
    for (std::size_t at = 0; at <= small.size();) {
        const std::size_t end = std::min(small.find(kAnd, at), small.size());
        std::string part = small.substr(at, end - at);
        for (const char* const named : kWishes.named) {
            part = part.substr(0, part.find(std::string(1, ' ').append(named).append(1, ' ')));
        }
        parts.push_back(part);
        at = end + kAnd.size();
    }
    return parts;
}

Guard guard_of(const SpeechOptions& options) {
    Guard guard;
    if (!options.guard) {
        return guard;
    }
    for (const char* const word : kWishes.forbidden) {
        guard.forbid(word);
    }
    for (const std::string& word : options.forbidden_words) {
        guard.forbid(word);
        if (!word.ends_with('*')) {
            guard.forbid(word + "s");
            guard.forbid(word + "es");
        }
    }
    guard.allow(options.child);
    for (const std::string& topic : options.topics) {
        guard.allow(topic);
    }
    return guard;
}

}  // namespace

Family::Family(const SpeechOptions& options) : options_(options), guard_(guard_of(options)) {
    if (!options.remember || options.memory.empty()) {
        return;
    }
    Result<std::optional<Remembered>> read = read_diary(options.memory);
    if (!read) {
        warn(say(Message::kMemoryUnread, {read.failure().message}));
        return;
    }
    remembered_ = std::move(*read);
    const Moment moment = now();
    if (remembered_ && moment.clock) {
        stories_.restore({true, remembered_->day, 0}, remembered_->stories);
    }
}

std::string Family::mistakes() const {
    for (const RuleMistake& mistake : options_.rule_mistakes) {
        const std::string line = mistake.line > 0 ? ", " + say(Message::kLine, {std::to_string(mistake.line)}) : "";
        show(options_.rules + line + ": " + mistake.what);
    }
    if (options_.quiet_hours && !now().clock) {
        show(say(Message::kNoClock));
    }
    return mistakes_words(options_.rule_mistakes);
}

Moment Family::now() const {
    const auto running = std::chrono::steady_clock::now() - started_;
    return moment_of(std::time(nullptr), std::chrono::duration_cast<std::chrono::seconds>(running),
                     options_.quiet_hours);
}

int Family::loudest() {
    const bool quiet = options_.quiet_hours && options_.quiet_hours->has(now().minute);
    return std::min(options_.volume_ceiling, quiet && options_.night_volume > 0 ? options_.night_volume : kMaxVolume);
}

std::string Family::refusal() {
    if (options_.quiet_hours && options_.night_volume == 0 && options_.quiet_hours->has(now().minute)) {
        show(say(Message::kQuietHours));
        return kSleepWords;
    }
    if (options_.stories_a_day > 0 && stories_.at(now()) >= options_.stories_a_day) {
        show(say(Message::kStoriesTold, {std::to_string(options_.stories_a_day)}));
        return kEnoughWords;
    }
    return "";
}

bool Family::allows(std::string_view topic) const {
    if (options_.topics.empty() || topic.empty()) {
        return true;
    }
    const auto allowed = [this](const std::string& part) {
        return part == kMe || std::any_of(options_.topics.begin(), options_.topics.end(),
                                          [&](const std::string& known) { return lower(known) == part; });
    };
    const std::vector<std::string> parts = parts_of(topic);
    return allowed(lower(topic)) || std::all_of(parts.begin(), parts.end(), allowed);
}

std::vector<std::string> Family::topics() const {
    std::vector<std::string> topics = options_.topics;
    if (topics.empty()) {
        std::copy_if(kWishes.topics.begin(), kWishes.topics.end(), std::back_inserter(topics),
                     [this](const char* topic) { return !guard_.find(topic); });
    }
    return topics;
}

std::string Family::with_child(const std::string& topic) const {
    if (options_.child.empty()) {
        return topic;
    }
    std::string text = topic;
    const std::string spaced = std::string(1, ' ').append(lower(topic)).append(1, ' ');
    const std::size_t at = spaced.find(" me ");
    return at == std::string::npos ? topic : text.replace(at, kMe.size(), options_.child);
}

void Family::remember(const std::string& topic, std::uint64_t seed, int length) {
    const Moment moment = now();
    stories_.add(moment);
    if (!options_.remember || options_.memory.empty()) {
        return;
    }
    const Remembered remembered{topic, seed, length, moment.clock ? moment.day : 0, stories_.at(moment)};
    const std::optional<Failure> failed = write_diary(options_.memory, remembered);
    if (failed && !told_memory_) {
        told_memory_ = true;
        warn(say(Message::kMemoryUnwritten, {failed->message}));
    }
}

}  // namespace storybake::speech
