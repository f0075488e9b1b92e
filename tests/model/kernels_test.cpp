// The kernels that every weight type has, against the oracle's operations: bit for bit, on guarded buffers.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "exp.hpp"
#include "kernel_cases.hpp"
#include "oracle.hpp"

namespace storybake::baked {
namespace {

using Floats = std::vector<float>;

constexpr int kBatchesOfARound = 8;  // of attention's, which goes through many positions
constexpr int kShortCalls = 100;     // a round of a kernel that no team shares

/// A batch of a round's vectors at a stride, in a guarded buffer.
struct Batch {
    Batch(int length, int stride_, Round& round)
        : stride(stride_), buffer(static_cast<std::size_t>(kMaxBatch * stride_)) {
        for (int p = 0; p < round.n; ++p) {
            vectors.push_back(round.vector(length));
        }
        put();
    }
    void put() { spread(buffer.data(), vectors, stride); }
    float* at(int p) { return buffer.data() + p * stride; }

    int stride;
    Guarded<float> buffer;
    std::vector<Floats> vectors;
};

/// One vector of weights for all positions.
struct Weight {
    Weight(int length, Round& round) : values(round.vector(length)), buffer(static_cast<std::size_t>(stride(length))) {
        std::copy(values.begin(), values.end(), buffer.data());
    }
    const std::byte* data() { return reinterpret_cast<const std::byte*>(buffer.data()); }

    Floats values;
    Guarded<float> buffer;
};

/// The positions of a batch at a stride are the expected ones.
void expect_positions(const std::vector<Floats>& expected, const float* found, int stride, int team) {
    for (std::size_t p = 0; p < expected.size(); ++p) {
        expect_equal(expected[p], found + p * static_cast<std::size_t>(stride),
                     "position " + std::to_string(p) + ", team of " + std::to_string(team));
    }
}

/// Runs a kernel that changes a batch as each member of teams of several sizes, and looks at what each team makes of
/// it.
template <class Kernel>
void expect_changed(Batch& x, const std::vector<Floats>& expected, Kernel kernel) {
    as_teams(static_cast<int>(expected.size()), [&](const Context& c, int size) {
        if (c.team.rank == 0) {
            x.put();
        }
        kernel(c);
        if (c.team.rank == size - 1) {
            expect_positions(expected, x.at(0), x.stride, size);
        }
    });
    x.buffer.check(static_cast<std::size_t>(kMaxBatch * x.stride));
}

/// A file of values with these lines behind its first, read in a process of its own; what that says before it exits
/// with 65.
void expect_refusal(const std::string& lines, const char* words) {
    const std::string path = ::testing::TempDir() + "/header." + std::to_string(getpid());
    std::ofstream(path) << "storybake values 1\n" << lines;
    EXPECT_EXIT(oracle::read_facts(path), ::testing::ExitedWithCode(65), words);
    std::remove(path.c_str());
}

TEST(OracleDeathTest, RefusesWhatItDoesNotKnow) {
    EXPECT_EXIT(oracle::read_facts("no such file"), ::testing::ExitedWithCode(65), "expected a first line");
    expect_refusal("dim 8\nwidow 5\nend\n", "widow is not known here: teach it to");
    expect_refusal("dim eight\nend\n", "can't be read: dim eight");
    expect_refusal("dim 8\nend\n", "lacks facts");
    expect_refusal("dim 8\n", "or its end");
}

TEST(Kernels, RmsnormEqualsTheOracle) {
    const char* values = std::getenv("STORYBAKE_VALUES");
    ASSERT_NE(values, nullptr) << "STORYBAKE_VALUES names the values of what was baked: python3 -m codegen values";
    const float norm_eps = oracle::read_facts(values).norm_eps;
    const auto check = [norm_eps](int length, auto rmsnorm) {
        in_rounds([&](Round& round) {
            Batch x(length, stride(length), round);
            Weight weight(length, round);
            Guarded<float> o(static_cast<std::size_t>(kMaxBatch * x.stride));
            std::vector<Floats> expected;
            for (const Floats& v : x.vectors) {
                expected.push_back(oracle::rmsnorm(v, weight.values, norm_eps));
            }
            as_teams(round.n, [&](const Context& c, int size) {
                watched(rmsnorm, c, o.data(), x.at(0), weight.data());
                expect_positions(expected, o.data(), x.stride, size);
            });
        });
    };
#define RMSNORM(length) check(length, rmsnorm_##length);
#include "kernels.inc"
}

TEST(Kernels, BiasesAreAddedByATeam) {
    [[maybe_unused]] const auto check = [](int length, auto bias) {
        in_rounds([&](Round& round) {
            Batch x(length, stride(length), round);
            Weight weight(length, round);
            std::vector<Floats> expected = x.vectors;
            for (Floats& v : expected) {
                std::transform(v.begin(), v.end(), weight.values.begin(), v.begin(), std::plus<>());
            }
            expect_changed(x, expected, [&](const Context& c) { watched(bias, c, x.at(0), weight.data()); });
        });
    };
#define BIAS(length) check(length, bias_##length);
#include "kernels.inc"
}

TEST(Kernels, HeadsAreNormedByATeamAsTheOracleDoes) {
    [[maybe_unused]] const auto check = [](int length, auto rmsnorm_heads) {
        const float norm_eps = oracle::read_facts(std::getenv("STORYBAKE_VALUES")).norm_eps;
        in_rounds([&](Round& round) {
            Batch x(length, stride(length), round);
            Weight weight(kHeadSize, round);
            std::vector<Floats> expected;
            for (const Floats& whole : x.vectors) {
                expected.emplace_back();
                for (auto head = whole.begin(); head != whole.end(); head += kHeadSize) {
                    const Floats normed = oracle::rmsnorm(Floats(head, head + kHeadSize), weight.values, norm_eps);
                    expected.back().insert(expected.back().end(), normed.begin(), normed.end());
                }
            }
            expect_changed(x, expected, [&](const Context& c) { watched(rmsnorm_heads, c, x.at(0), weight.data()); });
        });
    };
#define RMSNORM_HEADS(length) check(length, rmsnorm_heads_##length);
#include "kernels.inc"
}

TEST(Kernels, AddAddsTheRowsOfATeam) {
    in_rounds([](Round& round) {
        Batch x(kDim, kDimStride, round);
        Batch y(kDim, kDimStride, round);
        std::vector<Floats> expected = x.vectors;
        for (std::size_t p = 0; p < expected.size(); ++p) {
            std::transform(expected[p].begin(), expected[p].end(), y.vectors[p].begin(), expected[p].begin(),
                           std::plus<>());
        }
        expect_changed(x, expected, [&](const Context& c) { watched(add, c, x.at(0), y.at(0)); });
    });
}

template <class Glu, class Expected>
void expect_glu(Glu glu, Expected expected) {
    in_rounds([&](Round& round) {
        Batch hb(kHiddenDim, kHiddenDimStride, round);
        Batch hb2(kHiddenDim, kHiddenDimStride, round);
        const Floats special = {0.0F,    -0.0F, 88.0F,  -88.0F, 1e-30F, -104.0F, 200.0F,
                                -200.0F, 10.0F, -10.0F, 10.5F,  -10.5F, 1e20F,   -1e20F};
        const std::size_t count = round.n == kMaxBatch ? std::min(special.size(), hb.vectors[0].size()) : 0;
        std::copy_n(special.begin(), count, hb.vectors[0].begin());
        std::vector<Floats> products;
        for (std::size_t p = 0; p < hb.vectors.size(); ++p) {
            products.push_back(expected(hb.vectors[p], hb2.vectors[p]));
        }
        expect_changed(hb, products, [&](const Context& c) { watched(glu, c, hb.at(0), hb2.at(0)); });
    });
}

TEST(Kernels, SwigluEqualsTheOracle) {
#define GLU(name) expect_glu(name, oracle::name);
#include "kernels.inc"
}

/// cosines, then sines (seq_len, head_size / 2), from the C library.
Floats rope_table() {
    Floats table(static_cast<std::size_t>(kSeqLen * kHeadSize));
    for (int pos = 0; pos < kSeqLen; ++pos) {
        for (int i = 0; i < kHeadSize / 2; ++i) {
            const float freq = 1.0F / std::pow(10000.0F, static_cast<float>(2 * i) / static_cast<float>(kHeadSize));
            const auto at = static_cast<std::size_t>(pos * (kHeadSize / 2) + i);
            table[at] = std::cos(static_cast<float>(pos) * freq);
            table[at + table.size() / 2] = std::sin(static_cast<float>(pos) * freq);
        }
    }
    return table;
}

TEST(Kernels, RopeRotatesTheHeadsOfATeam) {
    const Floats values = rope_table();
    Guarded<float> table(values.size());
    std::copy(values.begin(), values.end(), table.data());
    in_rounds([&](Round& round) {
        round.n = std::min(round.n, kSeqLen);
        for (const int pos : {0, kSeqLen - round.n}) {
            Batch q(kAttDim, kAttDimStride, round);
            Batch k(kKvDim, kKvDimStride, round);
            std::vector<Floats> rotated_q = q.vectors;
            std::vector<Floats> rotated_k = k.vectors;
            for (int p = 0; p < round.n; ++p) {
                oracle::rope(rotated_q[static_cast<std::size_t>(p)], kHeadSize, pos + p);
                oracle::rope(rotated_k[static_cast<std::size_t>(p)], kHeadSize, pos + p);
            }
            const auto* const at = reinterpret_cast<const std::byte*>(table.data());
            expect_changed(q, rotated_q, [&](const Context& c) {
                if (c.team.rank == 0) {
                    k.put();
                }
                watched(rope, c, q.at(0), k.at(0), at, pos);
                if (c.team.rank == c.team.size - 1) {
                    expect_positions(rotated_k, k.at(0), k.stride, c.team.size);
                }
            });
        }
    });
}

void expect_exponentials(const Floats& x, float temperature, float largest) {
    float sum = 0.0F;
    Floats expected;
    for (const float v : x) {
        expected.push_back(exp_f32(v / temperature - largest));
        sum += expected.back();
    }
    Guarded<float> p(x.size());
    const float found = watched(exponentials, p.data(), x.data(), static_cast<int>(x.size()), temperature, largest);
    expect_equal(expected, p.data(), "of " + std::to_string(x.size()));
    expect_equal({sum}, &found, "sum");
    p.check(x.size());
}

TEST(Kernels, ExponentialsEqualExpAndAreSummedInOrder) {
    std::mt19937 random(9);
    std::normal_distribution<float> normal(0.0F, 20.0F);
    for (const int n : {1, 7, 8, 9, 31, 512}) {
        const auto count = static_cast<std::size_t>(n);
        Floats x(count);
        for (float& v : x) {
            v = normal(random);
        }
        x[count / 2] = -1000.0F;  // underflows
        x[count - 1] = n > 8 ? 40.0F : x[count - 1];
        for (const float temperature : {1.0F, 0.7F}) {
            expect_exponentials(x, temperature, 30.0F);
        }
    }
    in_rounds([](Round& round) {
        for (int i = 0; i < kShortCalls && !::testing::Test::HasFatalFailure(); ++i) {
            const Floats x = round.vector(1 + static_cast<int>(round.random() % 70));
            const float temperature = i % 2 == 0 ? 1.0F : 1e-2F * static_cast<float>(1 + round.random() % 200);
            expect_exponentials(x, temperature, *std::max_element(x.begin(), x.end()) / temperature);
        }
    });
}

TEST(Kernels, ScanFindsTheFirstOfTheLargestAndWhatIsBroken) {
    const auto n = static_cast<std::size_t>(kVocabSize);
    Floats logits((n + 15) / 16 * 16, 1e30F);  // what lies behind the last logit is none
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, n / 2, n - 2, n - 1}) {
        std::fill_n(logits.begin(), n, -1.0F);
        logits[at] = 2.0F;
        logits[n - 1] = 2.0F;
        EXPECT_EQ(watched(scan, logits.data(), kVocabSize).largest, static_cast<int>(at));
        EXPECT_TRUE(watched(scan, logits.data(), kVocabSize).finite);
        for (const float broken : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
            logits[at] = broken;
            EXPECT_FALSE(watched(scan, logits.data(), kVocabSize).finite) << broken << " at " << at;
        }
    }
    in_rounds([&](Round& round) {
        const Floats drawn = round.vector(kVocabSize);
        for (int i = 0; i < kShortCalls && !::testing::Test::HasFatalFailure(); ++i) {
            std::copy(drawn.begin(), drawn.end(), logits.begin());
            const auto anywhere = [&] { return logits.begin() + static_cast<std::ptrdiff_t>(round.random() % n); };
            const float broken = i % 4 == 0   ? std::nanf("")
                                 : i % 4 == 1 ? std::numeric_limits<float>::infinity()
                                              : 1e9F;
            *anywhere() = broken;
            *anywhere() = i % 2 == 0 ? broken : -1e9F;
            const auto end = logits.begin() + static_cast<std::ptrdiff_t>(n);
            const bool finite = std::all_of(logits.begin(), end, [](float v) { return std::isfinite(v); });
            const LogitsFacts facts = watched(scan, logits.data(), kVocabSize);
            ASSERT_EQ(facts.finite, finite) << "call " << i;
            ASSERT_TRUE(!finite || facts.largest == std::max_element(logits.begin(), end) - logits.begin())
                << facts.largest;
        }
    });
}

/// What the cache keeps of a key or a value.
Floats kept(Floats vector) {
    if (sizeof(Cached) == 2) {
        std::transform(vector.begin(), vector.end(), vector.begin(), oracle::rounded_to_half);
    }
    return vector;
}

/// A batch of keys or values that the cache can hold.
Batch cacheable(Round& round) {
    Batch batch(kKvDim, kKvDimStride, round);
    if (sizeof(Cached) == 2) {
        for (Floats& vector : batch.vectors) {
            std::transform(vector.begin(), vector.end(), vector.begin(),
                           [](float v) { return std::clamp(v, -65504.0F, 65504.0F); });
        }
        batch.put();
    }
    return batch;
}

/// Fills the caches, of `positions` of them, in batches up to around a block of the key cache, and once around a ring,
/// and compares every position's attention to the last `window` positions, or to all.
template <class Attention, class CacheKv>
void expect_attention(Round& round, Attention attention, int window, CacheKv cache_kv, int positions) {
    const int blocks = (positions + kKeyBlock - 1) / kKeyBlock;
    const auto n_keys = static_cast<std::size_t>(blocks * kKeyBlock * kKvDim);
    const auto n_values = static_cast<std::size_t>(kNKvHeads * positions * kValueStride);
    const oracle::Facts facts = oracle::read_facts(std::getenv("STORYBAKE_VALUES"));
    const float root = std::sqrt(facts.score_size > 0 ? facts.score_size : static_cast<float>(kHeadSize));
    Guarded<Cached> keys(n_keys);
    Guarded<Cached> values(n_values);
    Guarded<float> att(static_cast<std::size_t>(kHeadsTogether * kSeqBlocks * kKeyBlock));
    std::vector<Floats> all_k;
    std::vector<Floats> all_v;
    const int around = positions < kSeqLen ? positions : 0;
    const int until = std::min(kSeqLen, around + 2 * kKeyBlock + kMaxBatch + 1);
    for (int pos = 0; pos < until; pos += round.n) {
        round.n = std::min(round.n, until - pos);
        Batch q(kAttDim, kAttDimStride, round);
        Batch k = cacheable(round);
        Batch v = cacheable(round);
        Guarded<float> xb(static_cast<std::size_t>(kMaxBatch * kAttDimStride));
        std::vector<Floats> expected;
        for (std::size_t at = 0; at < q.vectors.size(); ++at) {
            all_k.push_back(kept(k.vectors[at]));
            all_v.push_back(kept(v.vectors[at]));
            Floats& sums = expected.emplace_back(kAttDim, 0.0F);
            for (std::size_t h = 0; h < kNHeads; ++h) {
                const std::size_t head = h * kHeadSize;
                const std::size_t kv_head = h / (kNHeads / kNKvHeads) * kHeadSize;
                const auto seen = std::min(all_k.size(), static_cast<std::size_t>(window > 0 ? window : kSeqLen));
                const std::size_t first = all_k.size() - seen;
                Floats scores(seen);
                for (std::size_t t = 0; t < seen; ++t) {
                    float score = 0.0F;
                    for (std::size_t i = 0; i < kHeadSize; ++i) {
                        score += q.vectors[at][head + i] * all_k[first + t][kv_head + i];
                    }
                    scores[t] = oracle::softcap(score / root, facts.att_cap);
                }
                oracle::softmax(scores);
                for (std::size_t t = 0; t < seen; ++t) {
                    for (std::size_t i = 0; i < kHeadSize; ++i) {
                        sums[head + i] += scores[t] * all_v[first + t][kv_head + i];
                    }
                }
            }
        }
        as_teams(round.n, [&](const Context& c, int size) {
            watched(cache_kv, c, keys.data(), values.data(), k.at(0), v.at(0), pos);
            watched(attention, c, xb.data(), q.at(0), keys.data(), values.data(), att.data(), pos);
            if (c.team.rank == size - 1) {
                expect_positions(expected, xb.data(), kAttDimStride, size);
            }
        });
        keys.check(n_keys);
        values.check(n_values);
        att.check(static_cast<std::size_t>(kHeadsTogether * kSeqBlocks * kKeyBlock));
    }
}

TEST(Kernels, AttentionEqualsTheOracle) {
    int number = 0;
    in_rounds([&](Round& round) {
        if (number++ % kBatchesOfARound == 0) {
#define ATTENTION(name, window, cache_kv, positions) expect_attention(round, name, window, cache_kv, positions);
#include "kernels.inc"
        }
    });
}

}  // namespace
}  // namespace storybake::baked
