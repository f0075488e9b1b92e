#include "generate.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
      stop_(stop) {}

/// Computes the tokens at pos_ and on; logits_ are those of the last one, none when the user interrupted.
std::optional<Failure> Session::compute(std::span<const int> tokens) {
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

/// Whether the classifier's head is worth trying: where there is a tail to leave out, nobody reads all logits, and half
/// of the draws so far, beyond the first few, were proved.
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

/// Samples and computes until the text ends. `previous` is the token at position pos_ - 1; `last` becomes the one that
/// ended the text, or -1 when it was cut by `steps` or an interruption.
std::optional<Failure> Session::answer(int previous, int& last) {
    last = -1;
    int token = 0;
    const int first = pos_;
    std::optional<std::int64_t> start;
    std::optional<Failure> failed;
    while (stop_ == 0) {
        failed = sample(token);
        if (failed) {
            break;
        }
        if (tokenizer_.ends_text(token)) {
            last = token;
            break;
        }
        put_token(previous, token);
        failed = output_failure();
        // The first token belongs to the prompt's time, as in llama2.c.
        start = start.value_or(now_ns());
        if (failed || pos_ == steps_ || out_.full()) {
            break;
        }
        failed = compute({&token, 1});
        if (failed) {
            break;
        }
        previous = token;
    }
    if (start) {
        stats_.seconds += seconds_since(*start);
        stats_.positions += pos_ - first;
    }
    return failed;
}

std::optional<Failure> Session::generate(std::string_view prompt, Echo echo) {
    const std::vector<int> tokens = tokenizer_.encode(prompt);
    const int count = static_cast<int>(tokens.size());
    if (count > kModel.seq_len) {
        return failure(kExitUsage, "the prompt has %d tokens, the model's context %d: shorten the prompt", count,
                       kModel.seq_len);
    }
    // The echo comes first: whoever waits for a slow board sees that it has begun. llama2.c prints the token after
    // each position it computes, so `steps` of them. (The first one is BOS, which is not put, where a tokenizer sets
    // it.)
    int previous = tokens.front();
    for (int i = 0; echo == Echo::kYes && i < count && i <= steps_; ++i) {
        const int token = tokens[static_cast<std::size_t>(i)];
        put_token(previous, token);
        previous = token;
    }
    const std::int64_t start = now_ns();
    const int positions = std::min(count, steps_);
    pos_ = 0;
    std::optional<Failure> failed = compute(std::span(tokens).first(static_cast<std::size_t>(positions)));
    stats_.prompt_seconds += seconds_since(start);
    stats_.prompt_positions += pos_;
    if (!failed && count > steps_) {
        warning_ =
            failure(0, "the prompt has %d tokens, -n stops after %d: nothing was generated", count, steps_).message;
    } else if (!failed && !out_.full()) {
        int last = 0;
        failed = answer(tokens.back(), last);
    }
    out_.write("\n");
    out_.finish();
    complete();  // for the fingerprint
    return failed ? failed : output_failure();
}

/// One line from the user, without its end; false at the end of the input. A line that is too long is cut to one byte
/// more than kMaxPromptBytes. Fails with 74.
Result<bool> Session::ask(int in, std::string_view guide, std::string& line) {
    out_.write(guide);
    out_.finish();
    std::size_t end = 0;
    while ((end = input_.find('\n')) == std::string::npos && input_.size() <= kMaxPromptBytes) {
        // A signal may come between any check of stop_ and a read(), or to another thread: look ten times a second.
        pollfd ready = {in, POLLIN, 0};
        char block[4096];
        const int polled = ::poll(&ready, 1, 100);
        const ssize_t size = polled > 0 ? ::read(in, block, sizeof block) : polled;
        if (size > 0) {
            input_.append(block, static_cast<std::size_t>(size));
        } else if (size < 0 && errno != EINTR) {
            return failure(kExitIo, "standard input: reading failed: %s", std::strerror(errno));
        } else if (polled > 0 && size == 0) {
            break;
        } else if (stop_ != 0) {
            return false;
        }
    }
    if (end == std::string::npos && input_.empty()) {
        return false;
    }
    line = input_.substr(0, std::min(end, kMaxPromptBytes + 1));
    input_.erase(0, end == std::string::npos ? end : end + 1);
    if (!line.empty() && line.back() == '\r') {
        line.pop_back();
    }
    return stop_ == 0;
}

std::optional<Failure> Session::chat(int in, const std::optional<std::string>& system_prompt,
                                     const std::optional<std::string>& first_prompt) {
    std::string system;
    std::string user;
    std::vector<int> tokens;  // to be computed before the next answer
    std::optional<Failure> failed;
    for (bool first_turn = true; !failed && stop_ == 0; first_turn = false) {
        Result<bool> asked = true;
        if (first_turn) {
            system = system_prompt.value_or("");
            if (!system_prompt) {
                asked = ask(in, "Enter system prompt (optional): ", system);
            }
        }
        if (first_turn && first_prompt) {
            user = *first_prompt;
        } else if (asked && *asked) {
            asked = ask(in, "User: ", user);
        }
        if (!asked) {
            failed = asked.failure();
            break;
        }
        if (!*asked) {
            break;
        }
        if (std::max(user.size(), system.size()) > kMaxPromptBytes) {
            failed = failure(kExitUsage, "a line of more than %zu bytes, the most that is read: shorten it",
                             kMaxPromptBytes);
            break;
        }
        std::string rendered = "[INST] ";
        if (first_turn && !system.empty()) {
            rendered.append("<<SYS>>\n").append(system).append("\n<</SYS>>\n\n");
        }
        rendered.append(user).append(" [/INST]");
        const std::vector<int> turn = tokenizer_.encode(rendered);
        tokens.insert(tokens.end(), turn.begin(), turn.end());
        const int left = steps_ - pos_;
        if (tokens.size() > static_cast<std::size_t>(left)) {
            const char* const format = "this turn has %zu tokens, %d of %d positions are left: %s";
            if (first_turn) {
                failed = failure(kExitUsage, format, tokens.size(), left, steps_, "shorten it, or raise -n");
            } else {
                warning_ = failure(0, format, tokens.size(), left, steps_, "the conversation ends").message;
            }
            break;
        }
        out_.write("Assistant: ");
        out_.end_token();
        // llama2.c draws a random number at every position, a prompt's included.
        for (std::size_t i = 1; i < tokens.size(); ++i) {
            sampler_.skip();
        }
        const std::int64_t start = now_ns();
        const int before = pos_;
        failed = compute(tokens);
        stats_.prompt_seconds += seconds_since(start);
        stats_.prompt_positions += pos_ - before;
        int last = -1;
        if (!failed) {
            failed = answer(tokens.back(), last);
        }
        if (last < 0) {
            break;
        }
        out_.write("\n");
        tokens.assign(1, last);
    }
    out_.write("\n");
    out_.finish();
    complete();
    return failed ? failed : output_failure();
}

}  // namespace storybake
