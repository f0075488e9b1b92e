#include "storyteller/teller.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "model.hpp"
#include "notices.hpp"
#include "program.hpp"
#include "report.hpp"
#include "sampler.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/sequel.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {
namespace {

// A sentence is completed within so many tokens beyond those that were asked for.
constexpr int kTokensToFinish = 48;
constexpr int kShortSentences = 8;  // are in a short story
constexpr int kChatSentences = 16;  // are at most in the story of a model that chats, which may have no end in mind

/// Collects a text that nobody hears.
class Collector final : public TextSink {
public:
    Collector() : TextSink(false) {}
    std::string text;

private:
    int emit(std::string_view part) override {
        text += part;
        return 0;
    }
};

}  // namespace

Result<std::unique_ptr<Teller>> Teller::open(const SpeechOptions& options, std::function<void()> begun) {
    std::unique_ptr<Voice> voice;
    std::vector<Words> players;
    if (!options.mute) {
        Result<std::unique_ptr<Voice>> opened = open_voice(options.voice, options.manner);
        if (!opened) {
            return opened.failure();
        }
        voice = std::move(*opened);
        if (!options.snd_command.empty()) {
            players = {options.snd_command};
        } else if (options.wav.empty()) {
            Result<std::vector<Words>> found = find_players();
            if (!found) {
                return found.failure();
            }
            players = std::move(*found);
        }
    }
    Result<OpenedModel> model = OpenedModel::open(options);
    if (!model) {
        return model.failure();
    }
    std::unique_ptr<Teller> teller(
        new Teller(options, std::move(begun), std::move(players), std::move(voice), std::move(*model)));
    if (!options.wav.empty()) {
        Result<WavFile> wav = WavFile::create(options.wav);
        if (!wav) {
            return wav.failure();
        }
        teller->wav_.emplace(std::move(*wav));
    }
    return teller;
}

Teller::Teller(const SpeechOptions& options, std::function<void()> begun, std::vector<Words> players,
               std::unique_ptr<Voice> voice, OpenedModel model)
    : options_(options),
      begun_(std::move(begun)),
      players_(std::move(players)),
      voice_(std::move(voice)),
      model_(std::move(model)),
      screen_(STDOUT_FILENO, true),
      engine_(model_.weights->data(), model_.threads, model_.batch, nullptr) {
    controls_.volume = options.volume;
}

bool Teller::fits(const Story& story) const {
    const Tokenizer& tokenizer = *model_.tokenizer;
    const bool by_chat = story.by_chat && tokenizer.chat();
    const std::size_t tokens = (by_chat ? first_turn(tokenizer, story.prompt) : tokenizer.encode(story.prompt)).size();
    return static_cast<int>(tokens) <= kModel.seq_len / 2;
}

/// Has the model tell the story to `session`.
std::optional<Failure> Teller::write(const Story& story, Session& session) {
    return story.by_chat ? session.reply(story.prompt) : session.generate(story.prompt, story.echo);
}

std::optional<Failure> Teller::recall(const Story& story) {
    Collector collected;
    Sampler sampler(kModel.vocab_size, options_.temperature, options_.topp, story.seed);
    Session session(engine_, *model_.tokenizer, sampler, collected, nullptr, kModel.seq_len, stop_signal);
    std::optional<Failure> failed = write(story, session);
    told_ = std::move(collected.text);
    return failed;
}

std::optional<Story> Teller::next_part(std::uint64_t seed) const {
    const std::optional<Sequel> sequel = sequel_of(told_, seed);
    if (!sequel) {
        return std::nullopt;
    }
    Story story{sequel->introduction + " " + sequel->opening, Echo::kNo, seed, sequel->opening};
    if (kWishes.asks_by_chat) {
        story = {"A story begins: " + sequel->introduction + " Tell me what happens next.", Echo::kNo, seed};
        story.by_chat = true;
    }
    return fits(story) ? std::optional(story) : std::nullopt;
}

std::optional<Failure> Teller::tell(const Story& story, std::span<const std::string> announcements,
                                    std::chrono::steady_clock::time_point since) {
    if (auto failed = tell_part(story, announcements, since)) {
        return failed;
    }
    const std::optional<Story> part = story.length > 0 ? next_part(story.seed) : std::nullopt;
    if (!part || controls_.cut || stop_signal != 0) {
        return std::nullopt;
    }
    return tell_part(*part, {}, std::chrono::steady_clock::now());
}

std::optional<Failure> Teller::tell_part(const Story& story, std::span<const std::string> announcements,
                                         std::chrono::steady_clock::time_point since) {
    const int wanted = choose_steps(options_.steps);
    StoryLimits limits;
    limits.tokens = std::min(wanted, kModel.seq_len - std::min(kTokensToFinish, kModel.seq_len / 2));
    limits.sentences = options_.max_sentences;
    if (story.by_chat && limits.sentences == 0) {
        limits.sentences = kChatSentences;
    }
    if (story.length < 0 && (limits.sentences == 0 || limits.sentences > kShortSentences)) {
        limits.sentences = kShortSentences;
    }
    Speaker speaker = make_speaker();
    Narrator narrator(voice_.get(), speaker, screen_, controls_, limits);
    for (const std::string& announcement : announcements) {
        narrator.say(announcement);
    }
    Sampler sampler(kModel.vocab_size, options_.temperature, options_.topp, story.seed, options_.sampling);
    Session session(engine_, *model_.tokenizer, sampler, narrator, nullptr,
                    std::min(limits.tokens + kTokensToFinish, kModel.seq_len), stop_signal);
    narrator.write(story.opening);
    const std::optional<Failure> failed = write(story, session);
    const std::optional<Failure> unheard = narrator.end();
    told_ = narrator.told();
    if (failed || unheard) {
        return failed ? failed : unheard;
    }
    lost_player_ = speaker.silent() ? speaker.player() : "";
    warn(session.warning());
    if (options_.report) {
        print_stats(stderr, kModel, session.stats(),
                    {model_.threads, options_.temperature != 0.0F, story.seed, 1, model_.loading});
    }
    if (const auto first = speaker.first_sound()) {
        char seconds[16];
        std::snprintf(seconds, sizeof seconds, "%.2f", std::chrono::duration<double>(*first - since).count());
        std::fprintf(stderr, "%s\n", speech::say(Message::kFirstSound, {seconds}).c_str());
    }
    return std::nullopt;
}

std::optional<Failure> Teller::say(const std::string& text) {
    controls_.cut = false;
    Speaker speaker = make_speaker();
    Narrator narrator(voice_.get(), speaker, screen_, controls_, {});
    narrator.say(text);
    std::optional<Failure> failed = narrator.end();
    lost_player_ = speaker.silent() ? speaker.player() : "";
    return failed;
}

std::optional<Failure> Teller::finish() {
    if (std::optional<Failure> failed = wav_ ? wav_->finish() : std::nullopt) {
        return failed;
    }
    if (!lost_player_.empty()) {
        return Failure{kExitUnavailable, speech::say(Message::kRestUnheard, {lost_player_})};
    }
    return std::nullopt;
}

}  // namespace storybake::speech
