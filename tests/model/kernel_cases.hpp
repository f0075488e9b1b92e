// What the kernel tests share: test vectors, guarded buffers, and bit-for-bit comparison with the oracle's operations.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
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
#include <type_traits>
#include <vector>

#include "baked_model.hpp"
#include "context.hpp"
#include "kernels.hpp"
#include "oracle.hpp"

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
            return static_cast<int>(v);
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

/// The types of the products' weights, by the names that kernels.inc has.
enum class WeightType { f32, f16, q8, q4 };

/// A matrix product, a row of kernels.inc. In is const float* or const Quantized&.
template <class In>
struct Product {
    using Run = void (*)(const Context&, float*, In, const std::byte*);
    const char* name;
    Run run;
    WeightType weight_type;
    int rows, columns, together, offset;
    std::vector<Tiles> tiles;
};

/// The products that take an In.
template <class In>
std::vector<Product<In>> products() {
    std::vector<Product<In>> all;
    std::vector<Tiles> tiles;
    const auto add = [&](const char* name, auto run, WeightType type, int rows, int columns, int together, int offset) {
        if constexpr (std::is_same_v<decltype(run), typename Product<In>::Run>) {
            all.push_back({name, run, type, rows, columns, together, offset, tiles});
        }
        tiles.clear();
    };
#define TILES(rows, count, first_row, offset, tile_bytes) tiles.push_back({rows, count, first_row, offset, tile_bytes});
#define KERNEL(name, weight_type, rows, columns, together, offset) \
    add(#name, name, WeightType::weight_type, rows, columns, together, offset);
#include "kernels.inc"
    return all;
}

/// Calls at(row, byte offset of its tile, row in the tile, rows of the tile) for each row of a matrix, padding
/// included.
template <class In, class At>
void for_rows(const Product<In>& product, At at) {
    for (const Tiles& run : product.tiles) {
        for (int i = 0; i < run.rows * run.count; ++i) {
            at(run.first_row + i, run.offset + static_cast<std::size_t>(i / run.rows) * run.tile_bytes, i % run.rows,
               run.rows);
        }
    }
}

/// Room for the packed weights of a product.
template <class In>
Guarded<std::byte> packed_weights(const Product<In>& product) {
    const Tiles& end = product.tiles.back();
    return Guarded<std::byte>(end.offset + static_cast<std::size_t>(end.count) * end.tile_bytes);
}

/// Runs a product on a batch as every member of teams of several sizes; the rows of each team make up the oracle's.
template <class In>
void expect_product(const Product<In>& product, In x, const std::byte* packed, const oracle::Matrix& w,
                    const std::vector<std::vector<float>>& batch) {
    const auto out_stride = static_cast<std::size_t>(stride(product.rows));
    Guarded<float> out(static_cast<std::size_t>(kMaxBatch) * out_stride);
    as_teams(static_cast<int>(batch.size()), [&](const Context& c, int size) {
        product.run(c, out.data(), x, packed);
        if (c.team.rank == size - 1) {
            for (std::size_t p = 0; p < batch.size(); ++p) {
                expect_equal(oracle::matmul(w, batch[p]), out.data() + p * out_stride,
                             "position " + std::to_string(p) + ", team of " + std::to_string(size));
            }
        }
    });
    out.check(batch.size() * out_stride);
}

}  // namespace storybake::baked
