// What the kernel tests share: test vectors, guarded buffers, and bit-for-bit comparison with the oracle's operations.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "baked_model.hpp"
#include "context.hpp"
#include "kernels.hpp"

namespace storybake::baked {

/// A run of tiles, a row of kernels.inc.
struct Tiles {
    int rows, count, first_row;
    std::size_t offset, tile_bytes;
};

constexpr int stride(int length) {
    return (length + kStrideFloats - 1) / kStrideFloats * kStrideFloats;
}

/// 64-byte aligned values between two guards. check() says whether a guard was written over.
template <class T>
class Guarded {
public:
    explicit Guarded(std::size_t count) : storage_(new (std::align_val_t{64}) T[count + 2 * kGuard]), count_(count) {
        for (std::size_t i = 0; i < count + 2 * kGuard; ++i) {
            storage_.get()[i] = sentinel();
        }
    }
    T* data() { return storage_.get() + kGuard; }
    T& operator[](std::size_t i) { return data()[i]; }

    /// Nothing but the values [0, written) differs from what the constructor put there.
    void check(std::size_t written) {
        for (std::size_t i = 0; i < count_ + 2 * kGuard; ++i) {
            if (i < kGuard || i >= kGuard + written) {
                ASSERT_EQ(bits(storage_.get()[i]), bits(sentinel())) << "written outside, at " << i << " - " << kGuard;
            }
        }
    }

private:
    static constexpr std::size_t kGuard = 64;
    static T sentinel() { return static_cast<T>(-77); }
    static auto bits(T v) {
        if constexpr (sizeof(T) == 4) {
            return std::bit_cast<std::uint32_t>(v);
        } else {
            return v;
        }
    }
    struct Delete {
        void operator()(T* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    std::unique_ptr<T, Delete> storage_;
    std::size_t count_;
};

/// Vectors of a length that a kernel has to survive: structured ones first, then random ones.
inline std::vector<std::vector<float>> test_vectors(int length) {
    const auto n = static_cast<std::size_t>(length);
    std::vector<std::vector<float>> vectors = {std::vector<float>(n, 0.0F), std::vector<float>(n, 1.0F)};
    std::vector<float> alternating(n);
    std::vector<float> ramp(n);
    for (std::size_t i = 0; i < n; ++i) {
        alternating[i] = i % 2 == 0 ? 127.0F : -127.0F;
        ramp[i] = (static_cast<float>(i) - static_cast<float>(n) / 2) * 0.5F;  // halves: ties of the quantiser
    }
    vectors.push_back(alternating);
    vectors.push_back(ramp);
    for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
        std::vector<float> one(n, 0.0F);
        one[at] = -3.0F;
        vectors.push_back(one);
    }
    std::mt19937 random(static_cast<unsigned>(length));
    std::normal_distribution<float> normal;
    for (const float scale : {1.0F, 1e-30F, 1e-42F, 30.0F}) {
        std::vector<float> noise(n);
        for (float& v : noise) {
            v = normal(random) * scale;
        }
        vectors.push_back(noise);
    }
    return vectors;
}

/// Puts vector p of a batch at p * stride.
inline void spread(float* to, const std::vector<std::vector<float>>& batch, int stride) {
    for (std::size_t p = 0; p < batch.size(); ++p) {
        std::copy(batch[p].begin(), batch[p].end(), to + p * static_cast<std::size_t>(stride));
    }
}

/// The first floats of a batch's position p are the expected ones, bit for bit.
inline void expect_equal(const std::vector<float>& expected, const float* actual, const std::string& what) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_EQ(std::bit_cast<std::uint32_t>(expected[i]), std::bit_cast<std::uint32_t>(actual[i]))
            << what << ": at " << i << " expected " << expected[i] << ", found " << actual[i];
    }
}

/// Calls a kernel as each member of teams of several sizes, one after the other: their slices make up the whole.
template <class Call>
void as_teams(int n, Call call) {
    for (const int size : {1, 2, 3, 61}) {
        if (size > kMaxThreads) {
            break;
        }
        for (int rank = 0; rank < size; ++rank) {
            call(Context{n, Team{rank, size, nullptr}, nullptr}, size);
        }
    }
}

/// Batches of test vectors: every vector alone, and kMaxBatch different ones together.
inline std::vector<std::vector<std::vector<float>>> test_batches(int length) {
    const auto vectors = test_vectors(length);
    std::vector<std::vector<std::vector<float>>> batches;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
        batches.push_back({vectors[i]});
    }
    for (std::size_t n = 2; n <= static_cast<std::size_t>(kMaxBatch); ++n) {
        std::vector<std::vector<float>> batch;
        for (std::size_t p = 0; p < n; ++p) {
            batch.push_back(vectors[(n + p) % vectors.size()]);
        }
        batches.push_back(batch);
    }
    return batches;
}

}  // namespace storybake::baked
