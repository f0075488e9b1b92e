// Tells one story after the other: the baked model's text through a voice to the speaker.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine.hpp"
#include "fail.hpp"
#include "generate.hpp"
#include "opened_model.hpp"
#include "sampler.hpp"
#include "storyteller/guard.hpp"
#include "storyteller/narrator.hpp"
#include "storyteller/speech_options.hpp"
#include "storyteller/voice.hpp"
#include "storyteller/wav.hpp"
#include "text_output.hpp"

namespace storybake::speech {

/// Says what story the model is asked for; the same twice is the same story.
struct Story {
    std::string prompt;
    Echo echo;  // tells whether the prompt is the story's beginning
    std::uint64_t seed;
    std::string opening = {};  // ends the prompt, and is told where the prompt is not
    int length = 0;            // -1: a short one; 1: with a second part
    bool by_chat = false;      // tells whether the prompt is said as a user says it in a chat
    std::optional<std::string> wish =
        {};  // has to be in it: tell() looks for a seed with which it is; none: takes its own
};

/// Holds two sentences with which a story may go on.
using Ways = std::array<std::string, 2>;

/// Asks which way a story shall go on: 0 or 1, nothing when it shall end here.
using Choose = std::function<Result<std::optional<std::size_t>>(const Ways&)>;

class Collector;

class Teller {
public:
    /// Opens the voice, the WAV file and the model. What `guard` finds is left out of stories. `begun` is called
    /// whenever something begins to sound. Fails with 2, 65, 66, 69, 71 and 74.
    static Result<std::unique_ptr<Teller>> open(const SpeechOptions& options, const Guard& guard,
                                                std::function<void()> begun);

    /// Says each of `announcements`, then tells the story, until controls().cut. `since` is when it was wished for. A
    /// story with a wish, which may be empty, is rehearsed first, with its seed and those after it, until nothing is
    /// amiss, or options' rehearsals are used up; its seed becomes that of the story that is told, and its wish none.
    /// `choose`, unless it is null, is asked in the middle of a story that is long enough, may go on in two ways, and
    /// is no chat's. Fails with 65 when the model is damaged, 69 and 74, and as `choose` does.
    std::optional<Failure> tell(Story& story, std::span<const std::string> announcements,
                                std::chrono::steady_clock::time_point since, const Choose& choose = nullptr);

    /// Tells whether the context has room for a story behind its prompt.
    [[nodiscard]] bool fits(const Story& story) const;

    /// Returns how likely the model holds words of a story once their first is there, a token: their geometric mean,
    /// where they begin a sentence or stand in one. 0 for a single word, and when the user interrupts.
    double expects(const std::string& words);

    /// Returns the text of the last story, as far as it was told.
    [[nodiscard]] const std::string& told() const { return told_; }

    /// Makes a story that goes on with the last one, with the same persons; nothing when nothing was told.
    [[nodiscard]] std::optional<Story> next_part(std::uint64_t seed) const;

    /// Finds the text of a story again that was told before the start, for next_part(). Fails with 65 when the model is
    /// damaged.
    std::optional<Failure> recall(const Story& story);

    /// Says something that is no story, and can't be cut.
    std::optional<Failure> say(const std::string& text);

    /// Completes the WAV file. Fails with 69 when the end of what was said last was not heard, and 74.
    std::optional<Failure> finish();

    /// Tells whether a player is used.
    [[nodiscard]] bool plays() const { return !players_.empty(); }

    Controls& controls() { return controls_; }

private:
    /// Counts the tokens beyond those that were asked for within which a sentence is completed.
    static constexpr int kTokensToFinish = 48;

    Teller(const SpeechOptions& options, const Guard& guard, std::function<void()> begun, std::vector<Words> players,
           std::unique_ptr<Voice> voice, OpenedModel model);

    [[nodiscard]] StoryLimits limits_of(const Story& story) const;
    std::optional<Failure> tell_part(Story& story, StoryLimits limits, int positions,
                                     std::span<const std::string> announcements,
                                     std::chrono::steady_clock::time_point since);
    static std::optional<Failure> write(const Story& story, Session& session);
    std::optional<Failure> rehearse(Story& story, Session& session, Sampler& sampler, Collector& rehearsed,
                                    TextSink& out);
    std::optional<Failure> go_on(const Story& story, StoryLimits limits, const Choose& choose);
    Result<std::optional<Ways>> ways_on(const std::string& text, std::uint64_t seed);
    [[nodiscard]] int tokens_of(const std::string& text) const;
    double likelihood(const std::string& before, const std::string& text);
    [[nodiscard]] Speaker make_speaker() { return {players_, wav_ ? &*wav_ : nullptr, controls_.cut, begun_}; }

    const SpeechOptions& options_;
    const Guard& guard_;
    std::function<void()> begun_;
    Controls controls_;
    std::string told_;
    bool broke_off_ = false;   // tells whether the last part ended at its limits
    bool closed_ = false;      // tells whether the guard has ended the story
    int left_out_ = 0;         // counts the sentences that it has left out of the story
    std::string lost_player_;  // names the player that died in the middle of what was said last
    std::optional<WavFile> wav_;
    std::vector<Words> players_;
    std::unique_ptr<Voice> voice_;
    OpenedModel model_;
    TextOutput screen_;
    Engine engine_;
};

}  // namespace storybake::speech
