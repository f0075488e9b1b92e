#include "storyteller/narrator.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "notices.hpp"
#include "program.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/sentences.hpp"

namespace storybake::speech {
namespace {

constexpr std::size_t kSentencesAhead = 4;
constexpr std::size_t kClipsAhead = 32;  // are half a second and 16 KB each; or a sentence
constexpr const char* kClosing = "The end.";

/// Tells whether a text has letters or signs that are not ASCII.
bool is_foreign(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \n");
    return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

}  // namespace

Narrator::Narrator(Voice* voice, Speaker& speaker, TextOutput& screen, Controls& controls, const Guard& guard,
                   StoryLimits limits)
    : TextSink(true),
      voice_(voice),
      speaker_(speaker),
      screen_(screen),
      controls_(controls),
      guard_(guard),
      limits_(limits),
      sentences_queue_(kSentencesAhead),
      clips_queue_(kClipsAhead),
      speaking_([this] { speak(); }),
      playing_([this] { play(); }) {}

Narrator::~Narrator() {
    if (speaking_.joinable()) {
        cut_off();
        speaking_.join();
        playing_.join();
    }
}

void Narrator::say(std::string_view text) {
    sentences_queue_.push({std::string(text), false});
}

bool Narrator::stopped() const {
    return stop_signal != 0 || controls_.cut || failed_;
}

bool Narrator::full() const {
    if (stopped() || closed()) {
        return true;
    }
    // The last sentence is handed on only when something follows it.
    const bool at_end = ends_sentence(text_);
    return at_end && ((limits_.tokens > 0 && tokens_ >= limits_.tokens) ||
                      (limits_.sentences > 0 && sentences_ + 1 >= limits_.sentences));
}

/// Takes one token's text: it is called once a token.
int Narrator::emit(std::string_view text) {
    controls_.alive();
    if (closed()) {
        return 0;
    }
    ++tokens_;
    text_ += text;
    if (sentences_ == 0 && left_out_ == 0) {
        const std::size_t begin = std::min(text_.find_first_not_of(" \n"), text_.size());
        told_.append(text_, 0, begin);  // a model may begin with the end of the wish's line
        text_.erase(0, begin);
    }
    while (const std::size_t length = first_sentence(text_, false)) {
        hand_on(length);
    }
    return 0;
}

/// Hands on what the text begins with, unless it is to be left out; the closing in its place when that is too much.
void Narrator::hand_on(std::size_t length) {
    const std::string part = text_.substr(0, length);
    text_.erase(0, length);
    if (!leaves_out(part)) {
        tell(part);
    } else if (closed()) {
        text_.clear();
        tell(std::string(" ") + kClosing);
    }
}

/// Tells whether a sentence, or a part of one, has what must not be told, or follows such a part.
bool Narrator::leaves_out(const std::string& part) {
    if (part.starts_with('\n')) {  // A paragraph begins.
        sentence_.clear();
        leaving_out_ = false;
    }
    sentence_ += part;
    const std::optional<std::string> word = leaving_out_ ? std::nullopt : guard_.find(sentence_);
    if (word) {
        warn(speech::say(Message::kLeftOut, {*word}));
        ++left_out_;
    }
    const bool left_out = leaving_out_ || word;
    const bool ends = ends_sentence(part);
    leaving_out_ = left_out && !ends;
    if (ends) {
        sentence_.clear();
    }
    return left_out;
}

void Narrator::tell(std::string sentence) {
    if (sentences_ == 0) {  // The first may follow one that was left out.
        sentence.erase(0, sentence.find_first_not_of(" \n"));
    }
    ++sentences_;
    told_ += sentence;
    sentences_queue_.push({std::move(sentence), true});
}

std::optional<Failure> Narrator::end() {
    const bool breaks_off = !text_.empty() && first_sentence(text_, true) > 0 && !ends_sentence(text_);
    if (breaks_off && !stopped()) {
        text_.append("... ").append(kClosing);
    }
    while (const std::size_t length = first_sentence(text_, true)) {
        hand_on(length);
    }
    sentences_queue_.close();
    speaking_.join();
    playing_.join();
    if (sentences_ > 0) {
        screen_.write("\n");
    }
    screen_.finish();
    if (!screen_failed() && !failed_) {
        if (const std::optional<Failure> failed = speaker_.finish()) {
            fail(*failed);
        }
    }
    return failure_;
}

void Narrator::fail(const Failure& failed) {
    const std::lock_guard lock(mutex_);
    failure_ = failure_ ? failure_ : failed;
    failed_ = true;
}

/// Tells whether a part of the story could not be shown, which then is why it ends. That its reader has left does not
/// count: who listens has not.
bool Narrator::screen_failed() {
    if (screen_.error() == 0 || screen_.error() == EPIPE) {
        return false;
    }
    fail(failure(kExitIo, "standard output: writing failed: %s", std::strerror(screen_.error())));
    return true;
}

void Narrator::cut_off() {
    sentences_queue_.cut();
    clips_queue_.cut();
}

/// Runs as a thread: sentences become clips.
void Narrator::speak() {
    while (std::optional<Sentence> sentence = sentences_queue_.pop()) {
        std::string text = sentence->shown ? sentence->text : "";
        const auto take = [this, &text](std::span<const std::int16_t> samples) {
            return !stopped() && clips_queue_.push({std::exchange(text, {}), {samples.begin(), samples.end()}});
        };
        const std::string said = speakable(sentence->text);
        if (voice_ != nullptr && !said.empty() && !stopped()) {
            if (const std::optional<Failure> failed = voice_->speak(said, take)) {
                fail(*failed);
                break;
            }
        } else if (voice_ != nullptr && said.empty() && is_foreign(sentence->text) && !told_unspeakable_) {
            told_unspeakable_ = true;
            warn(speech::say(Message::kUnspeakable, {trimmed(sentence->text)}));
        }
        if (stopped() || (!text.empty() && !take({}))) {
            break;
        }
    }
    clips_queue_.close();
    if (stopped()) {
        cut_off();  // whoever waits to hand on more is let go
    }
}

/// Runs as a thread: clips are shown and heard.
void Narrator::play() {
    while (std::optional<Clip> clip = clips_queue_.pop()) {
        controls_.alive();
        if (stopped()) {
            break;
        }
        screen_.write(clip->text);
        screen_.end_token();
        if (screen_failed()) {
            break;
        }
        const int volume = std::min(controls_.volume.load(), controls_.ceiling.load());
        level_.set(clip->samples, voice_ != nullptr ? voice_->gain() * volume / 100.0 : 0.0);
        if (const std::optional<Failure> failed = speaker_.play(clip->samples)) {
            fail(*failed);
            break;
        }
    }
    if (stopped()) {
        cut_off();
    }
}

}  // namespace storybake::speech
