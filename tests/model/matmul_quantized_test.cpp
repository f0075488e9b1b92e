// Every product of quantised weights, and the quantiser, of this build's model against the oracle's.
#include "half.hpp"
#include "kernel_cases.hpp"

namespace storybake::baked {
namespace {

using QuantizedProduct = Product<const Quantized&>;
using Quantizer = void (*)(const Context&, Quantized&, const float*);

struct LengthAndQuantizer {
    int length;
    Quantizer run;
};

constexpr LengthAndQuantizer kQuantizers[] = {
#define QUANTIZE(length) {length, quantize_##length},
#include "kernels.inc"
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
    watched(quantizer(length), Context{static_cast<int>(batch.size()), Team{}, nullptr}, xq, x.data());
}

/// Writes a row's integers and scales into its tile: row r of `rows`, as codegen.layout has them.
void pack_row(const QuantizedProduct& product, std::byte* tile, int r, int rows, const std::int8_t* q, const float* s) {
    const bool nibbles = product.weight_type == WeightType::q4;
    const int together = product.together;
    const int integer_bytes = nibbles ? kGroupSize / 2 : kGroupSize;
    for (int j = 0; j < product.columns; ++j) {
        std::byte* group = tile + j / kGroupSize * rows * (integer_bytes + (nibbles ? 2 : 4));
        const int column = j % kGroupSize;
        const auto value = static_cast<unsigned>(q[j] + product.offset);
        if (nibbles) {
            std::byte& pair = group[(column / (2 * together) * rows + r) * together + column % together];
            const bool upper = column / together % 2 != 0;
            pair = upper ? (pair & std::byte{0x0f}) | static_cast<std::byte>(value << 4)
                         : (pair & std::byte{0xf0}) | static_cast<std::byte>(value);
        } else {
            group[(column / together * rows + r) * together + column % together] = static_cast<std::byte>(value);
        }
        if (column == 0) {
            const float scale = s[j / kGroupSize];
            const std::uint16_t half = float_to_half(scale);
            std::byte* scales = group + rows * integer_bytes;
            nibbles ? std::memcpy(scales + 2 * r, &half, 2) : std::memcpy(scales + 4 * r, &scale, 4);
        }
    }
}

class MatmulQuantized : public ::testing::TestWithParam<QuantizedProduct> {};

TEST_P(MatmulQuantized, EqualsTheOracle) {
    const QuantizedProduct& product = GetParam();
    const bool nibbles = product.weight_type == WeightType::q4;
    const int lowest = nibbles ? -8 : -128;
    const int highest = nibbles ? 7 : 127;
    oracle::Matrix w{product.rows, product.columns, kGroupSize, {}, {}, {}};
    std::mt19937 random(5);
    std::uniform_int_distribution<int> weight(nibbles ? -8 : -127, highest);
    const auto columns = static_cast<std::size_t>(product.columns);
    w.q.resize(static_cast<std::size_t>(product.rows) * columns);
    for (std::size_t i = 0; i < w.q.size(); ++i) {
        const std::size_t row = i / columns;
        // the first rows hold what is hardest on narrow sums: all extremes
        w.q[i] = static_cast<std::int8_t>(row == 0   ? highest
                                          : row == 1 ? lowest
                                          : row == 2 ? (i % 2 ? highest : -highest)
                                                     : weight(random));
    }
    w.s.resize(w.q.size() / kGroupSize);
    for (float& s : w.s) {
        s = static_cast<float>(weight(random)) * 1e-3F;
        s = nibbles ? half_to_float(float_to_half(s)) : s;
    }

    Guarded<std::byte> packed = packed_weights(product);
    const std::vector<std::int8_t> zeros(columns);
    const std::vector<float> zero_scales(columns / kGroupSize);
    for_rows(product, [&](int row, std::size_t tile, int r, int rows) {
        const auto at = static_cast<std::size_t>(row) * columns;
        const bool real = row < product.rows;
        pack_row(product, packed.data() + tile, r, rows, real ? w.q.data() + at : zeros.data(),
                 real ? w.s.data() + at / kGroupSize : zero_scales.data());
    });

    const auto xq = std::make_unique<Quantized>();
    for (const auto& batch : test_batches(product.columns)) {
        quantize(product.columns, *xq, batch);
        expect_product<const Quantized&>(product, *xq, packed.data(), w, batch);
    }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MatmulQuantized, ::testing::ValuesIn(products<const Quantized&>()),
                         [](const auto& info) { return std::string(info.param.name); });

class Quantize : public ::testing::TestWithParam<LengthAndQuantizer> {};

TEST_P(Quantize, EqualsTheOracle) {
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

INSTANTIATE_TEST_SUITE_P(Kernels, Quantize, ::testing::ValuesIn(kQuantizers),
                         [](const auto& info) { return "quantize_" + std::to_string(info.param.length); });

}  // namespace
}  // namespace storybake::baked
