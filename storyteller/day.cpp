#include "storyteller/day.hpp"

#include <charconv>

namespace storybake::speech {
namespace {

constexpr std::time_t kClockIsSet = 1735689600;  // is 2025: an earlier date is none
constexpr int kSecondsOfDay = 86400;

/// Reads "20:00" or "6:30" from the beginning of a text, which becomes the rest.
std::optional<int> take_time(std::string_view& text) {
    while (text.starts_with(' ')) {
        text.remove_prefix(1);
    }
    int hour = -1;
    int minute = -1;
    const char* const end = text.data() + text.size();
    auto [at, error] = std::from_chars(text.data(), end, hour);
    if (error != std::errc() || at == end || *at != ':') {
        return std::nullopt;
    }
    const auto [after, wrong] = std::from_chars(at + 1, end, minute);
    if (wrong != std::errc() || after - at != 3 || hour < 0 || hour > 23 || minute < 0 || minute > 59) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(after - text.data()));
    while (text.starts_with(' ')) {
        text.remove_prefix(1);
    }
    return hour * 60 + minute;
}

}  // namespace

std::optional<QuietHours> parse_quiet_hours(std::string_view text) {
    const std::optional<int> begin = take_time(text);
    if (!begin || !text.starts_with('-')) {
        return std::nullopt;
    }
    text.remove_prefix(1);
    const std::optional<int> end = take_time(text);
    if (!end || !text.empty() || *begin == *end) {
        return std::nullopt;
    }
    return QuietHours{*begin, *end};
}

Moment moment_of(std::time_t now, std::chrono::seconds since_start, std::optional<QuietHours> quiet) {
    std::tm local{};
    if (now >= kClockIsSet && ::localtime_r(&now, &local) != nullptr) {
        return {true, static_cast<int>((now + local.tm_gmtoff) / kSecondsOfDay), local.tm_hour * 60 + local.tm_min};
    }
    const auto minutes = since_start.count() / 60 + (quiet ? quiet->end : 0);
    return {false, static_cast<int>(since_start.count() / kSecondsOfDay), static_cast<int>(minutes % kMinutesOfDay)};
}

void StoryCount::restore(Moment moment, int stories) {
    last_ = moment;
    count_ = stories;
}

int StoryCount::at(Moment moment) {
    const bool far_back = last_ && moment.day < last_->day - 1;  // The day of before was of a clock that was wrong.
    const bool new_day = last_ && last_->clock == moment.clock && (moment.day > last_->day || far_back);
    if (new_day) {
        count_ = 0;
    }
    if (!last_ || new_day || last_->clock != moment.clock) {
        last_ = moment;
    }
    return count_;
}

}  // namespace storybake::speech
