#include "storyteller/teller.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "model.hpp"
#include "notices.hpp"
#include "program.hpp"
#include "report.hpp"
#include "sampler.hpp"
#include "storyteller/collector.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/sentences.hpp"
#include "storyteller/sequel.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {
namespace {

constexpr int kShortSentences = 8;  // are in a short story
constexpr int kChatSentences = 16;  // are at most in the story of a model that chats, which may have no end in mind
constexpr std::size_t kLastSentences = 2;  // begin what happens next
constexpr int kMiddle = 6;                 // sentences come before a choice, where a story is of any length
constexpr int kPlaces = 3;                 // for a choice are looked at,
constexpr int kBetweenPlaces = 2;          // so many sentences apart

}  // namespace

Result<std::unique_ptr<Teller>> Teller::open(const SpeechOptions& options, const Guard& guard,
                                             std::function<void()> begun) {
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
        new Teller(options, guard, std::move(begun), std::move(players), std::move(voice), std::move(*model)));
    if (!options.wav.empty()) {
        Result<WavFile> wav = WavFile::create(options.wav);
        if (!wav) {
            return wav.failure();
        }
        teller->wav_.emplace(std::move(*wav));
    }
    return teller;
}

Teller::Teller(const SpeechOptions& options, const Guard& guard, std::function<void()> begun,
               std::vector<Words> players, std::unique_ptr<Voice> voice, OpenedModel model)
    : options_(options),
      guard_(guard),
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

int Teller::tokens_of(const std::string& text) const {
    return static_cast<int>(model_.tokenizer->encode(text).size());
}

std::optional<Story> Teller::next_part(std::uint64_t seed) const {
    for (std::size_t sentences = kLastSentences; sentences > 0; --sentences) {
        const std::optional<Sequel> sequel = sequel_of(told_, seed, sentences);
        if (!sequel) {
            return std::nullopt;
        }
        Story story{sequel->before + " " + sequel->opening, Echo::kNo, seed, sequel->opening};
        if (kWishes.asks_by_chat) {
            story = {"A story ends: " + sequel->before + " Tell me what happens next.", Echo::kNo, seed};
            story.by_chat = true;
        }
        if (fits(story)) {
            return story;
        }
    }
    return std::nullopt;
}

std::optional<Failure> Teller::tell(Story& story, std::span<const std::string> announcements,
                                    std::chrono::steady_clock::time_point since, const Choose& choose) {
    const StoryLimits limits = limits_of(story);
    closed_ = false;
    left_out_ = 0;
    const bool in_two = choose && !story.by_chat && limits.sentences != 1;
    StoryLimits first = limits;
    if (in_two) {
        first.sentences = limits.sentences > 0 ? std::min(kMiddle, limits.sentences / 2) : kMiddle;
    }
    if (auto failed = tell_part(story, first, limits.tokens + kTokensToFinish, announcements, since)) {
        return failed;
    }
    const StoryLimits rest{limits.tokens - tokens_of(told_), std::max(limits.sentences - first.sentences, 0)};
    const bool in_middle = in_two && broke_off_ && rest.tokens > 0;
    if (auto failed = in_middle ? go_on(story, rest, choose) : std::nullopt) {
        return failed;
    }
    std::optional<Story> part = story.length > 0 ? next_part(story.seed) : std::nullopt;
    if (!part || closed_ || controls_.cut || stop_signal != 0) {
        return std::nullopt;
    }
    return tell_part(*part, limits, limits.tokens + kTokensToFinish, {}, std::chrono::steady_clock::now());
}

/// Goes on from the middle of a story to its end, in the way that is chosen at the first place that has two.
std::optional<Failure> Teller::go_on(const Story& story, StoryLimits limits, const Choose& choose) {
    std::string told = told_;
    std::string text = told;
    if (story.echo == Echo::kNo) {  // What comes before the story is no part of it.
        text.insert(0, story.prompt, 0, story.prompt.size() - story.opening.size());
    }
    Story rest{"", Echo::kNo, story.seed};
    for (int place = 1;; ++place) {
        while (tokens_of(text) > kModel.seq_len / 2) {
            text.erase(0, std::max<std::size_t>(first_sentence(text, true), 1));
        }
        rest.prompt = text;
        const Result<std::optional<Ways>> ways = ways_on(text, story.seed);
        if (!ways) {
            return ways.failure();
        }
        if (*ways) {
            const Result<std::optional<std::size_t>> way = choose(**ways);
            if (!way || !*way) {
                return way ? std::nullopt : std::optional(way.failure());
            }
            rest.opening = (**ways).at(**way);
            rest.prompt.append(" ").append(rest.opening);
        }
        const bool here = *ways || place == kPlaces || (limits.sentences > 0 && limits.sentences <= kBetweenPlaces);
        const StoryLimits next{limits.tokens, here ? limits.sentences : kBetweenPlaces};
        const int positions = tokens_of(rest.prompt) + limits.tokens + kTokensToFinish;
        std::optional<Failure> failed = tell_part(rest, next, positions, {}, std::chrono::steady_clock::now());
        text += told_;
        limits.tokens -= tokens_of(told_);
        limits.sentences -= std::min(limits.sentences, kBetweenPlaces);
        told_.insert(0, told + (rest.opening.empty() ? "" : " "));
        if (failed || here || !broke_off_ || limits.tokens <= 0) {
            return failed;
        }
        told = told_;
    }
}

/// Says where a story ends: the tokens and sentences that were asked for, or that the context has room for.
StoryLimits Teller::limits_of(const Story& story) const {
    StoryLimits limits;
    limits.tokens =
        std::min(choose_steps(options_.steps), kModel.seq_len - std::min(kTokensToFinish, kModel.seq_len / 2));
    limits.sentences = options_.max_sentences;
    if (story.by_chat && limits.sentences == 0) {
        limits.sentences = kChatSentences;
    }
    if (story.length < 0 && (limits.sentences == 0 || limits.sentences > kShortSentences)) {
        limits.sentences = kShortSentences;
    }
    return limits;
}

std::optional<Failure> Teller::tell_part(Story& story, StoryLimits limits, int positions,
                                         std::span<const std::string> announcements,
                                         std::chrono::steady_clock::time_point since) {
    Speaker speaker = make_speaker();
    limits.left_out -= left_out_;
    Narrator narrator(voice_.get(), speaker, screen_, controls_, guard_, limits);
    for (const std::string& announcement : announcements) {
        narrator.say(announcement);
    }
    Sampler sampler(kModel.vocab_size, options_.temperature, options_.topp, story.seed, options_.sampling);
    const bool rehearses = options_.rehearsals > 0 && story.wish;
    Collector rehearsed(controls_, limits.sentences);
    TextSink& first = rehearses ? static_cast<TextSink&>(rehearsed) : narrator;
    Session session(engine_, *model_.tokenizer, sampler, first, nullptr, std::min(positions, kModel.seq_len),
                    stop_signal);
    narrator.write(story.opening);
    const std::optional<Failure> failed =
        rehearses ? rehearse(story, session, sampler, rehearsed, narrator) : write(story, session);
    story.wish.reset();
    broke_off_ = narrator.full() && !narrator.closed() && !controls_.cut && stop_signal == 0;
    const std::optional<Failure> unheard = narrator.end();
    told_ = narrator.told();
    closed_ = narrator.closed();
    left_out_ += narrator.left_out();
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
        show(speech::say(Message::kFirstSound, {seconds}));
    }
    return std::nullopt;
}

std::optional<Failure> Teller::say(const std::string& text) {
    controls_.cut = false;
    Speaker speaker = make_speaker();
    Narrator narrator(voice_.get(), speaker, screen_, controls_, guard_, {});
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
