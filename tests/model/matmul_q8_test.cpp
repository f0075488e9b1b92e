// Every int8 matrix product and the quantiser of this build's model against the oracle's.
#include "kernel_cases.hpp"
#include "oracle.hpp"

namespace storybake::baked {
namespace {

struct Product {
    const char* name;
    void (*run)(const Context&, float*, const Quantized&, const std::byte*);
    int rows, columns, together;
    std::vector<Tiles> tiles;
};

using Quantizer = void (*)(const Context&, Quantized&, const float*);

std::vector<Product> products() {
    std::vector<Product> all;
    std::vector<Tiles> tiles;
#define TILES(rows, count, first_row, offset, tile_bytes) tiles.push_back({rows, count, first_row, offset, tile_bytes});
#define KERNEL(name, rows, columns, together)                     \
    all.push_back({#name, name, rows, columns, together, tiles}); \
    tiles.clear();
#define QUANTIZE(length)
#include "kernels.inc"
#undef TILES
#undef KERNEL
#undef QUANTIZE
    return all;
}

struct LengthAndQuantizer {
    int length;
    Quantizer run;
};

constexpr LengthAndQuantizer kQuantizers[] = {
#define TILES(...)
#define KERNEL(...)
#define QUANTIZE(length) {length, quantize_##length},
#include "kernels.inc"
#undef TILES
#undef KERNEL
#undef QUANTIZE
};

Quantizer quantizer(int length) {
    for (const auto& [known, run] : kQuantizers) {
        if (known == length) {
            return run;
        }
    }
    return nullptr;
}

/// The batch as the kernels take it.
void quantize(int length, Quantized& xq, const std::vector<std::vector<float>>& batch) {
    Guarded<float> x(static_cast<std::size_t>(kMaxBatch * stride(length)));
    spread(x.data(), batch, stride(length));
    quantizer(length)(Context{static_cast<int>(batch.size()), Team{}, nullptr}, xq, x.data());
}

/// Byte offset of row r, column j of a tile: groups in order, in a group `together` columns of a row side by side.
std::size_t place(const Tiles& run, int together, int r, int j) {
    const int group = j / kGroupSize;
    const int in_group = j % kGroupSize;
    return static_cast<std::size_t>(group * run.rows * (kGroupSize + 4) +
                                    (in_group / together * run.rows + r) * together + in_group % together);
}

class MatmulQ8 : public ::testing::TestWithParam<Product> {};

TEST_P(MatmulQ8, EqualsTheOracle) {
    const Product& product = GetParam();
    oracle::Matrix w{product.rows, product.columns, kGroupSize, {}, {}, {}};
    std::mt19937 random(5);
    std::uniform_int_distribution<int> weight(-127, 127);
    const auto columns = static_cast<std::size_t>(product.columns);
    w.q.resize(static_cast<std::size_t>(product.rows) * columns);
    for (std::size_t i = 0; i < w.q.size(); ++i) {
        const std::size_t row = i / columns;
        // the first rows hold what is hardest on narrow sums: all extremes
        w.q[i] = static_cast<std::int8_t>(row == 0   ? 127
                                          : row == 1 ? -128
                                          : row == 2 ? (i % 2 ? 127 : -127)
                                                     : weight(random));
    }
    w.s.resize(w.q.size() / kGroupSize);
    for (float& s : w.s) {
        s = static_cast<float>(weight(random)) * 1e-3F;
    }

    const Tiles& end = product.tiles.back();
    Guarded<std::int8_t> packed(end.offset + static_cast<std::size_t>(end.count) * end.tile_bytes);
    for (const Tiles& run : product.tiles) {
        for (int row = run.first_row; row < run.first_row + run.rows * run.count; ++row) {
            const int in_run = row - run.first_row;
            const int r = in_run % run.rows;
            const std::size_t tile = run.offset + static_cast<std::size_t>(in_run / run.rows) * run.tile_bytes;
            for (int j = 0; j < product.columns; ++j) {
                const auto from = static_cast<std::size_t>(row) * columns + static_cast<std::size_t>(j);
                packed[tile + place(run, product.together, r, j)] =
                    static_cast<std::int8_t>((row < product.rows ? w.q[from] : 0) + kWeightBias);
                if (j % kGroupSize == 0) {
                    const float s = row < product.rows ? w.s[from / kGroupSize] : 0.0F;
                    const auto group = static_cast<std::size_t>(j / kGroupSize * run.rows * (kGroupSize + 4));
                    std::memcpy(packed.data() + tile + group + static_cast<std::size_t>(run.rows * kGroupSize + 4 * r),
                                &s, 4);
                }
            }
        }
    }

    const auto out_stride = static_cast<std::size_t>(stride(product.rows));
    const auto xq = std::make_unique<Quantized>();
    for (const auto& batch : test_batches(product.columns)) {
        quantize(product.columns, *xq, batch);
        Guarded<float> out(static_cast<std::size_t>(kMaxBatch) * out_stride);
        as_teams(static_cast<int>(batch.size()), [&](const Context& c, int size) {
            product.run(c, out.data(), *xq, reinterpret_cast<const std::byte*>(packed.data()));
            if (c.team.rank == size - 1) {
                for (std::size_t p = 0; p < batch.size(); ++p) {
                    expect_equal(oracle::matmul(w, batch[p]), out.data() + p * out_stride,
                                 "position " + std::to_string(p) + ", team of " + std::to_string(size));
                }
            }
        });
        out.check(batch.size() * out_stride);
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MatmulQ8, ::testing::ValuesIn(products()),
                         [](const auto& info) { return std::string(info.param.name); });

class QuantizeQ8 : public ::testing::TestWithParam<LengthAndQuantizer> {};

TEST_P(QuantizeQ8, EqualsTheOracle) {
    const int length = GetParam().length;
    const auto xq = std::make_unique<Quantized>();
    for (const auto& batch : test_batches(length)) {
        quantize(length, *xq, batch);
        for (std::size_t p = 0; p < batch.size(); ++p) {
            const oracle::Quantized expected = oracle::quantize(batch[p], kGroupSize);
            const std::int8_t* q = xq->q + p * static_cast<std::size_t>((length + 63) / 64 * 64);
            for (std::size_t i = 0; i < expected.q.size(); ++i) {
                ASSERT_EQ(expected.q[i], q[i]) << "at " << i << " of position " << p << ": " << batch[p][i];
            }
            expect_equal(expected.s, xq->s + p * static_cast<std::size_t>(stride(length / kGroupSize)), "scales");
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, QuantizeQ8, ::testing::ValuesIn(kQuantizers),
                         [](const auto& info) { return "quantize_" + std::to_string(info.param.length); });

}  // namespace
}  // namespace storybake::baked
