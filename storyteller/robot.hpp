// Runs the story robot: it listens for a wish, thinks, tells the story, and listens again.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "fail.hpp"
#include "storyteller/console.hpp"
#include "storyteller/ears.hpp"
#include "storyteller/family.hpp"
#include "storyteller/hooks.hpp"
#include "storyteller/process.hpp"
#include "storyteller/speech_options.hpp"
#include "storyteller/teller.hpp"
#include "storyteller/watchdog.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {

class Robot {
public:
    /// Opens what the options ask for. Fails with 2, 65, 66, 69, 71 and 74.
    static Result<std::unique_ptr<Robot>> open(const SpeechOptions& options);

    /// Tells a story, or with --loop one after the other. Fails with 65, 69 and 74.
    std::optional<Failure> run();

private:
    using Clock = std::chrono::steady_clock;
    enum class Answer { kWish, kNotUnderstood, kNothing, kEnded };
    class Decision;

    explicit Robot(const SpeechOptions& options)
        : options_(options), hooks_(options.on), family_(options), length_(options.length) {}

    std::optional<Failure> loop();
    std::optional<Failure> once();
    std::optional<Failure> answer(const Wish& wish);
    std::optional<Failure> ask(std::optional<Wish>& wish);
    Result<Answer> listen(std::optional<Wish>& wish);
    Result<Answer> hear_speech(std::optional<Wish>& wish);
    Result<Answer> read_line(std::optional<Wish>& wish, bool press_is_enough);
    Result<std::optional<std::size_t>> choose_way(const Ways& ways);
    std::optional<Failure> tell();
    std::optional<Failure> tell_new();
    Story story_about(const std::string& topic, int length);
    static Story ask_for(const std::string& topic);
    bool take_at_once(const std::string& line);
    bool change(Command command);
    std::optional<Failure> say_aloud(const std::string& words);
    std::optional<Failure> tell_about(const std::string& topic, int length);
    std::optional<Failure> tell_another(int length);
    [[nodiscard]] std::string five_topics() const;
    [[nodiscard]] bool too_long(const std::string& topic) const;
    [[nodiscard]] bool bedtime() const;
    void show_life();
    bool over();

    /// Tells whether somebody can wake it after it has said good night.
    [[nodiscard]] bool wakes_again() const { return options_.after_press() || options_.waits_for_wake_word(); }

    const SpeechOptions& options_;
    Hooks hooks_;
    Family family_;
    Fd lock_;
    std::unique_ptr<Watchdog> watchdog_;
    std::unique_ptr<Teller> teller_;
    std::unique_ptr<Ears> ears_;  // is null when wishes are typed
    std::uint64_t seed_ = 0;
    std::string topic_;          // is that of last_; empty: of the model's choice
    std::optional<Story> last_;  // was told last
    std::atomic<int> length_;    // is that of the stories to come, as Story has it
    Clock::time_point started_ = Clock::now();
    Clock::time_point wished_ = Clock::now();
    std::atomic<bool> telling_ = false;
    std::unique_ptr<Console> console_;  // comes last: its thread uses the rest
};

}  // namespace storybake::speech
