// Runs the loops around the model: a story from a prompt, and a chat.
#pragma once

#include <csignal>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "draft.hpp"
#include "engine.hpp"
#include "fail.hpp"
#include "files.hpp"
#include "sampler.hpp"
#include "stop_texts.hpp"
#include "text_output.hpp"
#include "tokenizer.hpp"

namespace storybake {

/// Limits the bytes of a prompt; far more than any context, and few enough to hold.
constexpr std::size_t kMaxPromptBytes = std::size_t{1} << 20;

/// Counts what a run took. Positions are counted where they are computed: those of prompts apart from those after them.
struct Stats {
    std::int64_t prompt_positions = 0;
    std::int64_t positions = 0;
    double prompt_seconds = 0.0;
    double seconds = 0.0;
    std::int64_t certified = 0;    // tokens drawn from the classifier's head alone
    std::int64_t fallen_back = 0;  // tokens for which its tail was computed after all
    int tail_rows = 0;             // counts the classifier's rows that were left out for the certified ones
    DraftFacts drafts;
    std::span<const float> logits;  // are those of the last position that was computed with logits
};

/// Tells whether the prompt is part of the text.
enum class Echo { kNo, kYes };

/// Returns the tokens of what a user says first in a chat, as the tokenizer's chat format, which it has, writes it
/// down: the model's answer follows.
std::vector<int> first_turn(const Tokenizer& tokenizer, const std::string& message, const std::string& system = {});

/// Runs the model: for stories, each from position 0 on, or for a chat. The Stats count all of them together.
class Session {
public:
    /// Takes `steps`, the number of positions at most, 1 to kModel.seq_len. `logits_file` may be null; with one, every
    /// position is computed with logits and its row written. `stop` becomes other than 0 when the user interrupts.
    Session(Engine& engine, const Tokenizer& tokenizer, Sampler& sampler, TextSink& out, OutputFile* logits_file,
            int steps, const volatile std::sig_atomic_t& stop);

    /// Ends a text, or an answer, where the model writes one of these texts, which are not empty: they are not shown.
    void stop_at(std::vector<std::string> texts) { stops_ = StopTexts(std::move(texts)); }

    /// Never takes a token that ends a text.
    void ignore_ends() { sampler_.forbid(tokenizer_.ends()); }

    /// Says when the token behind the next is guessed and computed with it; without it, where that pays.
    void draft(Drafting when) { draft_.draft(when); }

    /// Sets where notices go that can't wait for the end of a chat; without it they are part of warning().
    void tell_by(void (*tell)(const std::string&)) { tell_ = tell; }

    /// Tells a story: echoes the prompt, or not, and continues it, as llama2.c's generate() does, until `steps`, BOS,
    /// EOS, an interruption, or when the sink is full. Fails with 2 when the prompt does not fit the context, 65 when
    /// the logits are not finite, and 74.
    std::optional<Failure> generate(std::string_view prompt, Echo echo = Echo::kYes);

    /// Takes turns with the user, who types lines into the file descriptor `in`, as the model's chat format has them
    /// written down, until the end of `in` or an interruption. What is not given is asked for. `steps` is what the
    /// conversation may take: when it is full, its oldest turns are forgotten, which is told once. Fails as generate(),
    /// and with 2 for a model that doesn't chat, or has no system prompt when one is given.
    std::optional<Failure> chat(int in, const std::optional<std::string>& system_prompt,
                                const std::optional<std::string>& first_prompt);

    /// Answers what a user says, as the first turn of a chat; the text is the answer alone. Fails as chat().
    std::optional<Failure> reply(const std::string& message, const std::string& system_prompt = {});

    [[nodiscard]] const Stats& stats() const { return stats_; }

    /// Returns what there is to say about a run that did not fail; empty mostly.
    [[nodiscard]] const std::string& warning() const { return warning_; }

private:
    std::optional<Failure> compute(std::span<const int> tokens);
    std::optional<Failure> compute_prompt(std::span<const int> tokens);
    std::optional<Failure> advance(int token);
    std::optional<Failure> sample(int& token);
    std::optional<Failure> check_finite(bool finite) const;
    std::optional<Failure> check_rows(std::span<const int> tokens) const;
    [[nodiscard]] Logits wanted_logits() const;
    void complete();
    std::optional<Failure> answer(int previous, std::vector<int>* said);
    std::optional<Failure> take_turn(std::span<const int> tokens, std::vector<int>* said);
    std::optional<Failure> end(const std::optional<Failure>& failed);
    std::optional<Failure> check_chat(const std::string& system) const;
    std::optional<Failure> output_failure() const;
    void put_token(int previous, int token);
    Result<bool> ask(int in, std::string_view guide, std::string& line);
    void tell(const std::string& notice);

    Engine& engine_;
    const Tokenizer& tokenizer_;
    Sampler& sampler_;
    TextSink& out_;
    OutputFile* logits_file_;
    int steps_;
    const volatile std::sig_atomic_t& stop_;
    int pos_ = 0;              // positions computed
    std::span<float> logits_;  // are those of position pos_ - 1; empty with the head's alone, which head_ says
    bool head_ = false;
    Draft draft_{kPackedData.draft};
    std::optional<int> ahead_;  // is the guess for position pos_, which was computed with the one before it
    std::string input_;         // holds what was read from the user: lines yet to come
    StopTexts stops_;
    void (*tell_)(const std::string&) = nullptr;
    Stats stats_;
    std::string warning_;
};

}  // namespace storybake
