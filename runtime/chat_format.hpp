// Says how a conversation is written down for the model: what stands between the messages, from the model's chat
// template.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace storybake {

/// Views a baked format. The blob, which codegen/chat.py writes, is little-endian:
///
///     u32 flags, name_size, text_size, parts[6]     the header; parts of each stretch of Between
///     u32 parts[sum of parts][3]                    id, or ~0 for text; begin and size of the text
///     u8  text[text_size]                           the name first; padded with zeros to a multiple of 4
///
/// flags: 1, there may be a system prompt; 2 and 4, white space around what the user, and the system prompt, say is
/// dropped.
class ChatFormat {
public:
    /// Names what stands between the messages.
    enum class Between : std::uint8_t {
        kUserFirst,    // stands before the first user's message, without a system prompt
        kSystemFirst,  // stands before the system prompt
        kAfterSystem,  // stands between it and the first user's message
        kAnswer,       // stands after a user's message: the model's turn
        kAnswered,     // does the same where the answer is known: kAnswer, and what a model would say first
        kNextUser,     // stands between an answer and the next user's message
    };
    static constexpr std::size_t kStretches = 6;

    /// Holds a turn as it is encoded: special tokens by their ids, texts between them.
    using Turn = std::vector<std::variant<int, std::string>>;

    /// Takes a blob that outlives the view, with ids below `pieces`; returns none when it points outside of itself.
    static std::optional<ChatFormat> view(std::span<const std::byte> baked, int pieces);

    /// Returns Llama 2's format, as llama2.c has it built in, for a tokenizer that says nothing.
    static ChatFormat llama2();

    /// Names where the format is from: "tokenizer_config.json", "llama2", ...
    [[nodiscard]] std::string_view name() const { return {text_, name_size_}; }

    [[nodiscard]] bool has_system() const { return (flags_ & 1U) != 0; }

    /// Appends what stands between two messages.
    void append(Turn& turn, Between between) const;

    /// Appends a message.
    void append_user(Turn& turn, std::string_view message) const { append_text(turn, trimmed(message, 2)); }
    void append_system(Turn& turn, std::string_view message) const { append_text(turn, trimmed(message, 4)); }

    /// Shows people what a first turn looks like; `piece` names a special token.
    template <class Piece>
    [[nodiscard]] std::string example(Piece piece) const {
        Turn turn;
        append(turn, Between::kUserFirst);
        append_text(turn, "...");
        append(turn, Between::kAnswer);
        std::string text;
        for (const auto& part : turn) {
            text += std::holds_alternative<int>(part) ? std::string(piece(std::get<int>(part)))
                                                      : std::get<std::string>(part);
        }
        return text;
    }

private:
    ChatFormat() = default;
    static void append_text(Turn& turn, std::string_view text);
    [[nodiscard]] std::string_view trimmed(std::string_view message, std::uint32_t flag) const;

    std::uint32_t flags_ = 0;
    std::size_t name_size_ = 0;
    std::array<std::size_t, kStretches + 1> first_{};  // is the first part of each stretch
    const std::byte* parts_ = nullptr;
    const char* text_ = nullptr;
};

}  // namespace storybake
