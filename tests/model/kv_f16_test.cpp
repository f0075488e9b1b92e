// What is particular to a key/value cache in float16: rounding, and what is too large for it.
#include <algorithm>
#include <limits>

#include "half.hpp"
#include "kernel_cases.hpp"
#include "model.hpp"
#include "oracle.hpp"

namespace storybake::baked {
namespace {

using Floats = std::vector<float>;

/// A key/value cache of one layer, of so many positions, what fills it, and a batch of one to put into it.
template <auto kCacheKv, int kPositions>
struct Cache {
    static constexpr int kBlocks = (kPositions + kKeyBlock - 1) / kKeyBlock;

    /// Returns what cache_kv() says: the position, from 1 on, that can not be held, or 0.
    int put(const Floats& k, const Floats& v, int pos) {
        Guarded<float> key(kKvDimStride);
        Guarded<float> value(kKvDimStride);
        spread(key.data(), {k}, kKvDimStride);
        spread(value.data(), {v}, kKvDimStride);
        return watched(kCacheKv, Context{1, Team{}, nullptr}, keys.data(), values.data(), key.data(), value.data(),
                       pos);
    }
    [[nodiscard]] float key(int pos, int i) {
        const int block = i / kHeadSize * kBlocks + pos % kPositions / kKeyBlock;
        return half_to_float(keys[static_cast<std::size_t>((block * kHeadSize + i % kHeadSize) * kKeyBlock +
                                                           pos % kPositions % kKeyBlock)]);
    }
    [[nodiscard]] float value(int pos, int i) {
        const int row = i / kHeadSize * kPositions + pos % kPositions;
        return half_to_float(values[static_cast<std::size_t>(row * kValueStride + i % kHeadSize)]);
    }

    Guarded<Cached> keys{static_cast<std::size_t>(kBlocks * kKeyBlock * kKvDim)};
    Guarded<Cached> values{static_cast<std::size_t>(kNKvHeads * kPositions * kValueStride)};
};

template <auto kCacheKv, int kPositions>
void expect_rounded() {
    // Ties, the last place of each exponent, subnormals, what rounds to zero and up to the largest.
    const Floats cases = {1.0F,        0x1.002p0F,  0x1.006p0F, 0x1.0020002p0F, -0x1.006p0F, 65504.0F, -65519.0F,
                          0x1p-14F,    0x1p-15F,    0x1p-24F,   0x1p-25F,       0x1.8p-25F,  -0.0F,    0x1.ffcp-15F,
                          0x1.ffep-1F, 0x1.fffp-1F, 0x3p-25F,   1e-30F,         1e-44F,      3.14159F, -2.71828F};
    Cache<kCacheKv, kPositions> cache;
    for (int pos = 0; pos < std::min(kSeqLen, 60); ++pos) {
        Floats k(kKvDim);
        Floats v(kKvDim);
        for (int i = 0; i < kKvDim; ++i) {
            k[static_cast<std::size_t>(i)] = cases[static_cast<std::size_t>(i + pos) % cases.size()];
            v[static_cast<std::size_t>(i)] = cases[static_cast<std::size_t>(i + 3 * pos + 1) % cases.size()];
        }
        EXPECT_EQ(cache.put(k, v, pos), 0);
        for (int i = 0; i < kKvDim; ++i) {
            const auto at = static_cast<std::size_t>(i);
            const float key = cache.key(pos, i);
            const float value = cache.value(pos, i);
            expect_equal({oracle::rounded_to_half(k[at])}, &key, "a key");
            expect_equal({oracle::rounded_to_half(v[at])}, &value, "a value");
        }
    }
}

TEST(KvF16, KeysAndValuesAreRoundedToTheNearestEven) {
#define ATTENTION(name, window, cache_kv, positions) expect_rounded<cache_kv, positions>();
#include "kernels.inc"
}

template <auto kCacheKv, int kPositions>
void expect_reported() {
    Cache<kCacheKv, kPositions> cache;
    const Floats zeros(kKvDim, 0.0F);
    for (const float large : {65520.0F, -65536.0F, 1e30F, -std::numeric_limits<float>::infinity(), std::nanf("")}) {
        for (const int at : {0, kHeadSize / 2, kKvDim - 1}) {
            Floats one = zeros;
            one[static_cast<std::size_t>(at)] = large;
            EXPECT_EQ(cache.put(one, zeros, kSeqLen - 1), kSeqLen) << large << " at " << at;
            EXPECT_EQ(cache.put(zeros, one, 0), 1) << large << " at " << at;
        }
    }
    EXPECT_EQ(cache.put(zeros, Floats(kKvDim, 65519.0F), 0), 0);
    if (kSeqLen > 2) {
        Guarded<float> batch(static_cast<std::size_t>(3 * kKvDimStride));
        spread(batch.data(), {zeros, Floats(kKvDim, 1e6F), Floats(kKvDim, 1e6F)}, kKvDimStride);
        EXPECT_EQ(watched(kCacheKv, Context{3, Team{}, nullptr}, cache.keys.data(), cache.values.data(), batch.data(),
                          batch.data(), 0),
                  2);
    }
}

TEST(KvF16, WhatFloat16CanNotHoldIsReported) {
#define ATTENTION(name, window, cache_kv, positions) expect_reported<cache_kv, positions>();
#include "kernels.inc"
}

}  // namespace
}  // namespace storybake::baked
