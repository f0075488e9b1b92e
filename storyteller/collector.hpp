// Collects what the model tells in silence.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "storyteller/narrator.hpp"
#include "storyteller/sentences.hpp"
#include "text_output.hpp"

namespace storybake::speech {

/// Collects a text that nobody hears, token by token, up to so many sentences; 0: all.
class Collector final : public TextSink {
public:
    explicit Collector(const Controls& controls, int sentences = 0)
        : TextSink(true), controls_(controls), sentences_(sentences) {}

    [[nodiscard]] bool full() const override { return controls_.cut || (sentences_ > 0 && complete_ >= sentences_); }

    /// Forgets the text.
    void clear() {
        text.clear();
        ends.clear();
        complete_ = 0;
        seen_ = 0;
    }

    std::string text;
    std::vector<std::size_t> ends;  // are where its tokens end

private:
    int emit(std::string_view part) override {
        controls_.alive();
        text += part;
        ends.push_back(text.size());
        while (const std::size_t length = first_sentence(std::string_view(text).substr(seen_), false)) {
            seen_ += length;
            ++complete_;
        }
        return 0;
    }

    const Controls& controls_;
    int sentences_;
    int complete_ = 0;
    std::size_t seen_ = 0;
};

}  // namespace storybake::speech
