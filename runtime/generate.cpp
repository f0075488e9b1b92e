#include "generate.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "clock.hpp"

namespace storybake {

Session::Session(Engine& engine, const Tokenizer& tokenizer, Sampler& sampler, TextSink& out, OutputFile* logits_file,
                 int steps, const volatile std::sig_atomic_t& stop)
    : engine_(engine),
      tokenizer_(tokenizer),
      sampler_(sampler),
      out_(out),
      logits_file_(logits_file),
      steps_(steps),
      stop_(stop) {
    sampler_.forbid(tokenizer_.never());
}

/// Computes the tokens at pos_ and on; logits_ become those of the last one, none when the user interrupted.
std::optional<Failure> Session::compute(std::span<const int> tokens) {
    ahead_.reset();
    if (logits_file_ == nullptr) {
        const Logits wanted = wanted_logits();
        logits_ = engine_.prefill(tokens, pos_, stop_, wanted);
        head_ = wanted == Logits::kHead && stop_ == 0;
        pos_ += static_cast<int>(tokens.size());
    } else {
        for (const int& token : tokens) {
            logits_ = engine_.forward({&token, 1}, pos_++, Logits::kLast);
            if (std::optional<Failure> failed = logits_file_->write(std::as_bytes(logits_))) {
                return failed;
            }
            if (stop_ != 0) {
                break;
            }
        }
    }
    stats_.logits = logits_;
    return std::nullopt;
}

/// Decides whether the classifier's head is worth trying: where there is a tail to leave out, nobody reads all logits,
/// and half of the draws so far, beyond the first few, were proved.
Logits Session::wanted_logits() const {
    constexpr std::int64_t kFew = 32;
    const bool worth = stats_.certified + kFew >= stats_.fallen_back;
    return kPackedData.certificate.head_rows > 0 && worth ? Logits::kHead : Logits::kLast;
}

/// Has all logits of the last position there.
void Session::complete() {
    if (head_) {
        logits_ = engine_.complete();
        stats_.logits = logits_;
        head_ = false;
    }
}

std::optional<Failure> Session::check_finite(bool finite) const {
    if (!finite) {
        const bool f16 = std::string_view(kModel.kv_type) == "f16";
        return failure(
            kExitBadData,
            "the logits of position %d are not finite, expected numbers: the weights are damaged%s: bake the "
            "model again%s",
            pos_ - 1, f16 ? ", or keys and values too large for float16" : "", f16 ? " with -Dkv=f32" : "");
    }
    return std::nullopt;
}

/// Refuses tokens that came to the tokenizer after the model: they have no row.
std::optional<Failure> Session::check_rows(std::span<const int> tokens) const {
    const auto beyond =
        std::find_if(tokens.begin(), tokens.end(), [](int token) { return token >= kModel.vocab_size; });
    if (beyond == tokens.end()) {
        return std::nullopt;
    }
    const std::string piece(tokenizer_.piece(*beyond));
    return failure(kExitUsage, "the text has the token \"%s\" (%d), which this model has no row for: leave it out",
                   piece.c_str(), *beyond);
}

/// Computes a prompt, or the tokens of a chat's turn, and counts it as such.
std::optional<Failure> Session::compute_prompt(std::span<const int> tokens) {
    const std::int64_t start = now_ns();
    const int before = pos_;
    for (const int token : tokens) {
        sampler_.accept(token);
        draft_.accept(token);
    }
    std::optional<Failure> failed = compute(tokens);
    stats_.prompt_seconds += seconds_since(start);
    stats_.prompt_positions += pos_ - before;
    return failed;
}

/// Computes the token at pos_ of a text that goes on: with the one that may follow where guessing that pays, so that
/// one reading of the weights serves both; or not at all, if it was guessed.
std::optional<Failure> Session::advance(int token) {
    draft_.accept(token);
    const std::optional<int> guessed = std::exchange(ahead_, std::nullopt);
    if (guessed) {
        draft_.judge(*guessed == token);
        stats_.drafts = draft_.facts();
    }
    if (guessed == token) {
        choose_logits(1);
        ++pos_;
        logits_ = head_ ? std::span<float>{} : logits();
        stats_.logits = logits_;
        return std::nullopt;
    }
    const bool room = logits_file_ == nullptr && pos_ + 1 < steps_;
    const std::optional<int> guess = room ? draft_.guess() : std::nullopt;
    const std::int64_t start = now_ns();
    std::optional<Failure> failed;
    if (guess) {
        const int both[] = {token, *guess};
        head_ = wanted_logits() == Logits::kHead;
        logits_ = engine_.forward(both, pos_, head_ ? Logits::kHeadOfTwo : Logits::kLastTwo);
        stats_.logits = logits_;
        ++pos_;
        ahead_ = guess;
    } else {
        failed = compute({&token, 1});
    }
    draft_.took(guess ? 2 : 1, now_ns() - start);
    stats_.drafts = draft_.facts();
    return failed;
}

std::optional<Failure> Session::sample(int& token) {
    if (head_) {
        const HeadLogits head = head_logits();
        if (std::optional<Failure> failed = check_finite(head.facts.finite)) {
            return failed;
        }
        if (const std::optional<int> proven = sampler_.sample_head(head)) {
            ++stats_.certified;
            stats_.tail_rows = kModel.vocab_size - kPackedData.certificate.head_rows;
            token = *proven;
            sampler_.accept(token);
            return std::nullopt;
        }
        ++stats_.fallen_back;
        complete();
    }
    const LogitsFacts facts = logits_facts();
    if (std::optional<Failure> failed = check_finite(facts.finite)) {
        return failed;
    }
    token = sampler_.sample(logits_, facts.largest);
    sampler_.accept(token);
    return std::nullopt;
}

std::optional<Failure> Session::output_failure() const {
    if (out_.error() == 0) {
        return std::nullopt;
    }
    return failure(kExitIo, "standard output: writing failed: %s", std::strerror(out_.error()));
}

void Session::put_token(int previous, int token) {
    if (!tokenizer_.ends_text(token)) {
        out_.write(tokenizer_.decode(previous, token));
        out_.end_token();
    }
}

/// Samples and computes until the text ends, or is cut by `steps`, an interruption or a stop text. `previous` is the
/// token at position pos_ - 1; `said`, unless it is null, becomes the tokens that are part of the text.
std::optional<Failure> Session::answer(int previous, std::vector<int>* said) {
    int token = 0;
    const int first = pos_;
    std::optional<std::int64_t> start;
    std::optional<Failure> failed;
    const auto put = [&](std::string_view text) { out_.write(text); };
    while (stop_ == 0) {
        failed = sample(token);
        if (failed || tokenizer_.ends_text(token)) {
            break;
        }
        const bool stopped = stops_.add(tokenizer_.decode(previous, token), put);
        out_.end_token();
        failed = output_failure();
        // The first token belongs to the prompt's time, as in llama2.c.
        start = start.value_or(now_ns());
        if (said != nullptr) {
            said->push_back(token);
        }
        if (failed || stopped || pos_ == steps_ || out_.full()) {
            break;
        }
        failed = advance(token);
        if (failed) {
            break;
        }
        previous = token;
    }
    stops_.finish(put);
    if (start) {
        stats_.seconds += seconds_since(*start);
        stats_.positions += pos_ - first;
    }
    return failed;
}

/// Says something that does not end the run.
void Session::tell(const std::string& notice) {
    if (tell_ != nullptr) {
        tell_(notice);
    } else {
        warning_ = notice;
    }
}

std::optional<Failure> Session::generate(std::string_view prompt, Echo echo) {
    const std::vector<int> tokens = tokenizer_.encode(prompt);
    const int count = static_cast<int>(tokens.size());
    if (count > kModel.seq_len) {
        return failure(kExitUsage, "the prompt has %d tokens, the model's context %d: shorten the prompt", count,
                       kModel.seq_len);
    }
    if (std::optional<Failure> failed = check_rows(tokens)) {
        return failed;
    }
    // The echo comes first: whoever waits for a slow board sees that it has begun. llama2.c prints the token after
    // each position it computes, so `steps` of them. (The first one is BOS, which is not put, where a tokenizer sets
    // it.)
    int previous = -1;
    for (int i = 0; echo == Echo::kYes && i < count && i <= steps_; ++i) {
        const int token = tokens[static_cast<std::size_t>(i)];
        put_token(previous, token);
        previous = token;
    }
    const int positions = std::min(count, steps_);
    pos_ = 0;
    std::optional<Failure> failed = compute_prompt(std::span(tokens).first(static_cast<std::size_t>(positions)));
    if (!failed && count > steps_) {
        warning_ = message("the prompt has %d tokens, -n stops after %d: nothing was generated", count, steps_);
    } else if (!failed && !out_.full()) {
        failed = answer(tokens.back(), nullptr);
    }
    return end(failed);
}

/// Completes what was written, and the logits, of which the fingerprint needs all.
std::optional<Failure> Session::end(const std::optional<Failure>& failed) {
    out_.write("\n");
    out_.finish();
    complete();
    return failed ? failed : output_failure();
}

}  // namespace storybake
