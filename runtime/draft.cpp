#include "draft.hpp"

#include <algorithm>

#include "little_endian.hpp"

namespace storybake {
namespace {

constexpr std::size_t kSlotBytes = 4;
constexpr std::size_t kBucketBytes = Draft::kSlots * kSlotBytes;

}  // namespace

std::uint32_t Draft::hash(std::uint32_t so_far, std::uint32_t token) {
    const std::uint32_t mixed = (so_far + token + 1) * 0x9e3779b1U;
    return mixed ^ (mixed >> 15);
}

void Draft::accept(int token) {
    std::copy_backward(last_, last_ + kOrder - 1, last_ + kOrder);
    last_[0] = static_cast<std::uint32_t>(token);
    known_ = std::min(known_ + 1, kOrder);
}

/// Finds the guess of the most tokens that the table knows.
std::optional<Draft::Guess> Draft::look_up() const {
    const std::size_t buckets = table_.size() / kBucketBytes;
    std::optional<Guess> found;
    std::uint32_t hashed = 0;
    for (std::size_t order = 0; order < known_ && buckets > 0; ++order) {
        hashed = hash(hashed, last_[order]);
        const std::byte* bucket = table_.data() + (hashed & (buckets - 1)) * kBucketBytes;
        for (std::size_t i = 0; i < kSlots; ++i) {
            const auto slot = load<std::uint32_t>(bucket + i * kSlotBytes);
            if (slot >> 28 != 0 && ((slot >> 16) & 0xfff) == hashed >> 20) {
                found = {static_cast<int>(slot & 0xffff), (slot >> 28) / 16.0};
            }
        }
    }
    return found;
}

/// Decides by the measured times, and by how often guesses have been right for what the table promised: the first
/// passes take turns, and every 64th is the other way, in case the machine has changed its speed.
bool Draft::pays(double chance) {
    constexpr int kFirst = 8;
    constexpr int kAgain = 64;
    constexpr double kFew = 8.0;  // counts for as many right guesses as expected
    const int pass = passes_++;
    if (pass < kFirst || one_.samples == 0 || two_.samples == 0) {
        return pass % 2 != 0;
    }
    const double trust = (static_cast<double>(facts_.right) + kFew) / (expected_ + kFew);
    const bool pays = chance * trust > facts_.cost - 1.0;
    return pass % kAgain == 0 ? !pays : pays;
}

std::optional<int> Draft::guess() {
    const std::optional<Guess> found = when_ == Drafting::kNever ? std::nullopt : look_up();
    if (!found || (when_ == Drafting::kAuto && !pays(found->chance))) {
        return std::nullopt;
    }
    chance_ = found->chance;
    return found->token;
}

void Draft::took(int positions, std::int64_t ns) {
    Clock& clock = positions == 1 ? one_ : two_;
    // Interruptions only make a pass longer, and a longer text does so slowly.
    clock.ns = clock.samples == 0 ? ns : std::min(ns, clock.ns + clock.ns / 64 + 1);
    ++clock.samples;
    if (one_.samples > 0 && two_.samples > 0) {
        facts_.cost = static_cast<double>(two_.ns) / static_cast<double>(std::max<std::int64_t>(one_.ns, 1));
    }
}

void Draft::judge(bool right) {
    ++facts_.made;
    facts_.right += right ? 1 : 0;
    expected_ += chance_;
}

}  // namespace storybake
