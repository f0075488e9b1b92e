// What the kernel tests share: test vectors, guarded buffers, and bit-for-bit comparison with the oracle's operations.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
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
#include "machine_state.hpp"
#include "mapping.hpp"
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

/// 64-byte aligned values between a guard, which check() finds written over, and a page that can't be touched: whatever
/// reads or writes there ends the test. Between the values and that page lie only the bytes that may be read, and
/// what is left of 64.
template <class T>
class Guarded {
public:
    explicit Guarded(std::size_t count, std::size_t readable = 0) : count_(count) {
        const std::size_t behind = round_up(count * sizeof(T) + readable, 64);
        const std::size_t size = round_up(kGuard * sizeof(T) + behind, kPage) + kPage;
        void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED || ::mprotect(static_cast<std::byte*>(mapped) + size - kPage, kPage, PROT_NONE) != 0) {
            std::abort();  // no test says anything without its memory
        }
        memory_ = Mapping(static_cast<std::byte*>(mapped), size);
        end_ = reinterpret_cast<T*>(memory_.data() + size - kPage);
        data_ = end_ - behind / sizeof(T);
        std::fill(data_ - kGuard, end_, sentinel());
    }
    T* data() { return data_; }
    T& operator[](std::size_t i) { return data_[i]; }

    /// Nothing but the values [0, written) differs from what the constructor put there.
    void check(std::size_t written) {
        for (const T* at = data_ - kGuard; at < end_; ++at) {
            if (at < data_ || at >= data_ + written) {
                ASSERT_EQ(bits(*at), bits(sentinel())) << "written outside, at " << at - data_ << " of " << count_;
            }
        }
    }

private:
    static constexpr std::size_t kGuard = 64;
    static constexpr std::size_t kPage = std::size_t{1} << 16;  // bytes, the most that a system has
    static constexpr std::size_t round_up(std::size_t size, std::size_t to) { return (size + to - 1) / to * to; }
    static T sentinel() { return static_cast<T>(-77); }
    static auto bits(T v) {
        if constexpr (sizeof(T) == 4) {
            return std::bit_cast<std::uint32_t>(v);
        } else {
            return static_cast<int>(v);
        }
    }
    Mapping memory_;
    T* data_ = nullptr;
    T* end_ = nullptr;
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
    for (const int size : {1, 2, 3, 4, 5, 6, 7, 8, 9, 61}) {
        if (size > kMaxThreads) {
            break;
        }
        for (int rank = 0; rank < size; ++rank) {
            call(Context{n, Team{rank, size, nullptr}, nullptr}, size);
        }
    }
}

/// A vector of a magnitude of its own, from subnormals to 1e9, sometimes with zeros or with one value far above the
/// others.
inline std::vector<float> random_vector(int length, std::mt19937& random) {
    const auto below = [&](int count) { return std::uniform_int_distribution<int>(0, count - 1)(random); };
    std::normal_distribution<float> normal;
    std::vector<float> v;
    const float scale = std::pow(10.0F, static_cast<float>(below(53) - 44));
    const int zeros = below(3) == 0 ? 2 : 1000;
    for (int i = 0; i < length; ++i) {
        v.push_back(below(zeros) == 0 ? 0.0F : normal(random) * scale);
    }
    if (below(4) == 0) {
        v[static_cast<std::size_t>(below(length))] = scale * 1e3F;
    }
    return v;
}

/// A batch of as many positions as it happens to be.
inline std::vector<std::vector<float>> random_batch(int length, std::mt19937& random) {
    std::vector<std::vector<float>> batch(1 + random() % static_cast<unsigned>(kMaxBatch));
    for (std::vector<float>& v : batch) {
        v = random_vector(length, random);
    }
    return batch;
}

/// Counts the random batches that each kernel meets: 20, or as many as STORYBAKE_TEST_BATCHES says.
inline int random_batches() {
    const char* const wanted = std::getenv("STORYBAKE_TEST_BATCHES");
    return wanted != nullptr ? std::atoi(wanted) : 20;
}

/// Batches of test vectors: every vector alone, kMaxBatch different ones together, and random ones.
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
    std::mt19937 random(static_cast<unsigned>(length) + 1);
    for (int i = 0; i < random_batches(); ++i) {
        batches.push_back(random_batch(length, random));
    }
    return batches;
}

/// What one run of a test draws: the first a full batch of a normal distribution, the others whatever random_batch()
/// makes.
class Round {
public:
    explicit Round(int number)
        : random(static_cast<unsigned>(number)),
          n(number == 0 ? kMaxBatch : 1 + static_cast<int>(random() % static_cast<unsigned>(kMaxBatch))),
          normal_(number == 0) {}

    std::vector<float> vector(int length) {
        if (!normal_) {
            return random_vector(length, random);
        }
        std::normal_distribution<float> normal(0.0F, 2.0F);
        std::vector<float> v(static_cast<std::size_t>(length));
        for (float& f : v) {
            f = normal(random);
        }
        return v;
    }

    std::mt19937 random;
    int n;  // positions of a batch

private:
    bool normal_;
};

/// Runs a test in each of its rounds, until one fails.
template <class Test>
void in_rounds(Test test) {
    for (int number = 0; number <= random_batches() && !::testing::Test::HasFatalFailure(); ++number) {
        Round round(number);
        test(round);
    }
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
    return Guarded<std::byte>(end.offset + static_cast<std::size_t>(end.count) * end.tile_bytes, STORYBAKE_OVER_READ);
}

/// Runs a product on a batch as every member of teams of several sizes; the rows of each team make up the oracle's.
template <class In>
void expect_product(const Product<In>& product, In x, const std::byte* packed, const oracle::Matrix& w,
                    const std::vector<std::vector<float>>& batch) {
    const auto out_stride = static_cast<std::size_t>(stride(product.rows));
    Guarded<float> out(static_cast<std::size_t>(kMaxBatch) * out_stride);
    std::vector<std::vector<float>> expected;
    for (const std::vector<float>& v : batch) {
        expected.push_back(oracle::matmul(w, v));
    }
    as_teams(static_cast<int>(batch.size()), [&](const Context& c, int size) {
        watched(product.run, c, out.data(), x, packed);
        if (c.team.rank == size - 1) {
            for (std::size_t p = 0; p < batch.size(); ++p) {
                expect_equal(expected[p], out.data() + p * out_stride,
                             "position " + std::to_string(p) + ", team of " + std::to_string(size));
            }
        }
    });
    out.check(batch.size() * out_stride);
}

}  // namespace storybake::baked
