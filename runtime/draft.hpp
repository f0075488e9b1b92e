// Guesses the token behind the next one, so that one reading of the weights may serve two positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace storybake {

/// Says when a guess is computed: where that is measured to pay, always, never.
enum class Drafting { kAuto, kAlways, kNever };

/// Holds what drafts came to.
struct DraftFacts {
    std::int64_t made = 0;   // guesses that were computed, and answered by a token
    std::int64_t right = 0;  // of these, the ones that were that token
    double cost = 0.0;       // is what two positions take, in times of one; 0: not measured
};

/// Looks guesses up in a table of the model's own stories, and decides whether computing one pays. A guess is computed
/// beside the token that was drawn; the next token is drawn from the true logits whatever was guessed, so that a wrong
/// one costs time and nothing else.
///
/// The table is what codegen/draft.py makes: 2^n buckets of kSlots little-endian slots. A slot guesses the token that
/// follows the last 1 to kOrder tokens whose hash leads to the bucket and whose check it has.
class Draft {
public:
    static constexpr std::size_t kOrder = 4;
    static constexpr std::size_t kSlots = 4;

    /// Leads from the hash of the last tokens to that of one more, before them; 0 is that of none.
    static std::uint32_t hash(std::uint32_t so_far, std::uint32_t token);

    /// Takes the baked table, empty for none.
    explicit Draft(std::span<const std::byte> table, Drafting when = Drafting::kAuto) : table_(table), when_(when) {}

    void draft(Drafting when) { when_ = when; }

    /// Accepts the text's next token.
    void accept(int token);

    /// Returns the token that may follow the last one, where computing it at once is worth it.
    std::optional<int> guess();

    /// Notes how long it took to compute one position, or two.
    void took(int positions, std::int64_t ns);

    /// Notes whether the guess that was computed was right.
    void judge(bool right);

    [[nodiscard]] const DraftFacts& facts() const { return facts_; }

private:
    /// Holds a guess and how often it is right, by the table.
    struct Guess {
        int token;
        double chance;
    };

    /// Keeps the time of the last passes that nothing disturbed.
    struct Clock {
        std::int64_t ns = 0;
        int samples = 0;
    };

    [[nodiscard]] std::optional<Guess> look_up() const;
    [[nodiscard]] bool pays(double chance);

    std::span<const std::byte> table_;
    Drafting when_;
    std::uint32_t last_[kOrder] = {};  // holds the last tokens, the latest first
    std::size_t known_ = 0;            // counts those that there are
    double expected_ = 0.0;            // sums the chances of the guesses that were computed
    double chance_ = 0.0;              // is that of the one that is computed now
    Clock one_, two_;
    int passes_ = 0;
    DraftFacts facts_;
};

}  // namespace storybake
