// Guesses: how they are looked up, and when one is worth computing.
#include "draft.hpp"

#include <gtest/gtest.h>

#include "fake_model.hpp"

namespace storybake {
namespace {

/// The fake model's table, without guesses at first.
Draft drafts(Drafting when) {
    return Draft(std::as_bytes(std::span(fake::guesses)), when);
}

std::optional<int> after(Draft& draft, std::initializer_list<int> tokens) {
    for (const int token : tokens) {
        draft.accept(token);
    }
    return draft.guess();
}

TEST(Draft, TheMostTokensThatAreKnownGuess) {
    fake::reset();
    fake::guess({5}, 7, 8);
    fake::guess({4, 5}, 8, 8);
    fake::guess({1, 2, 3, 4}, 9, 1);
    Draft draft = drafts(Drafting::kAlways);
    EXPECT_EQ(draft.guess(), std::nullopt) << "nothing was heard yet";
    EXPECT_EQ(after(draft, {5}), 7);
    EXPECT_EQ(after(draft, {4, 5}), 8);
    EXPECT_EQ(after(draft, {6, 5}), 7);
    EXPECT_EQ(after(draft, {1, 2, 3, 4}), 9);
    EXPECT_EQ(after(draft, {5, 1, 2, 3, 6}), std::nullopt);
    draft.draft(Drafting::kNever);
    EXPECT_EQ(after(draft, {5}), std::nullopt);
}

TEST(Draft, WithoutATableNothingIsGuessed) {
    Draft draft({}, Drafting::kAlways);
    EXPECT_EQ(after(draft, {0, 1, 2, 3, 4}), std::nullopt);
}

/// Lets so many passes go by that take as long as told, and counts those with a guess, `right` of 16 of which are
/// right.
int guessed(Draft& draft, int passes, std::int64_t one, std::int64_t two, int right) {
    int count = 0;
    for (int pass = 0; pass < passes; ++pass) {
        if (after(draft, {5})) {
            draft.took(2, two);
            draft.judge(count++ % 16 < right);
        } else {
            draft.took(1, one);
        }
    }
    return count;
}

TEST(Draft, AGuessIsComputedWhereThatWasMeasuredToPay) {
    fake::reset();
    fake::guess({5}, 7, 8);  // right half of the time
    Draft cheap = drafts(Drafting::kAuto);
    EXPECT_GE(guessed(cheap, 640, 1000, 1300, 8), 600);
    EXPECT_DOUBLE_EQ(cheap.facts().cost, 1.3);
    Draft dear = drafts(Drafting::kAuto);
    const int tried = guessed(dear, 640, 1000, 1700, 8);
    EXPECT_LE(tried, 16) << "the first passes, and every 64th";
    EXPECT_GE(tried, 8);
    EXPECT_GE(guessed(dear, 640, 2000, 2100, 8), 500) << "the machine has changed its speed";
    EXPECT_LE(guessed(cheap, 640, 1000, 1900, 8), 100);
}

TEST(Draft, ATableThatIsWrongIsLeftAlone) {
    fake::reset();
    fake::guess({5}, 7, 15);
    Draft draft = drafts(Drafting::kAuto);
    EXPECT_LE(guessed(draft, 640, 1000, 1400, 0), 64);
    EXPECT_EQ(draft.facts().right, 0);
}

}  // namespace
}  // namespace storybake
