#include "storyteller/recogniser.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "files.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/voice.hpp"
#include "storyteller/wav.hpp"
#include "storyteller/wishes.hpp"

#ifdef STORYBAKE_POCKETSPHINX
#include "storyteller/adaptations.hpp"
#include "storyteller/sphinx.hpp"
#endif

namespace storybake::speech {
namespace {

constexpr const char* kDebianModel = "/usr/share/pocketsphinx/model/en-us/en-us";

}  // namespace

Result<std::string> find_acoustic_model(const std::string& named) {
    const std::array<std::string, 2> folders = {named.empty() ? executable_folder() + "en-us" : named,
                                                named.empty() ? kDebianModel : named};
    for (const std::string& folder : folders) {
        if (::access((folder + "/mdef").c_str(), R_OK) == 0) {
            return folder;
        }
    }
    return Failure{kExitUnavailable, say(Message::kNoAcousticModel, {folders[1]})};
}

#ifdef STORYBAKE_POCKETSPHINX

namespace {

// Limit how far below the best a wish may be, a frame: in PocketSphinx's units. What was said scores -20 to -45, other
// sentences mostly below -50, lowered ones below -42; bare topics, above all two of them, come nearest to what was
// never said.
constexpr double kLeastOfAll = -50.0;
constexpr double kLeastOverNoise = -46.0;       // with its transform, whose variances are wider
constexpr double kLeastOverNoiseClear = -50.0;  // where each long word is above kClearWord
constexpr double kClearWord = -60.0;
constexpr double kLeastOfBare = -48.0;
constexpr double kLeastOfPair = -38.0;
constexpr double kLeastOfLowered = -42.0;
constexpr double kLeastOfBareLowered = -40.0;
constexpr double kLeastOfStop = -60.0;  // is to be understood above all
constexpr double kLeastOfWord = -80.0;
constexpr double kLeastOfSilence = -50.0;  // lower is speech that the grammar has no words for
constexpr int kLongWord = 15;              // frames
constexpr int kLongSilence = 30;           // a shorter one ends a word, over noise badly
constexpr double kSure = -33.0;            // above it nothing else is tried
constexpr double kLoweredMore = 10.0;      // is what a lowered one has to be better by
constexpr double kNone = -1000.0;          // is the score of nothing

/// Says how a child's voice is lowered to a grown-up's, for whom the acoustic model was made: it is heard as if it were
/// recorded at so much less of its rate. A wake word is found where it fits better than anything at all would: a voice
/// may be lowered by more for it than for a grammar, which makes words of what is too low, too.
constexpr std::array<double, 2> kWarps = {1.25, 1.5};
constexpr std::array<double, 2> kWakeWarps = {1.25, 1.6};

constexpr const char* kWishSearch = "wishes";
constexpr const char* kWakeSearch = "wake";
constexpr const char* kLastWordSearch = "wake, its last word";
constexpr const char* kLoweredWakeSearch = "wake, lowered";

// Say when a wake word was heard: so many times as likely as the phones it has to be, and its last word too, since its
// beginning alone may be 1e30 times as likely ("hello"); the last word is not asked for in noise, nor where it is
// lowered.
constexpr double kLeastOfWake = 1e10;
constexpr double kLeastOfLastWord = 1e-5;
constexpr double kLeastOfLoweredWake = 1e32;
constexpr double kNoisy = 15.0;  // times what the quietest tenth of a second has: what is said there
constexpr std::size_t kTenth = kSampleRate / 10;

/// Tells whether an utterance is hardly louder than the room, by the quietest tenth of a second in it and around it.
bool is_noisy(std::span<const std::int16_t> samples) {
    double quietest = 0.0;
    double sum = 0.0;
    std::size_t count = 0;
    for (; (count + 1) * kTenth <= samples.size(); ++count) {
        double power = 0.0;
        for (const std::int16_t sample : samples.subspan(count * kTenth, kTenth)) {
            power += static_cast<double>(sample) * sample;
        }
        quietest = count == 0 ? power : std::min(quietest, power);
        sum += power;
    }
    return sum < kNoisy * quietest * static_cast<double>(count);
}

/// Holds what was heard, and how well it fits.
struct Guess {
    std::string words;
    double score = kNone;  // is that of all frames of words, a frame
    double worst = 0.0;    // is that of the long words
    double silence = 0.0;  // is that of the worst long silence

    [[nodiscard]] bool has(const char* phrase) const { return words.find(phrase) != std::string::npos; }

    [[nodiscard]] std::optional<Command> command() const {
        const std::optional<Wish> wish = understand(words);
        return wish ? wish->command : std::nullopt;
    }

    /// Tells whether it was said. A grammar makes words of any sound; those that were said are near to the best that
    /// the acoustic model could make of each hundredth of a second, whatever the grammar says. Lowered, many a sentence
    /// sounds like two topics. What stands beside a wish must be silent: only "stop" is heard with any words around it.
    [[nodiscard]] bool is_likely(bool lowered, bool over_noise) const {
        const std::optional<Command> meant = command();
        const bool asks = has("story") || has("about ") || meant;
        const bool pair = has(" and ") || has(" named ") || has(" called ");
        const bool stop = meant == Command::kStop;
        const double clear = worst > kClearWord ? kLeastOverNoiseClear : kLeastOverNoise;
        const double least = stop      ? kLeastOfStop
                             : lowered ? (asks ? kLeastOfLowered : kLeastOfBareLowered)
                             : asks    ? (over_noise ? clear : kLeastOfAll)
                             : pair    ? kLeastOfPair
                                       : kLeastOfBare;
        return score > least && worst > kLeastOfWord && (silence > kLeastOfSilence || stop) &&
               (asks || !pair || !lowered);
    }
};

class PocketSphinx final : public Recogniser {
public:
    explicit PocketSphinx(ps_decoder_t* decoder) : decoder_(decoder) {}
    ~PocketSphinx() override { ps_free(decoder_); }

    void begin(For what, bool noisy) override {
        samples_.clear();
        earlier_.clear();
        waits_ = what == For::kWakeWord;
        woken_ = false;
        adapt(noisy ? kOverNoise : nullptr);
        choose_search(decoder_, waits_ ? kWakeSearch : kWishSearch);
        ps_start_utt(decoder_);
    }

    void take_earlier(std::span<const std::int16_t> samples) override {
        earlier_.assign(samples.begin(), samples.end());
    }

    void hear(std::span<const std::int16_t> samples) override {
        samples_.insert(samples_.end(), samples.begin(), samples.end());
        ps_process_raw(decoder_, samples.data(), samples.size(), FALSE, FALSE);
    }

    bool woken() override {
        if (!waits_ || woken_ || ps_get_hyp(decoder_, nullptr) == nullptr) {
            return woken_;
        }
        ps_end_utt(decoder_);
        const Mean mean(decoder_);
        woken_ = is_whole();
        mean.restore();
        choose_search(decoder_, kWakeSearch);  // What comes next may be the wake word, if it was not.
        ps_start_utt(decoder_);
        return woken_;
    }

    std::string end() override {
        ps_end_utt(decoder_);
        const Mean mean(decoder_);  // that of a voice as it is
        if (waits_) {
            std::string words = was_wake_word() ? kWakeSearch : "";
            mean.restore();
            samples_ = {};
            return words;
        }
        const bool over_noise = adaptation_ == kOverNoise;
        const Guess plain = guess();
        Guess best = plain.is_likely(false, over_noise) ? plain : Guess{};
        const bool sure = best.score > kSure;
        if (!sure && !earlier_.empty()) {
            hear_again(samples_, earlier_);
            if (Guess other = guess();
                other.command() == Command::kStop && other.is_likely(false, over_noise) && other.score > best.score) {
                best = std::move(other);
            }
        }
        best.score += kLoweredMore;
        for (std::size_t i = 0; i < kWarps.size() && !sure; ++i) {
            adapt(kLowered);
            hear_again(stretched(samples_, kWarps[i]));
            if (Guess other = guess(); other.is_likely(true, over_noise) && other.score > best.score) {
                best = std::move(other);
            }
        }
        mean.restore();
        samples_ = {};
        earlier_ = {};
        return best.words;
    }

private:
    /// Adapts the acoustic model with a transform, or with none. Where that can't be done, it stays as it is.
    void adapt(const char* transform) {
        if (adaptation_ != transform && set_transform(decoder_, transform != nullptr ? transform : no_transform())) {
            adaptation_ = transform;
        }
    }

    /// Tells whether the wake word was said in the utterance that has ended.
    bool was_wake_word() {
        return woken_ || (finds(kWakeSearch, samples_) && is_whole()) ||
               std::any_of(kWakeWarps.begin(), kWakeWarps.end(),
                           [this](double factor) { return finds(kLoweredWakeSearch, stretched(samples_, factor)); });
    }

    /// Tells whether what sounded like the wake word has its last word too.
    bool is_whole() { return is_noisy(samples_) || finds(kLastWordSearch, samples_); }

    /// Tells whether a search finds its words in an utterance that is at hand as a whole, with the mean of it alone.
    bool finds(const char* search, const std::vector<std::int16_t>& samples) {
        choose_search(decoder_, search);
        const Mean mean(decoder_);
        mean.restore();  // From here on it counts as leave_out() has it.
        hear_again(samples);
        mean.leave_out(ps_get_n_frames(decoder_));
        hear_again(samples);
        mean.restore();
        return ps_get_hyp(decoder_, nullptr) != nullptr;
    }

    /// Hears an utterance again, as it was or lowered, or with what came before.
    void hear_again(const std::vector<std::int16_t>& samples, const std::vector<std::int16_t>& earlier = {}) {
        ps_start_utt(decoder_);
        ps_process_raw(decoder_, earlier.data(), earlier.size(), FALSE, FALSE);
        ps_process_raw(decoder_, samples.data(), samples.size(), FALSE, FALSE);
        ps_end_utt(decoder_);
    }

    /// Returns what the decoder made of the utterance.
    Guess guess() {
        int32 whole = 0;
        const char* const words = ps_get_hyp(decoder_, &whole);
        Guess found;
        if (words == nullptr) {
            return found;
        }
        int frames = 0;
        std::int64_t total = 0;
        for (ps_seg_t* word = ps_seg_iter(decoder_); word != nullptr; word = ps_seg_next(word)) {
            int first = 0;
            int last = 0;
            int32 acoustic = 0;
            int32 language = 0;
            int32 backoff = 0;
            ps_seg_frames(word, &first, &last);
            ps_seg_prob(word, &acoustic, &language, &backoff);
            const char* const name = ps_seg_word(word);
            const bool silent = *name == '<' || *name == '(' || *name == '[';  // silence and noise are no words
            const int length = last - first + 1;
            frames += silent ? 0 : length;
            total += silent ? 0 : acoustic;
            if (double& least = silent ? found.silence : found.worst; length >= (silent ? kLongSilence : kLongWord)) {
                least = std::min(least, static_cast<double>(acoustic) / length);
            }
        }
        if (frames > 0) {
            found.words = words;
            found.score = static_cast<double>(total) / frames;
        }
        return found;
    }

    ps_decoder_t* decoder_;
    const char* adaptation_ = nullptr;   // is what the acoustic model is adapted with
    bool woken_ = false;                 // says that it was heard before the end
    bool waits_ = false;                 // says that it is the wake word that is waited for
    std::vector<std::int16_t> samples_;  // are the utterance's, until it is understood
    std::vector<std::int16_t> earlier_;  // are those that came before
};

/// Returns the grammar with its rule of names.
std::string whole_grammar() {
    std::string grammar = std::string(kWishes.grammar) + "<name> = ";
    for (const char* const name : kWishes.names) {
        grammar.append(name).append(name == kWishes.names.back() ? ";\n" : " | ");
    }
    return grammar;
}

/// Adds the grammar's words to the decoder's dictionary, which is empty before. Returns false for phones that its model
/// has not.
bool add_words(ps_decoder_t* decoder) {
    bool all = true;
    for (const Pronunciation& said : kWishes.pronunciations) {
        const std::string phones = *said.phones != '\0' ? said.phones : pronounce(said.word);
        all = ps_add_word(decoder, said.word, phones.c_str(), FALSE) >= 0 && all;
    }
    return all;
}

/// Adds the wake word's words that are none of the grammar's, and has it listened for.
bool add_wake_word(ps_decoder_t* decoder, const std::string& phrase) {
    for (std::size_t at = 0; at < phrase.size();) {
        const std::size_t end = std::min(phrase.find(' ', at), phrase.size());
        const std::string word = phrase.substr(at, end - at);
        char* const known = ps_lookup_word(decoder, word.c_str());
        if (known == nullptr && ps_add_word(decoder, word.c_str(), pronounce(word).c_str(), TRUE) < 0) {
            return false;
        }
        std::free(known);
        at = end + 1;
    }
    const std::string last = phrase.substr(phrase.rfind(' ') + 1);
    return phrase.empty() || (set_keyphrase(decoder, kWakeSearch, phrase.c_str(), kLeastOfWake) &&
                              set_keyphrase(decoder, kLastWordSearch, last.c_str(), kLeastOfLastWord) &&
                              set_keyphrase(decoder, kLoweredWakeSearch, phrase.c_str(), kLeastOfLoweredWake));
}

/// Marks, while it lives, that an acoustic model is being read. PocketSphinx ends the process without a word where it
/// finds some kinds of damage, and crashes at others: this says what it was.
class Loading {
public:
    explicit Loading(const std::string& message) {
        text = "storyteller: " + message + "\n";
        static const int watched = std::atexit(end);
        static_cast<void>(watched);
        struct sigaction action {};
        action.sa_handler = [](int /*signal*/) { end(); };
        sigaction(SIGSEGV, &action, &before_);
    }
    Loading(const Loading&) = delete;
    Loading& operator=(const Loading&) = delete;
    ~Loading() {
        sigaction(SIGSEGV, &before_, nullptr);
        text.clear();
    }

private:
    static void end() {
        if (!text.empty()) {
            discard_unfinished_files();
            static_cast<void>(write_all(STDERR_FILENO, std::as_bytes(std::span(text))));
            std::_Exit(kExitBadData);
        }
    }

    static inline std::string text;  // is empty while nothing is loaded
    struct sigaction before_ {};
};

}  // namespace

Result<std::unique_ptr<Recogniser>> open_recogniser(const std::string& acoustic_model, const std::string& wake_word) {
    err_set_logfp(nullptr);  // its log is hundreds of lines
    const std::string unreadable = say(Message::kBadAcousticModel, {acoustic_model});
    ps_decoder_t* decoder = nullptr;
    {
        const Loading loading(unreadable);
        decoder = new_decoder(acoustic_model);
    }
    if (decoder == nullptr) {
        return Failure{kExitBadData, unreadable};
    }
    std::unique_ptr<Recogniser> recogniser = std::make_unique<PocketSphinx>(decoder);
    if (!add_words(decoder) || !add_wake_word(decoder, wake_word) ||
        !set_grammar(decoder, kWishSearch, whole_grammar().c_str())) {
        return Failure{kExitBadData, say(Message::kOtherPhones, {acoustic_model})};
    }
    return recogniser;
}

#else

Result<std::unique_ptr<Recogniser>> open_recogniser(const std::string& /*acoustic_model*/,
                                                    const std::string& /*wake_word*/) {
    return Failure{kExitUnavailable, say(Message::kNoRecogniser)};
}

#endif

}  // namespace storybake::speech
