// Every float32 matrix product of this build's model against the oracle's.
#include "kernel_cases.hpp"
#include "oracle.hpp"

namespace storybake::baked {
namespace {

struct Product {
    const char* name;
    void (*run)(const Context&, float*, const float*, const std::byte*);
    int rows, columns;
    std::vector<Tiles> tiles;
};

std::vector<Product> products() {
    std::vector<Product> all;
    std::vector<Tiles> tiles;
#define TILES(rows, count, first_row, offset, tile_bytes) tiles.push_back({rows, count, first_row, offset, tile_bytes});
#define KERNEL(name, rows, columns, together)           \
    all.push_back({#name, name, rows, columns, tiles}); \
    tiles.clear();
#include "kernels.inc"
#undef TILES
#undef KERNEL
    return all;
}

class MatmulF32 : public ::testing::TestWithParam<Product> {};

TEST_P(MatmulF32, EqualsTheOracle) {
    const Product& product = GetParam();
    oracle::Matrix w{product.rows, product.columns, 0, {}, {}, {}};
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    w.f.resize(static_cast<std::size_t>(product.rows) * static_cast<std::size_t>(product.columns));
    for (float& v : w.f) {
        v = normal(random);
    }

    const Tiles& end = product.tiles.back();
    Guarded<float> packed((end.offset + static_cast<std::size_t>(end.count) * end.tile_bytes) / 4);
    for (const Tiles& run : product.tiles) {
        for (int row = run.first_row; row < run.first_row + run.rows * run.count; ++row) {
            const int in_run = row - run.first_row;
            for (int j = 0; j < product.columns; ++j) {
                const auto at = (run.offset + static_cast<std::size_t>(in_run / run.rows) * run.tile_bytes) / 4 +
                                static_cast<std::size_t>(j * run.rows + in_run % run.rows);
                packed[at] = row < product.rows ? w.f[static_cast<std::size_t>(row * product.columns + j)] : 0.0F;
            }
        }
    }

    const auto out_stride = static_cast<std::size_t>(stride(product.rows));
    const auto in_stride = static_cast<std::size_t>(stride(product.columns));
    for (const auto& batch : test_batches(product.columns)) {
        Guarded<float> x(static_cast<std::size_t>(kMaxBatch) * in_stride);
        spread(x.data(), batch, static_cast<int>(in_stride));
        Guarded<float> out(static_cast<std::size_t>(kMaxBatch) * out_stride);
        as_teams(static_cast<int>(batch.size()), [&](const Context& c, int size) {
            product.run(c, out.data(), x.data(), reinterpret_cast<const std::byte*>(packed.data()));
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

INSTANTIATE_TEST_SUITE_P(Kernels, MatmulF32, ::testing::ValuesIn(products()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace storybake::baked
