// What the teller has the model tell that nobody hears: rehearsals, ways on, stories of before, how likely words are.
#include <algorithm>
#include <cmath>

#include "model.hpp"
#include "program.hpp"
#include "storyteller/collector.hpp"
#include "storyteller/sentences.hpp"
#include "storyteller/teller.hpp"
#include "storyteller/wishes.hpp"

namespace storybake::speech {
namespace {

constexpr std::uint64_t kWaysTried = 8;  // until two are found that can be offered
constexpr std::size_t kUnfit = 100;      // words of its wish may a story rather lack than have one for the guard

/// Returns what a narrator tells of a text: the sentences in which the guard finds nothing, up to one too many of
/// others.
std::string guarded(const Guard& guard, std::string_view text) {
    std::string told;
    int left_out = 0;
    while (const std::size_t length = first_sentence(text, true)) {
        if (!guard.find(text.substr(0, length))) {
            told += text.substr(0, length);
        } else if (++left_out > StoryLimits{}.left_out) {
            break;
        }
        text.remove_prefix(length);
    }
    return told;
}

/// Returns the first two words of a sentence.
std::string_view beginning(std::string_view sentence) {
    const std::size_t one = sentence.find(' ');
    return one == std::string_view::npos ? sentence : sentence.substr(0, sentence.find(' ', one + 1));
}

}  // namespace

/// Has the model tell the story with one seed after the other until the wish is in it, and nothing for the guard; what
/// lacks least goes to `out`, as far as that wants it, as write() would have written it there.
std::optional<Failure> Teller::rehearse(Story& story, Session& session, Sampler& sampler, Collector& rehearsed,
                                        TextSink& out) {
    std::string best;
    std::vector<std::size_t> ends;
    std::size_t fewest = std::string::npos;
    const std::uint64_t first = story.seed;
    for (int i = 0; i <= options_.rehearsals && fewest > 0 && !controls_.cut && stop_signal == 0; ++i) {
        const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
        sampler.restart(seed);
        rehearsed.clear();
        if (auto failed = write(story, session)) {
            return failed;
        }
        const std::size_t unfit = guard_.find(rehearsed.text) ? kUnfit : 0;
        const std::string_view text = rehearsed.text;
        const bool begun = story.wish == story.prompt;  // by somebody: what follows has to go on with it
        const std::size_t lacking =
            begun ? names_lacking(*story.wish, text.substr(std::min(story.prompt.size(), text.size())))
                  : words_lacking(*story.wish, text);
        const std::size_t wrong = lacking + words_garbled(*story.wish, text) + unfit;
        if (wrong < fewest) {
            fewest = wrong;
            story.seed = seed;
            best = rehearsed.text;
            ends = rehearsed.ends;
        }
    }
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
        if (out.full()) {
            break;
        }
        out.write(std::string_view(best).substr(begin, end - begin));
        out.end_token();
        begin = end;
    }
    out.write("\n");
    out.finish();
    return std::nullopt;
}

std::optional<Failure> Teller::recall(const Story& story) {
    Collector collected(controls_);
    Sampler sampler(kModel.vocab_size, options_.temperature, options_.topp, story.seed, options_.sampling);
    Session session(engine_, *model_.tokenizer, sampler, collected, nullptr, kModel.seq_len, stop_signal);
    std::optional<Failure> failed = write(story, session);
    told_ = guarded(guard_, collected.text);
    return failed;
}

/// Returns the geometric mean of the probabilities of the tokens of `text` behind `before`.
double Teller::likelihood(const std::string& before, const std::string& text) {
    const std::vector<int> tokens = model_.tokenizer->encode(before + text);
    const auto first = static_cast<std::size_t>(tokens_of(before));
    if (tokens.size() <= first || tokens.size() > static_cast<std::size_t>(kModel.seq_len)) {
        return 0.0;
    }
    double sum = 0.0;
    std::span<const float> logits = engine_.prefill(std::span(tokens).first(first), 0, stop_signal);
    for (std::size_t i = first; i < tokens.size(); ++i) {
        if (logits.empty()) {  // The user has interrupted.
            return 0.0;
        }
        const double largest = *std::max_element(logits.begin(), logits.end());
        double all = 0.0;
        for (const float logit : logits) {
            all += std::exp(static_cast<double>(logit) - largest);
        }
        sum += static_cast<double>(logits[static_cast<std::size_t>(tokens[i])]) - largest - std::log(all);
        logits = engine_.forward({&tokens[i], 1}, static_cast<int>(i), Logits::kLast);
    }
    return std::exp(sum / static_cast<double>(tokens.size() - first));
}

double Teller::expects(const std::string& words) {
    const std::size_t first = std::min(words.find(' '), words.size());
    const bool asked = !kWishes.prompt_is_told && !kWishes.asks_by_chat;
    const std::string begin =
        asked ? kWishes.prompt_before + std::string(kWishes.topics.front()) + kWishes.prompt_after + " " : "";
    std::string capital = words;
    capital[0] = static_cast<char>(capital[0] - ('a' - 'A'));
    // Count what a story of its own choice begins with, too: one that was asked for may say first what it is about.
    const double chosen = likelihood(capital.substr(0, first), words.substr(first));
    const double wished = asked ? likelihood(begin + capital.substr(0, first), words.substr(first)) : chosen;
    return std::max({chosen, wished, likelihood(begin + "One day, " + words.substr(0, first), words.substr(first))});
}

/// Finds two sentences with which a text may go on, as the model would, that begin with other words; such as nobody
/// says in it, if there are two. Nothing where there are none, as at temperature 0.
Result<std::optional<Ways>> Teller::ways_on(const std::string& text, std::uint64_t seed) {
    std::vector<std::string> ways;
    std::vector<std::string> spoken;
    for (std::uint64_t i = 1; i <= kWaysTried && ways.size() < 2 && !controls_.cut && stop_signal == 0; ++i) {
        Collector collected(controls_, 1);
        Sampler sampler(kModel.vocab_size, options_.temperature, options_.topp, seed + i, options_.sampling);
        Session session(engine_, *model_.tokenizer, sampler, collected, nullptr,
                        std::min(tokens_of(text) + kTokensToFinish, kModel.seq_len), stop_signal);
        if (auto failed = session.generate(text, Echo::kNo)) {
            return *failed;
        }
        std::string way = collected.text.substr(0, first_sentence(collected.text, false));
        way.erase(0, std::min(way.find_first_not_of(" \n"), way.size()));
        const auto quotes = std::count(way.begin(), way.end(), '"');
        std::vector<std::string>& of_its_kind = quotes == 0 ? ways : spoken;
        const bool known = std::any_of(of_its_kind.begin(), of_its_kind.end(),
                                       [&](const std::string& other) { return beginning(other) == beginning(way); });
        const bool begins = !way.empty() && !(way[0] >= 'a' && way[0] <= 'z');
        if (begins && ends_sentence(way) && quotes % 2 == 0 && !known && !guard_.find(way)) {
            of_its_kind.push_back(std::move(way));
        }
    }
    ways.insert(ways.end(), spoken.begin(), spoken.end());
    return ways.size() < 2 ? std::nullopt : std::optional(Ways{ways[0], ways[1]});
}

}  // namespace storybake::speech
