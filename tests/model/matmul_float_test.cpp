// Every product of float32 and float16 weights of this build's model against the oracle's.
#include "half.hpp"
#include "kernel_cases.hpp"

namespace storybake::baked {
namespace {

// RISC-V's kernels load the next four of x before they know that there are none: State and Scratch go on behind each of
// their vectors.
constexpr std::size_t kReadBehind = STORYBAKE_OVER_READ > 0 ? 4 * sizeof(float) : 0;

using FloatProduct = Product<const float*>;

class MatmulFloat : public ::testing::TestWithParam<FloatProduct> {};

TEST_P(MatmulFloat, EqualsTheOracle) {
    const FloatProduct& product = GetParam();
    const bool halves = product.weight_type == WeightType::f16;
    oracle::Matrix w{product.rows, product.columns, 0, {}, {}, {}};
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    w.f.resize(static_cast<std::size_t>(product.rows) * static_cast<std::size_t>(product.columns));
    for (std::size_t i = 0; i < w.f.size(); ++i) {
        // among them a half's subnormals and its largest value
        const float scale = i % 7 == 0 ? 1e-6F : 1.0F;
        const float value = i % 101 == 0 ? 65504.0F : normal(random) * scale;
        w.f[i] = halves ? half_to_float(float_to_half(value)) : value;
    }

    Guarded<std::byte> packed = packed_weights(product);
    const std::size_t bytes = halves ? 2 : 4;
    for_rows(product, [&](int row, std::size_t tile, int r, int tile_rows) {
        for (int j = 0; j < product.columns; ++j) {
            const float value = row < product.rows ? w.f[static_cast<std::size_t>(row * product.columns + j)] : 0.0F;
            std::byte* to = packed.data() + tile + static_cast<std::size_t>(j * tile_rows + r) * bytes;
            const std::uint16_t half = float_to_half(value);
            halves ? std::memcpy(to, &half, sizeof half) : std::memcpy(to, &value, sizeof value);
        }
    });

    const auto in_stride = static_cast<std::size_t>(stride(product.columns));
    auto batches = test_batches(product.columns);
    for (const float special : {1e-40F, 65504.0F, 65536.0F, 1e20F}) {  // beyond what a kernel may scale by 2^112
        batches.push_back(batches.front());
        batches.back().back().back() = special;
    }
    for (const auto& batch : batches) {
        Guarded<float> x(static_cast<std::size_t>(kMaxBatch) * in_stride, kReadBehind);
        spread(x.data(), batch, static_cast<int>(in_stride));
        expect_product<const float*>(product, x.data(), packed.data(), w, batch);
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MatmulFloat, ::testing::ValuesIn(products<const float*>()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace storybake::baked
