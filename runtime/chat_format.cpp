#include "chat_format.hpp"

#include <algorithm>
#include <array>

#include "little_endian.hpp"
#include "utf8.hpp"

namespace storybake {
namespace {

constexpr std::size_t kHeaderWords = 3 + ChatFormat::kStretches;
constexpr std::uint32_t kText = 0xffffffff;

}  // namespace

std::optional<ChatFormat> ChatFormat::view(std::span<const std::byte> baked, int pieces) {
    const auto word = [&](std::size_t index) { return load<std::uint32_t>(&baked[4 * index]); };
    if (baked.size() < 4 * kHeaderWords) {
        return std::nullopt;
    }
    ChatFormat format;
    format.flags_ = word(0);
    format.name_size_ = word(1);
    const std::uint64_t text_size = word(2);
    for (std::size_t i = 0; i < kStretches; ++i) {
        format.first_[i + 1] = format.first_[i] + word(3 + i);
    }
    const std::uint64_t parts = format.first_[kStretches];
    const std::uint64_t text = 4 * kHeaderWords + 12 * parts;
    if (baked.size() != text + (text_size + 3) / 4 * 4 || format.name_size_ > text_size) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < parts; ++i) {
        const std::size_t at = kHeaderWords + 3 * i;
        const bool inside = std::uint64_t{word(at + 1)} + word(at + 2) <= text_size;
        if (word(at) == kText ? !inside : word(at) >= static_cast<std::uint32_t>(pieces)) {
            return std::nullopt;
        }
    }
    format.parts_ = baked.data() + 4 * kHeaderWords;
    format.text_ = reinterpret_cast<const char*>(baked.data() + text);
    return format;
}

ChatFormat ChatFormat::llama2() {
    // Keep the bytes in no block of memory: a static object would hold it until after the program's end.
    static const auto kBlob = [] {
        constexpr std::uint32_t kBegin = 1;  // BOS, and EOS
        constexpr std::uint32_t kEnd = 2;
        constexpr std::string_view kTexts[] = {"llama2", "[INST] ", "<<SYS>>\n", "\n<</SYS>>\n\n", " [/INST]"};
        std::vector<std::byte> blob;
        std::string text;
        for (const std::string_view part : kTexts) {
            text += part;
        }
        const auto put = [&](auto... words) { (storybake::append(blob, static_cast<std::uint32_t>(words)), ...); };
        put(1, kTexts[0].size(), text.size(), 2, 3, 1, 1, 1, 3);
        const auto put_text = [&](std::size_t which) { put(kText, text.find(kTexts[which]), kTexts[which].size()); };
        const auto put_id = [&](std::uint32_t id) { put(id, 0, 0); };
        put_id(kBegin), put_text(1);                // kUserFirst
        put_id(kBegin), put_text(1), put_text(2);   // kSystemFirst
        put_text(3), put_text(4), put_text(4);      // kAfterSystem, kAnswer, kAnswered
        put_id(kEnd), put_id(kBegin), put_text(1);  // kNextUser
        const auto* const bytes = reinterpret_cast<const std::byte*>(text.data());
        blob.insert(blob.end(), bytes, bytes + text.size());
        std::array<std::byte, 208> whole = {};  // header, 11 parts, text
        std::copy(blob.begin(), blob.end(), whole.begin());
        return whole;
    }();
    return *view(kBlob, 3);
}

void ChatFormat::append(Turn& turn, Between between) const {
    const auto stretch = static_cast<std::size_t>(between);
    for (std::size_t i = first_[stretch]; i < first_[stretch + 1]; ++i) {
        const std::byte* const part = parts_ + 12 * i;
        if (const auto id = load<std::uint32_t>(part); id != kText) {
            turn.emplace_back(static_cast<int>(id));
        } else {
            append_text(turn, {text_ + load<std::uint32_t>(part + 4), load<std::uint32_t>(part + 8)});
        }
    }
}

/// Texts that follow each other are one, as they are when the whole conversation is encoded.
void ChatFormat::append_text(Turn& turn, std::string_view text) {
    if (!turn.empty() && std::holds_alternative<std::string>(turn.back())) {
        std::get<std::string>(turn.back()).append(text);
    } else if (!text.empty()) {
        turn.emplace_back(std::string(text));
    }
}

std::string_view ChatFormat::trimmed(std::string_view message, std::uint32_t flag) const {
    if ((flags_ & flag) != 0) {
        message.remove_prefix(leading_space(message));
        message.remove_suffix(trailing_space(message));
    }
    return message;
}

}  // namespace storybake
