// Tells what time of the day it is for the robot, with and without a clock, and counts the day's stories.
#pragma once

#include <chrono>
#include <ctime>
#include <optional>
#include <string_view>

namespace storybake::speech {

constexpr int kMinutesOfDay = 24 * 60;

/// Holds quiet hours, in minutes of the day; they may pass midnight.
struct QuietHours {
    int begin;
    int end;

    [[nodiscard]] bool has(int minute) const {
        return begin < end ? minute >= begin && minute < end : minute >= begin || minute < end;
    }
};

/// Reads "20:00-6:30"; nothing for what is not two different times.
std::optional<QuietHours> parse_quiet_hours(std::string_view text);

/// Says when it is. A board without a clock begins at some day long ago: then the robot's day begins with its start, at
/// the end of the quiet hours if there are any.
struct Moment {
    bool clock;  // tells whether there is one
    int day;     // counts the clock's, or those since the start
    int minute;  // counts from midnight
};
Moment moment_of(std::time_t now, std::chrono::seconds since_start, std::optional<QuietHours> quiet);

/// Counts the stories of a day. A clock that is set meanwhile, or goes back, begins no new day.
class StoryCount {
public:
    void restore(Moment moment, int stories);
    void add(Moment moment) { count_ = at(moment) + 1; }

    /// Returns how many stories were told on the moment's day.
    int at(Moment moment);

private:
    std::optional<Moment> last_;
    int count_ = 0;
};

}  // namespace storybake::speech
