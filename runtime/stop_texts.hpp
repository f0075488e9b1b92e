// Ends a story where the model writes one of the texts of --stop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace storybake {

/// Lets a text through up to where one of the stop texts begins; what may be the beginning of one waits for the rest.
class StopTexts {
public:
    StopTexts() = default;

    /// Takes the stop texts, none of which is empty.
    explicit StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {}

    /// Takes more of the text and hands on, by out(bytes), what belongs to no stop text. Returns true when one is
    /// there: what came before it has been handed on, the rest is dropped.
    template <class Out>
    bool add(std::string_view bytes, Out out) {
        if (texts_.empty()) {
            out(bytes);
            return false;
        }
        held_.append(bytes);
        std::size_t end = std::string::npos;
        for (const std::string& text : texts_) {
            end = std::min(end, held_.find(text));
        }
        const bool found = end != std::string::npos;
        if (!found) {
            end = held_.size() - longest_beginning();
        }
        out(std::string_view(held_).substr(0, end));
        held_.erase(0, found ? std::string::npos : end);
        return found;
    }

    /// Hands on what still waits: the text has ended.
    template <class Out>
    void finish(Out out) {
        out(std::string_view(held_));
        held_.clear();
    }

private:
    /// Counts the bytes at the end of held_ that a stop text begins with.
    [[nodiscard]] std::size_t longest_beginning() const {
        std::size_t longest = 0;
        for (const std::string& text : texts_) {
            for (std::size_t size = std::min(text.size() - 1, held_.size()); size > longest; --size) {
                if (std::string_view(held_).substr(held_.size() - size) == std::string_view(text).substr(0, size)) {
                    longest = size;
                }
            }
        }
        return longest;
    }

    std::vector<std::string> texts_;
    std::string held_;
};

}  // namespace storybake
