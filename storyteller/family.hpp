// Keeps a family's rules while the robot runs: how loud, when, how many and which stories; and what it remembers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storyteller/day.hpp"
#include "storyteller/diary.hpp"
#include "storyteller/guard.hpp"
#include "storyteller/speech_options.hpp"

namespace storybake::speech {

class Family {
public:
    explicit Family(const SpeechOptions& options);

    /// Says what is wrong with the rules, on standard error; returns the same in words to be said.
    [[nodiscard]] std::string mistakes() const;

    /// Returns why no story is told now, in words to be said; empty when one may be.
    std::string refusal();

    /// Returns the most that the volume may be now, in percent.
    int loudest();

    /// Tells whether a topic is one of those allowed, or each of its persons and things is.
    [[nodiscard]] bool allows(std::string_view topic) const;

    /// Returns the guard against what must not be told: the model's list and the rules' words, but for the child's name
    /// and the rules' topics. It finds nothing when it is switched off.
    [[nodiscard]] const Guard& guard() const { return guard_; }

    /// Returns the topics that may be asked for, of the rules or of the model.
    [[nodiscard]] std::vector<std::string> topics() const;

    /// Puts the child into a topic that is "me", or has "me" in it.
    [[nodiscard]] std::string with_child(const std::string& topic) const;

    /// Counts a story that was told, and remembers it. A memory that can't be written is told once.
    void remember(const std::string& topic, std::uint64_t seed, int length);

    /// Returns what the last run remembered.
    [[nodiscard]] const std::optional<Remembered>& remembered() const { return remembered_; }

private:
    [[nodiscard]] Moment now() const;

    const SpeechOptions& options_;
    Guard guard_;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
    StoryCount stories_;
    std::optional<Remembered> remembered_;
    bool told_memory_ = false;
};

}  // namespace storybake::speech
