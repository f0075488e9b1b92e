// The kernels that every weight type has, against the oracle's operations: bit for bit, on guarded buffers.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "exp.hpp"
#include "kernel_cases.hpp"
#include "oracle.hpp"

namespace storybake::baked {
namespace {

using Floats = std::vector<float>;

/// A batch of kMaxBatch vectors at a stride, in a guarded buffer.
struct Batch {
    Batch(int length, int stride_, unsigned seed)
        : stride(stride_), buffer(static_cast<std::size_t>(kMaxBatch * stride_)) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal(0.0F, 2.0F);
        for (int p = 0; p < kMaxBatch; ++p) {
            Floats v(static_cast<std::size_t>(length));
            for (float& f : v) {
                f = normal(random);
            }
            vectors.push_back(v);
        }
        spread(buffer.data(), vectors, stride);
    }
    float* at(int p) { return buffer.data() + p * stride; }

    int stride;
    Guarded<float> buffer;
    std::vector<Floats> vectors;
};

std::string position(int p) {
    return "position " + std::to_string(p);
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
        Batch x(length, stride(length), 1);
        Batch weight(length, stride(length), 2);
        Guarded<float> o(static_cast<std::size_t>(kMaxBatch * x.stride));
        const auto* const w = reinterpret_cast<const std::byte*>(weight.at(0));
        watched(rmsnorm, Context{kMaxBatch, Team{}, nullptr}, o.data(), x.at(0), w);
        for (int p = 0; p < kMaxBatch; ++p) {
            expect_equal(oracle::rmsnorm(x.vectors[static_cast<std::size_t>(p)], weight.vectors[0], norm_eps),
                         o.data() + p * x.stride, position(p));
        }
    };
#define RMSNORM(length) check(length, rmsnorm_##length);
#include "kernels.inc"
}

/// Runs a kernel as each thread of a team of three, or of as many as there may be.
template <class Kernel>
void run_as_team(Kernel kernel) {
    const int size = std::min(3, kMaxThreads);
    for (int rank = 0; rank < size; ++rank) {
        kernel(Context{kMaxBatch, Team{rank, size, nullptr}, nullptr});
    }
}

TEST(Kernels, BiasesAreAddedByATeam) {
    [[maybe_unused]] const auto check = [](int length, auto bias) {
        Batch x(length, stride(length), 11);
        Batch weight(length, stride(length), 12);
        run_as_team(
            [&](const Context& c) { watched(bias, c, x.at(0), reinterpret_cast<const std::byte*>(weight.at(0))); });
        for (int p = 0; p < kMaxBatch; ++p) {
            Floats expected = x.vectors[static_cast<std::size_t>(p)];
            for (std::size_t i = 0; i < expected.size(); ++i) {
                expected[i] += weight.vectors[0][i];
            }
            expect_equal(expected, x.at(p), position(p));
        }
    };
#define BIAS(length) check(length, bias_##length);
#include "kernels.inc"
}

TEST(Kernels, HeadsAreNormedByATeamAsTheOracleDoes) {
    [[maybe_unused]] const auto check = [](int length, auto rmsnorm_heads) {
        const float norm_eps = oracle::read_facts(std::getenv("STORYBAKE_VALUES")).norm_eps;
        Batch x(length, stride(length), 13);
        Batch weight(kHeadSize, stride(kHeadSize), 14);
        run_as_team([&](const Context& c) {
            watched(rmsnorm_heads, c, x.at(0), reinterpret_cast<const std::byte*>(weight.at(0)));
        });
        for (int p = 0; p < kMaxBatch; ++p) {
            Floats expected;
            const Floats& whole = x.vectors[static_cast<std::size_t>(p)];
            for (auto head = whole.begin(); head != whole.end(); head += kHeadSize) {
                const Floats normed = oracle::rmsnorm(Floats(head, head + kHeadSize), weight.vectors[0], norm_eps);
                expected.insert(expected.end(), normed.begin(), normed.end());
            }
            expect_equal(expected, x.at(p), position(p));
        }
    };
#define RMSNORM_HEADS(length) check(length, rmsnorm_heads_##length);
#include "kernels.inc"
}

TEST(Kernels, AddAddsTheRowsOfATeam) {
    for (const int size : {1, 2, 5}) {
        Batch x(kDim, kDimStride, 3);
        Batch y(kDim, kDimStride, 4);
        for (int rank = 0; rank < std::min(size, kMaxThreads); ++rank) {
            watched(add, Context{kMaxBatch, Team{rank, std::min(size, kMaxThreads), nullptr}, nullptr}, x.at(0),
                    y.at(0));
        }
        for (int p = 0; p < kMaxBatch; ++p) {
            Floats expected = x.vectors[static_cast<std::size_t>(p)];
            for (std::size_t i = 0; i < expected.size(); ++i) {
                expected[i] += y.vectors[static_cast<std::size_t>(p)][i];
            }
            expect_equal(expected, x.at(p), position(p));
        }
    }
}

template <class Glu, class Expected>
void expect_glu(Glu glu, Expected expected) {
    for (const int size : {1, 2, 5}) {
        Batch hb(kHiddenDim, kHiddenDimStride, 5);
        Batch hb2(kHiddenDim, kHiddenDimStride, 6);
        const Floats special = {0.0F,    -0.0F, 88.0F,  -88.0F, 1e-30F, -104.0F, 200.0F,
                                -200.0F, 10.0F, -10.0F, 10.5F,  -10.5F, 1e20F,   -1e20F};
        for (std::size_t i = 0; i < special.size() && i < hb.vectors[0].size(); ++i) {
            hb.vectors[0][i] = special[i];
            hb.at(0)[i] = special[i];
        }
        for (int rank = 0; rank < std::min(size, kMaxThreads); ++rank) {
            watched(glu, Context{kMaxBatch, Team{rank, std::min(size, kMaxThreads), nullptr}, nullptr}, hb.at(0),
                    hb2.at(0));
        }
        for (int p = 0; p < kMaxBatch; ++p) {
            const auto at = static_cast<std::size_t>(p);
            expect_equal(expected(hb.vectors[at], hb2.vectors[at]), hb.at(p), position(p));
        }
    }
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
    const int n = std::min(kMaxBatch, kSeqLen);
    for (const int pos : {0, kSeqLen - n}) {
        Batch q(kAttDim, kAttDimStride, 7);
        Batch k(kKvDim, kKvDimStride, 8);
        const int size = std::min(3, kMaxThreads);
        for (int rank = 0; rank < size; ++rank) {
            watched(rope, Context{n, Team{rank, size, nullptr}, nullptr}, q.at(0), k.at(0),
                    reinterpret_cast<const std::byte*>(table.data()), pos);
        }
        for (int p = 0; p < n; ++p) {
            const auto at = static_cast<std::size_t>(p);
            oracle::rope(q.vectors[at], kHeadSize, pos + p);
            oracle::rope(k.vectors[at], kHeadSize, pos + p);
            expect_equal(q.vectors[at], q.at(p), "q, " + position(p));
            expect_equal(k.vectors[at], k.at(p), "k, " + position(p));
        }
    }
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
            float sum = 0.0F;
            Floats expected;
            for (const float v : x) {
                expected.push_back(exp_f32(v / temperature - 30.0F));
                sum += expected.back();
            }
            Guarded<float> p(count);
            const float found = watched(exponentials, p.data(), x.data(), n, temperature, 30.0F);
            expect_equal(expected, p.data(), "of " + std::to_string(n));
            expect_equal({sum}, &found, "sum");
            p.check(count);
        }
    }
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
}

/// What the cache keeps of a key or a value.
Floats kept(Floats vector) {
    if (sizeof(Cached) == 2) {
        std::transform(vector.begin(), vector.end(), vector.begin(), oracle::rounded_to_half);
    }
    return vector;
}

/// Fills the caches in batches up to around a block of the key cache, and compares every position's attention to the
/// last `window` positions, or to all.
template <class Attention>
void expect_attention(Attention attention, int window) {
    constexpr std::size_t kKeys = sizeof(State::key_cache[0]) / sizeof(Cached);
    constexpr std::size_t kValues = sizeof(State::value_cache[0]) / sizeof(Cached);
    const oracle::Facts facts = oracle::read_facts(std::getenv("STORYBAKE_VALUES"));
    const float root = std::sqrt(facts.score_size > 0 ? facts.score_size : static_cast<float>(kHeadSize));
    Guarded<Cached> keys(kKeys);
    Guarded<Cached> values(kValues);
    Guarded<float> att(static_cast<std::size_t>(kHeadsTogether * kSeqBlocks * kKeyBlock));
    std::vector<Floats> all_k;
    std::vector<Floats> all_v;
    const int until = std::min(kSeqLen, 2 * kKeyBlock + kMaxBatch + 1);
    for (int pos = 0; pos < until; pos += kMaxBatch) {
        const int n = std::min(kMaxBatch, until - pos);
        Batch q(kAttDim, kAttDimStride, static_cast<unsigned>(100 + pos));
        Batch k(kKvDim, kKvDimStride, static_cast<unsigned>(200 + pos));
        Batch v(kKvDim, kKvDimStride, static_cast<unsigned>(300 + pos));
        Guarded<float> xb(static_cast<std::size_t>(kMaxBatch * kAttDimStride));
        const int size = std::min(2, kMaxThreads);
        for (int rank = 0; rank < size; ++rank) {
            const Context c{n, Team{rank, size, nullptr}, nullptr};
            watched(cache_kv, c, keys.data(), values.data(), k.at(0), v.at(0), pos);
            watched(attention, c, xb.data(), q.at(0), keys.data(), values.data(), att.data(), pos);
        }
        for (int p = 0; p < n; ++p) {
            const auto at = static_cast<std::size_t>(p);
            all_k.push_back(kept(k.vectors[at]));
            all_v.push_back(kept(v.vectors[at]));
            Floats expected(kAttDim, 0.0F);
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
                        expected[head + i] += scores[t] * all_v[first + t][kv_head + i];
                    }
                }
            }
            expect_equal(expected, xb.data() + p * kAttDimStride, "position " + std::to_string(pos + p));
        }
        keys.check(kKeys);
        values.check(kValues);
        att.check(static_cast<std::size_t>(kHeadsTogether * kSeqBlocks * kKeyBlock));
    }
}

TEST(Kernels, AttentionEqualsTheOracle) {
#define ATTENTION(name, window) expect_attention(name, window);
#include "kernels.inc"
}

}  // namespace
}  // namespace storybake::baked
