#include "sampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "exp.hpp"
#include "stop_texts.hpp"

namespace storybake {
namespace {

/// llama2.c's sampling, written as plainly as it is: sorts everything.
class Reference {
public:
    Reference(float temperature, float topp, std::uint64_t seed)
        : temperature_(temperature), topp_(topp), state_(seed) {}

    int sample(std::vector<float> p) {
        const std::size_t n = p.size();
        float largest = p[0] / temperature_;
        for (float& x : p) {
            x /= temperature_;
            largest = std::max(largest, x);
        }
        float sum = 0.0F;
        for (float& x : p) {
            x = exp_f32(x - largest);
            sum += x;
        }
        for (float& x : p) {
            x /= sum;
        }
        const float coin = draw();
        float cdf = 0.0F;
        if (topp_ <= 0.0F || topp_ >= 1.0F) {
            for (std::size_t i = 0; i < n; ++i) {
                cdf += p[i];
                if (coin < cdf) {
                    return static_cast<int>(i);
                }
            }
            return static_cast<int>(n) - 1;
        }
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < n; ++i) {
            if (p[i] >= (1.0F - topp_) / static_cast<float>(n - 1)) {
                order.push_back(i);
            }
        }
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
        float cumulative = 0.0F;
        std::size_t last = order.size() - 1;
        for (std::size_t i = 0; i < order.size(); ++i) {
            cumulative += p[order[i]];
            if (cumulative > topp_) {
                last = i;
                break;
            }
        }
        const float r = coin * cumulative;
        for (std::size_t i = 0; i <= last; ++i) {
            cdf += p[order[i]];
            if (r < cdf) {
                return static_cast<int>(order[i]);
            }
        }
        return static_cast<int>(order[last]);
    }

private:
    float draw() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<float>(((state_ * 0x2545F4914F6CDD1DU) >> 32) >> 8 & 0xffffffU) / 16777216.0F;
    }

    float temperature_, topp_;
    std::uint64_t state_;
};

std::vector<float> random_logits(std::mt19937& random, std::size_t n, float scale, bool ties) {
    std::normal_distribution<float> normal(0.0F, scale);
    std::vector<float> logits(n);
    for (float& x : logits) {
        x = ties ? std::round(normal(random)) : normal(random);
    }
    return logits;
}

TEST(Sampler, EqualsLlama2c) {
    std::mt19937 random(1);
    for (const std::size_t n : {2U, 3U, 31U, 512U, 2000U}) {
        for (const float topp : {0.0F, 0.5F, 0.9F, 0.999999F, 1.0F}) {
            for (const float temperature : {0.1F, 0.8F, 1.0F, 5.0F}) {
                Sampler sampler(static_cast<int>(n), temperature, topp, 42);
                Reference reference(temperature, topp, 42);
                for (int i = 0; i < 40; ++i) {
                    // every third flat: most tokens are candidates
                    const auto logits = random_logits(random, n, i % 3 == 0 ? 0.3F : 3.0F, i % 2 == 0);
                    ASSERT_EQ(sampler.sample(logits), reference.sample(logits))
                        << "n " << n << ", topp " << topp << ", temperature " << temperature << ", draw " << i;
                }
            }
        }
    }
}

TEST(Sampler, EqualsLlama2cWithManyCandidates) {
    std::mt19937 random(2);
    constexpr std::size_t kVocabSize = 32000;
    for (const float topp : {0.1F, 0.5F, 0.9F, 0.999F, 0.999999F}) {
        Sampler sampler(kVocabSize, 1.0F, topp, 42);
        Reference reference(1.0F, topp, 42);
        for (const float scale : {0.001F, 0.3F, 2.0F, 4.0F, 8.0F}) {
            for (const bool ties : {false, true}) {
                const auto logits = random_logits(random, kVocabSize, scale, ties);
                ASSERT_EQ(sampler.sample(logits), reference.sample(logits)) << "topp " << topp << ", scale " << scale;
            }
        }
    }
}

TEST(Sampler, KnownNumbersOfTheGenerator) {
    // With two equal logits and all tokens allowed, the token is the upper bit of xorshift64*.
    Sampler sampler(2, 1.0F, 1.0F, 133742);
    std::uint64_t state = 133742;
    const std::vector<float> flat(2, 0.0F);
    for (int i = 0; i < 100; ++i) {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        const bool upper_half = (state * 0x2545F4914F6CDD1DU) >> 63 != 0;
        ASSERT_EQ(sampler.sample(flat), upper_half ? 1 : 0) << i;
    }
}

TEST(Sampler, TemperatureZeroIsTheFirstMaximum) {
    Sampler sampler(4, 0.0F, 0.9F, 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2}), 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{-1, -3, -3, -2}), 0);
}

TEST(Sampler, SkipDrawsAsSampleDoes) {
    std::mt19937 random(5);
    const auto logits = random_logits(random, 100, 1.0F, false);
    Sampler a(100, 1.0F, 0.9F, 7);
    Sampler b(100, 1.0F, 0.9F, 7);
    for (int i = 0; i < 50; ++i) {
        a.skip();
        b.sample(logits);
        ASSERT_EQ(a.sample(logits), b.sample(logits));
    }
}

TEST(Sampler, LogitsAreNotChanged) {
    std::vector<float> logits{1, 2, 3};
    Sampler sampler(3, 0.5F, 0.9F, 7);
    sampler.sample(logits);
    EXPECT_EQ(logits, (std::vector<float>{1, 2, 3}));
}

TEST(Sampler, OneToken) {
    for (const float topp : {0.0F, 0.5F, 0.9F, 1.0F}) {
        Sampler sampler(1, 1.0F, topp, 9);
        EXPECT_EQ(sampler.sample(std::vector<float>{0.5F}), 0);
    }
}

TEST(Sampler, TheLargestCoinTakesTheLast) {
    // The seed whose first number is 1 - 2^-24: more than the sum of the rounded twelfths, of which none is beyond it.
    constexpr std::uint64_t kLargest = 0xa8d395be4b19cce8U;
    for (const int n : {2, 12, 19, 100}) {
        for (const float topp : {0.5F, 0.99999994F, 1.0F}) {
            Reference reference(1.0F, topp, kLargest);
            const std::vector<float> flat(static_cast<std::size_t>(n), 1.0F);
            Sampler sampler(n, 1.0F, topp, kLargest);
            const int token = sampler.sample(flat);
            EXPECT_EQ(token, reference.sample(flat));
            EXPECT_TRUE(topp < 0.6F || token == n - 1) << n << " " << topp << " " << token;
        }
    }
}

TEST(Sampler, FlatLogitsWithATinyToppTakeTheFirst) {
    // (1 - topp) / (n - 1) is above 1 / n here: llama2.c finds no candidate and reads probindex[-1].
    Sampler sampler(10, 1.0F, 0.001F, 9);
    EXPECT_EQ(sampler.sample(std::vector<float>(10, 2.5F)), 0);
    EXPECT_EQ(sampler.sample(std::vector<float>(10, -2.5F)), 0);
}

TEST(Sampler, BrokenLogitsNeverReachOutOfBounds) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    const float values[] = {kNan, -kNan, kInfinity, -kInfinity, 0.0F, 1.0F, 3e38F, -3e38F};
    std::mt19937 random(6);
    for (int round = 0; round < 3000; ++round) {
        const std::size_t n = 1 + random() % 6;
        std::vector<float> logits(n);
        for (float& x : logits) {
            x = values[random() % std::size(values)];
        }
        for (const float temperature : {0.0F, 1e-30F, 1.0F, 1e30F}) {
            for (const float topp : {0.0F, 0.3F, 0.9F}) {
                Sampler sampler(static_cast<int>(n), temperature, topp, 1 + round);
                const int token = sampler.sample(logits);
                ASSERT_GE(token, 0);
                ASSERT_LT(token, static_cast<int>(n));
            }
        }
    }
}

TEST(Sampler, TinyTemperatureIsGreedy) {
    Sampler sampler(3, 1e-30F, 0.9F, 3);
    EXPECT_EQ(sampler.sample(std::vector<float>{1, 5, 2}), 1);
    EXPECT_EQ(sampler.sample(std::vector<float>{1e20F, 5e20F, 2e20F}), 1) << "the quotients overflow";
}

// What llama2.c's sampler does not have.

/// The definition of docs/arithmetic.md, as plainly as it is: the logits of the tokens that are left, and only those,
/// go to llama2.c's sampler.
int restricted(const std::vector<float>& logits, const Sampling& s, const std::vector<int>& heard,
               const std::vector<int>& forbidden, float temperature, float topp, std::uint64_t seed) {
    std::vector<float> adjusted = logits;
    const std::size_t last = s.repeat_last_n == 0 ? heard.size() : static_cast<std::size_t>(s.repeat_last_n);
    for (std::size_t token = 0; token < logits.size(); ++token) {
        for (std::size_t back = 1; back <= std::min(last, heard.size()); ++back) {
            if (heard[heard.size() - back] == static_cast<int>(token)) {
                float& x = adjusted[token];
                x = x > 0.0F ? x / s.repeat_penalty : x * s.repeat_penalty;
                break;
            }
        }
    }
    std::vector<int> left;
    for (int token = 0; token < static_cast<int>(logits.size()); ++token) {
        if (std::find(forbidden.begin(), forbidden.end(), token) == forbidden.end()) {
            left.push_back(token);
        }
    }
    const auto logit = [&](int token) { return adjusted[static_cast<std::size_t>(token)]; };
    if (s.top_k > 0 && static_cast<std::size_t>(s.top_k) < left.size()) {
        std::stable_sort(left.begin(), left.end(), [&](int a, int b) { return logit(a) > logit(b); });
        left.resize(static_cast<std::size_t>(s.top_k));
        std::sort(left.begin(), left.end());
    }
    float largest = -std::numeric_limits<float>::infinity();
    for (const int token : left) {
        largest = std::max(largest, logit(token));
    }
    if (temperature != 0.0F && s.min_p > 0.0F) {
        std::erase_if(left,
                      [&](int token) { return exp_f32(logit(token) / temperature - largest / temperature) < s.min_p; });
    }
    std::vector<float> few;
    for (const int token : left) {
        few.push_back(logit(token));
    }
    Sampler plain(static_cast<int>(few.size()), temperature, few.size() > 1 ? topp : 0.0F, seed);
    return left[static_cast<std::size_t>(plain.sample(few))];
}

TEST(Sampling, EqualsSamplingOfWhatIsLeft) {
    std::mt19937 random(11);
    for (int round = 0; round < 4000; ++round) {
        const std::size_t n = 2 + random() % 40;
        std::vector<float> logits(n);
        for (float& x : logits) {
            x = static_cast<float>(static_cast<int>(random() % 41) - 20) / 4.0F;  // with ties
        }
        const Sampling s{static_cast<int>(random() % 12),
                         random() % 3 == 0   ? 0.3F
                         : random() % 2 == 0 ? 0.05F
                                             : 0.0F,
                         random() % 2 == 0 ? 1.3F : 1.0F, static_cast<int>(random() % 5)};
        const float temperature = random() % 4 == 0 ? 0.0F : random() % 2 == 0 ? 1.0F : 0.7F;
        const float topp = random() % 2 == 0 ? 0.9F : 0.0F;
        Sampler sampler(static_cast<int>(n), temperature, topp, 1 + round, s);
        std::vector<int> heard;
        for (std::size_t i = random() % 8; i > 0; --i) {
            heard.push_back(static_cast<int>(random() % n));
            sampler.accept(heard.back());
        }
        std::vector<int> forbidden;
        for (std::size_t i = random() % n; i > 1; --i) {
            forbidden.push_back(static_cast<int>(random() % (n - 1)));  // never all of them
        }
        sampler.forbid(forbidden);
        ASSERT_EQ(sampler.sample(logits), restricted(logits, s, heard, forbidden, temperature, topp, 1 + round))
            << "round " << round << " n " << n << " k " << s.top_k << " min_p " << s.min_p << " t " << temperature;
    }
}

TEST(Sampling, AsItIsNothingChanges) {
    std::mt19937 random(12);
    std::vector<float> logits(300);
    for (float& x : logits) {
        x = static_cast<float>(random() % 1000) / 100.0F;
    }
    Sampler plain(300, 1.0F, 0.9F, 7);
    Sampler same(300, 1.0F, 0.9F, 7, Sampling{});
    Sampler all(300, 1.0F, 0.9F, 7, {300, 0.0F, 1.0F, 64});  // every token is among the 300 likeliest
    for (int i = 0; i < 200; ++i) {
        const int token = plain.sample(logits);
        EXPECT_EQ(same.sample(logits), token);
        EXPECT_EQ(all.sample(logits), token);
        same.accept(token);
    }
}

TEST(Sampling, WhatIsForbiddenIsNeverTaken) {
    for (const float temperature : {0.0F, 1.0F, 50.0F}) {
        for (const float topp : {0.0F, 0.9F}) {
            Sampler sampler(5, temperature, topp, 3);
            const int never[] = {4, 0, 4};
            sampler.forbid(never);
            for (int i = 0; i < 300; ++i) {
                const int token = sampler.sample(std::vector<float>{9, 1, 2, 1, 30});
                ASSERT_TRUE(token >= 1 && token <= 3);
            }
        }
    }
}

TEST(Sampling, TheLargestCoinTakesTheLastThatMayBeTaken) {
    // As above: the coin is beyond the sum of twelve rounded twelfths, and three tokens behind them are left out.
    std::vector<float> logits(15, 1.0F);
    std::fill(logits.begin() + 12, logits.end(), -50.0F);
    for (const Sampling& s : {Sampling{12, 0.0F, 1.0F, 64}, Sampling{0, 0.5F, 1.0F, 64}, Sampling{}}) {
        Sampler sampler(15, 1.0F, 1.0F, 0xa8d395be4b19cce8U, s);
        if (s.top_k == 0 && s.min_p == 0.0F) {
            const int never[] = {12, 13, 14};
            sampler.forbid(never);
        }
        EXPECT_EQ(sampler.sample(logits), 11) << s.top_k << " " << s.min_p;
    }
}

TEST(Sampling, ATextBeginsAnew) {
    Sampler sampler(2, 0.0F, 0.9F, 1, {0, 0.0F, 2.0F, 0});
    sampler.accept(1);
    EXPECT_EQ(sampler.sample(std::vector<float>{2, 3}), 0) << "3 / 2";
    sampler.restart(1);
    EXPECT_EQ(sampler.sample(std::vector<float>{2, 3}), 1);
}

TEST(StopTexts, LetThroughWhatBelongsToNone) {
    std::string out;
    const auto put = [&](std::string_view text) { out += text; };
    StopTexts stops({"The end", "\n\n", "ananas"});
    EXPECT_FALSE(stops.add("Once. The e", put));
    EXPECT_EQ(out, "Once. ") << "what may be a beginning waits";
    EXPECT_FALSE(stops.add("mu\n", put));
    EXPECT_EQ(out, "Once. The emu");
    EXPECT_FALSE(stops.add("anan", put));
    EXPECT_FALSE(stops.add("an", put));
    EXPECT_EQ(out, "Once. The emu\nan") << "the last four letters may begin it";
    EXPECT_TRUE(stops.add("as The end", put));
    EXPECT_EQ(out, "Once. The emu\nan");
    EXPECT_FALSE(stops.add("The", put)) << "a new text";
    stops.finish(put);
    EXPECT_EQ(out, "Once. The emu\nanThe");
    StopTexts none;
    EXPECT_FALSE(none.add("x", put));
    EXPECT_EQ(out.back(), 'x');
}

TEST(StopTexts, HoweverATextIsCut) {
    std::mt19937 random(13);
    for (int round = 0; round < 3000; ++round) {
        const auto letters = [&](std::size_t size) {
            std::string text;
            while (text.size() < size) {
                text += "ab"[random() % 2];
            }
            return text;
        };
        const std::size_t length = 1 + random() % 5;  // of both, so that the first to begin is the first to be there
        const std::vector<std::string> texts{letters(length), letters(length)};
        const std::string text = letters(random() % 20);
        std::size_t end = std::min(text.find(texts[0]), text.find(texts[1]));
        StopTexts stops(texts);
        std::string out;
        const auto put = [&](std::string_view part) { out += part; };
        bool stopped = false;
        for (std::size_t at = 0; at < text.size() && !stopped;) {
            const std::size_t size = 1 + random() % 3;
            stopped = stops.add(std::string_view(text).substr(at, size), put);
            at += size;
        }
        ASSERT_EQ(stopped, end != std::string::npos) << text;
        if (!stopped) {
            stops.finish(put);
        }
        // A token may hold more than one stop text: the first one counts.
        ASSERT_EQ(out, text.substr(0, end)) << text << " " << texts[0] << " " << texts[1];
    }
}

}  // namespace
}  // namespace storybake
