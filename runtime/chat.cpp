// Holds a chat: turns of the user and of the model, within the context.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <utility>

#include "generate.hpp"

namespace storybake {
namespace {

using Between = ChatFormat::Between;

/// Holds what was said, from the first turn that is remembered on.
class Conversation {
public:
    Conversation(const Tokenizer& tokenizer, const ChatFormat& format, std::string system)
        : tokenizer_(tokenizer), format_(format), system_(std::move(system)) {}

    [[nodiscard]] bool empty() const { return turns_.empty(); }
    void user_says(std::string text) { turns_.push_back({std::move(text), {}}); }
    void take_back() { turns_.pop_back(); }
    std::vector<int>& answer() { return turns_.back().answer; }

    /// Forgets the oldest turn; returns false when there is only the newest.
    bool forget_one() {
        if (turns_.size() < 2) {
            return false;
        }
        turns_.pop_front();
        return true;
    }

    /// Returns the tokens of the last turn alone, to go on after the answer before it; those of all turns, if it is the
    /// first.
    [[nodiscard]] std::vector<int> last() const {
        return turns_.size() == 1 ? all() : encode(turns_.size() - 1, turns_.size(), false);
    }
    [[nodiscard]] std::vector<int> all() const { return encode(0, turns_.size(), true); }

private:
    struct Turn {
        std::string user;
        std::vector<int> answer;
    };

    [[nodiscard]] std::vector<int> encode(std::size_t first, std::size_t end, bool begins) const {
        ChatFormat::Turn written;
        for (std::size_t i = first; i < end; ++i) {
            if (i > first || !begins) {
                format_.append(written, Between::kNextUser);
            } else if (system_.empty()) {
                format_.append(written, Between::kUserFirst);
            } else {
                format_.append(written, Between::kSystemFirst);
                format_.append_system(written, system_);
                format_.append(written, Between::kAfterSystem);
            }
            format_.append_user(written, turns_[i].user);
            format_.append(written, Between::kAnswer);
            written.insert(written.end(), turns_[i].answer.begin(), turns_[i].answer.end());
        }
        return tokenizer_.encode_turn(written, begins);
    }

    const Tokenizer& tokenizer_;
    const ChatFormat& format_;
    std::string system_;
    std::deque<Turn> turns_;
};

/// Reserves one position of so many for an answer: a conversation is cut before it is full.
constexpr int kAnswerShare = 4;

constexpr const char* kTurnTooLong = "this turn has %zu tokens, %d of %d positions are left: %s";
constexpr const char* kShorten = "shorten it, or raise -n";

}  // namespace

/// Reads one line from the user, without its end; returns false at the end of the input. A line that is too long is cut
/// to one byte more than kMaxPromptBytes. Fails with 74.
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

std::vector<int> first_turn(const Tokenizer& tokenizer, const std::string& message, const std::string& system) {
    Conversation conversation(tokenizer, *tokenizer.chat(), system);
    conversation.user_says(message);
    return conversation.all();
}

/// Refuses a model that doesn't chat, and a system prompt that it has no place for.
std::optional<Failure> Session::check_chat(const std::string& system) const {
    const std::optional<ChatFormat>& format = tokenizer_.chat();
    if (!format) {
        return failure(
            kExitUsage,
            "this model comes without a chat template: bake it with -Dchat=llama2, chatml, llama3, zephyr or gemma");
    }
    if (!system.empty() && !format->has_system()) {
        return failure(kExitUsage, "this model's chat template has no system prompt: leave -y out");
    }
    return std::nullopt;
}

/// Computes the tokens of a turn and the answer to them; `said` as answer() has it.
std::optional<Failure> Session::take_turn(std::span<const int> tokens, std::vector<int>* said) {
    // llama2.c draws a random number at every position, a prompt's included.
    for (std::size_t i = 1; i < tokens.size(); ++i) {
        sampler_.skip();
    }
    std::optional<Failure> failed = compute_prompt(tokens);
    return failed ? failed : answer(tokens.back(), said);
}

std::optional<Failure> Session::reply(const std::string& message, const std::string& system_prompt) {
    if (std::optional<Failure> refused = check_chat(system_prompt)) {
        return refused;
    }
    const std::vector<int> tokens = first_turn(tokenizer_, message, system_prompt);
    if (std::optional<Failure> unsayable = check_rows(tokens)) {
        return unsayable;
    }
    if (static_cast<int>(tokens.size()) > steps_) {
        return failure(kExitUsage, kTurnTooLong, tokens.size(), steps_, steps_, kShorten);
    }
    pos_ = 0;
    return end(take_turn(tokens, nullptr));
}

std::optional<Failure> Session::chat(int in, const std::optional<std::string>& system_prompt,
                                     const std::optional<std::string>& first_prompt) {
    std::string system = system_prompt.value_or("");
    if (std::optional<Failure> refused = check_chat(system)) {
        return refused;
    }
    const std::optional<ChatFormat>& format = tokenizer_.chat();
    Result<bool> asked = true;
    if (!system_prompt && format->has_system()) {
        asked = ask(in, "Enter system prompt (optional): ", system);
    }
    const auto too_long = [](const std::string& text) { return text.size() > kMaxPromptBytes; };
    Conversation conversation(tokenizer_, *format, system);
    bool told = false;
    std::optional<Failure> failed;
    std::string user = first_prompt.value_or("");
    for (bool first = true; stop_ == 0; first = false) {
        if (asked && *asked && !(first && first_prompt)) {
            asked = ask(in, "User: ", user);
        }
        if (!asked) {
            failed = asked.failure();
        } else if (*asked && (too_long(user) || too_long(system))) {
            failed = failure(kExitUsage, "a line of more than %zu bytes, the most that is read: shorten it",
                             kMaxPromptBytes);
        }
        if (failed || !*asked) {
            break;
        }
        conversation.user_says(user);
        std::vector<int> tokens = conversation.last();
        if (std::optional<Failure> unsayable = check_rows(tokens)) {
            if (first) {
                failed = std::move(unsayable);
                break;
            }
            tell(unsayable->message);
            conversation.take_back();
            continue;
        }
        const auto fits = [&](int before) {
            return before + static_cast<int>(tokens.size()) <= steps_ - steps_ / kAnswerShare;
        };
        bool forgot = false;
        if (!fits(pos_)) {
            while (conversation.forget_one()) {
                forgot = true;
                tokens = conversation.all();
                if (fits(0)) {
                    break;
                }
            }
        }
        const int left = steps_ - (forgot ? 0 : pos_);
        if (static_cast<int>(tokens.size()) > left) {
            if (first) {
                failed = failure(kExitUsage, kTurnTooLong, tokens.size(), left, steps_, kShorten);
                break;
            }
            tell(message(kTurnTooLong, tokens.size(), left, steps_, "say it shorter"));
            conversation.take_back();
            if (forgot) {
                pos_ = 0;  // what is remembered is computed anew with the next turn
            }
            continue;
        }
        if (forgot) {
            pos_ = 0;
            if (!told) {
                tell(message("the conversation fills the %d positions: its oldest turns are forgotten", steps_));
            }
            told = true;
        }
        out_.write("Assistant: ");
        out_.end_token();
        failed = take_turn(tokens, &conversation.answer());
        if (failed || stop_ != 0) {
            break;
        }
        out_.write("\n");
    }
    return end(failed);
}

}  // namespace storybake
