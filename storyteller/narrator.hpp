// Tells a text as it comes: sentence by sentence to the voice, from there to the speaker, and onto the screen when its
// sound begins. Each has a thread, so that a sentence is heard while the next is spoken and the one after generated.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fail.hpp"
#include "storyteller/guard.hpp"
#include "storyteller/queue.hpp"
#include "storyteller/speaker.hpp"
#include "storyteller/voice.hpp"
#include "text_output.hpp"

namespace storybake::speech {

/// Says where a story ends, if the model does not end it before; 0: nowhere.
struct StoryLimits {
    int tokens = 0;  // the sentence that reaches it is the last
    int sentences = 0;
    int left_out = 1;  // by the guard; one more ends it, and 0 is none
};

/// Holds what the listener changes while a story is told.
struct Controls {
    std::atomic<int> volume = 100;        // percent
    std::atomic<int> ceiling = 400;       // is the most that it may be now
    std::atomic<bool> cut = false;        // the story shall end at once
    std::function<void()> alive = [] {};  // is called by any thread whenever something has come of its work
};

class Narrator final : public TextSink {
public:
    /// Starts the threads. `voice` may be null: text alone. All arguments have to outlive the narrator.
    Narrator(Voice* voice, Speaker& speaker, TextOutput& screen, Controls& controls, const Guard& guard,
             StoryLimits limits);

    Narrator(const Narrator&) = delete;
    Narrator& operator=(const Narrator&) = delete;
    ~Narrator() override;

    /// Says something that is no part of the story, does not appear on the screen, and is not guarded.
    void say(std::string_view text);

    [[nodiscard]] bool full() const override;

    /// Returns the story so far, as whole sentences, with the white space that it began with.
    [[nodiscard]] const std::string& told() const { return told_; }

    /// Returns how many sentences were left out because they had what must not be told.
    [[nodiscard]] int left_out() const { return left_out_; }

    /// Tells whether they were too many, so that the story has ended.
    [[nodiscard]] bool closed() const { return left_out_ > limits_.left_out; }

    /// Ends the story, with "The end." where it would break off, and waits until it has been told. Fails with 69 when
    /// voice or speaker failed, 74 when writing did.
    std::optional<Failure> end();

private:
    struct Sentence {
        std::string text;
        bool shown;
    };
    struct Clip {
        std::string text;  // is to be shown, as the sentence's sound begins
        std::vector<std::int16_t> samples;
    };

    int emit(std::string_view text) override;
    void hand_on(std::size_t length);
    [[nodiscard]] bool leaves_out(const std::string& part);
    void tell(std::string sentence);
    void speak();
    void play();
    void fail(const Failure& failed);
    bool screen_failed();
    void cut_off();
    [[nodiscard]] bool stopped() const;

    Voice* voice_;
    Speaker& speaker_;
    TextOutput& screen_;
    Controls& controls_;
    const Guard& guard_;
    StoryLimits limits_;
    Level level_;
    std::string told_;
    std::string text_;          // is the story's part that is not yet handed on
    std::string sentence_;      // is the part that was handed on of one that is too long for one breath
    bool leaving_out_ = false;  // the rest of such a sentence too
    int tokens_ = 0;
    int sentences_ = 0;
    int left_out_ = 0;
    bool told_unspeakable_ = false;
    std::atomic<bool> failed_ = false;
    std::mutex mutex_;
    std::optional<Failure> failure_;  // is the first of the failures
    Queue<Sentence> sentences_queue_;
    Queue<Clip> clips_queue_;
    std::thread speaking_;
    std::thread playing_;
};

}  // namespace storybake::speech
