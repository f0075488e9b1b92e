// Times every matrix product of this build's model, streaming as many weights as the model has, beside the plainest
// reading of as many bytes. Options are Google Benchmark's: --benchmark_filter=, --benchmark_format=json, ...
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

#include "baked_model.hpp"
#include "context.hpp"
#include "kernels.hpp"

namespace storybake::baked {
namespace {

/// The model's weights in size and alignment; their values do not matter to the time.
const std::byte* weights() {
    struct Delete {
        void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    static const std::unique_ptr<std::byte, Delete> bytes = [] {
        std::unique_ptr<std::byte, Delete> made(new (std::align_val_t{64}) std::byte[kWeightsBytes]);
        std::memset(made.get(), 0x3c, kWeightsBytes);  // 0.0115 as a float
        return made;
    }();
    return bytes.get();
}

/// The input of a product: floats, or Quantized.
template <class In>
const auto& input() {
    if constexpr (std::is_pointer_v<In>) {
        static float x[kMaxBatch * (kHiddenDimStride + kDimStride + kAttDimStride)];
        return x;
    } else {
        static std::remove_cv_t<std::remove_reference_t<In>> x;
        return x;
    }
}

/// Products of n positions with one matrix after the other until the model's bytes are used up, then again.
template <class In>
void product(benchmark::State& state, void (*kernel)(const Context&, float*, In, const std::byte*), std::size_t bytes,
             double macs, int n) {
    static State out;
    const Context c{n, Team{}, nullptr};
    const std::size_t step = (bytes + 63) / 64 * 64;
    std::size_t at = 0;
    for (auto _ : state) {
        kernel(c, out.logits, input<In>(), weights() + at);
        benchmark::ClobberMemory();
        at = at + 2 * step <= kWeightsBytes ? at + step : 0;
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
    state.counters["macs"] =
        benchmark::Counter(macs * n, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

/// Reads as many bytes as the model's weights, and does as little with them as there is to do.
void read_bandwidth(benchmark::State& state) {
    typedef std::uint64_t Vector __attribute__((vector_size(64)));
    const std::byte* const weights_begin = weights();
    for (auto _ : state) {
        Vector sums[4] = {};  // independent, so that none waits for another
        for (std::size_t at = 0; at + sizeof sums <= kWeightsBytes; at += sizeof sums) {
            for (std::size_t i = 0; i < 4; ++i) {
                Vector words;
                std::memcpy(&words, weights_begin + at + i * sizeof words, sizeof words);
                sums[i] ^= words;
            }
        }
        benchmark::DoNotOptimize(sums);
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kWeightsBytes));
}

void add_products() {
    // A batch writes its rows one position after the other into the logits, the largest of buffers.
    constexpr int kRoom = static_cast<int>(sizeof(State::logits) / sizeof(float));
    std::size_t bytes = 0;
#define TILES(rows, count, first_row, offset, tile_bytes) bytes += std::size_t{count} * (tile_bytes);
#define KERNEL(name, weight_type, rows, columns, together, bias)                                            \
    for (const int n : {1, kMaxBatch}) {                                                                    \
        if (n * ((rows) + 63) <= kRoom || n == 1) {                                                         \
            benchmark::RegisterBenchmark((#name "/" + std::to_string(n)).c_str(), [bytes, n](auto& state) { \
                product(state, name, bytes, static_cast<double>(rows) * (columns), n);                      \
            });                                                                                             \
        }                                                                                                   \
    }                                                                                                       \
    bytes = 0;
#define QUANTIZE(length)
#include "kernels.inc"
#undef TILES
#undef KERNEL
#undef QUANTIZE
}

}  // namespace
}  // namespace storybake::baked

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    benchmark::RegisterBenchmark("read", storybake::baked::read_bandwidth);
    storybake::baked::add_products();
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
