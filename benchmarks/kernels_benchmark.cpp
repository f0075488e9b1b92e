// Times every matrix product of this build's model, streaming as many weights as the model has, beside the plainest
// reading of as many bytes, and choosing a token. Options are Google Benchmark's: --benchmark_filter=,
// --benchmark_format=json, ...
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "baked_model.hpp"
#include "context.hpp"
#include "kernels.hpp"
#include "sampler.hpp"

namespace storybake::baked {
namespace {

/// Makes weights of the model's size, alignment and pages; their values do not matter to the time.
const std::byte* weights() {
    constexpr std::align_val_t kHugePage{std::size_t{2} << 20};
    struct Delete {
        void operator()(std::byte* p) const { ::operator delete[](p, kHugePage); }
    };
    static const std::unique_ptr<std::byte, Delete> bytes = [] {
        std::unique_ptr<std::byte, Delete> made(new (kHugePage) std::byte[kWeightsBytes]);
        ::madvise(made.get(), kWeightsBytes, MADV_HUGEPAGE);
        std::memset(made.get(), 0x3c, kWeightsBytes);  // 0.0115 as a float
        return made;
    }();
    return bytes.get();
}

/// Holds the input of a product: floats, or Quantized.
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

/// Multiplies n positions with one matrix after the other until the model's bytes are used up, then again.
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

/// Reads the bytes [begin, end) of the weights, and does as little with them as there is to do.
void read(std::size_t begin, std::size_t end) {
    typedef std::uint64_t Vector __attribute__((vector_size(64)));
    Vector sums[4] = {};  // independent, so that none waits for another
    for (std::size_t at = begin; at + sizeof sums <= end; at += sizeof sums) {
        for (std::size_t i = 0; i < 4; ++i) {
            Vector words;
            std::memcpy(&words, weights() + at + i * sizeof words, sizeof words);
            sums[i] ^= words;
        }
    }
    benchmark::DoNotOptimize(sums);
}

/// Reads as many bytes as the model's weights, each thread a part.
void read_bandwidth(benchmark::State& state, int threads) {
    for (auto _ : state) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#endif
        {
#ifdef _OPENMP
            const auto rank = static_cast<std::size_t>(omp_get_thread_num());
#else
            const std::size_t rank = 0;
#endif
            const std::size_t share = kWeightsBytes / static_cast<std::size_t>(threads) / 64 * 64;
            read(rank * share, (rank + 1) * share);
        }
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kWeightsBytes));
}

/// Chooses a token of logits with a standard deviation of `scale`, by top-p: most tokens are candidates when that is
/// 0.3, as a model that was never trained has it, and few when it is 5.
void choose(benchmark::State& state, float scale, float temperature) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0F, scale);
    std::vector<float> logits(kVocabSize);
    for (float& x : logits) {
        x = normal(random);
    }
    Sampler sampler(kVocabSize, temperature, 0.9F, 7);
    for (auto _ : state) {
        benchmark::DoNotOptimize(sampler.sample(logits, scan(logits.data(), kVocabSize).largest));
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(sizeof(float) * kVocabSize));
}

void add_products() {
    // A batch writes its rows one position after the other into the logits, the largest of buffers.
    constexpr int kRoom = static_cast<int>(sizeof(State::logits) / sizeof(float));
    std::size_t bytes = 0;
#define TILES(rows, count, first_row, offset, tile_bytes) bytes += std::size_t{count} * (tile_bytes);
#define KERNEL(name, weight_type, rows, columns, together, offset)                                          \
    for (const int n : {1, kMaxBatch}) {                                                                    \
        if (n * ((rows) + 63) <= kRoom || n == 1) {                                                         \
            benchmark::RegisterBenchmark((#name "/" + std::to_string(n)).c_str(), [bytes, n](auto& state) { \
                product(state, name, bytes, static_cast<double>(rows) * (columns), n);                      \
            });                                                                                             \
        }                                                                                                   \
    }                                                                                                       \
    bytes = 0;
#include "kernels.inc"
}

}  // namespace
}  // namespace storybake::baked

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    storybake::baked::weights();  // takes no part of the first one's time
#ifdef _OPENMP
    const int cores = omp_get_num_procs();
#else
    const int cores = 1;
#endif
    for (int threads = 1; threads <= cores; threads *= 2) {
        benchmark::RegisterBenchmark(("read/" + std::to_string(threads)).c_str(), storybake::baked::read_bandwidth,
                                     threads)
            ->UseRealTime();
    }
    storybake::baked::add_products();
    benchmark::RegisterBenchmark("argmax", storybake::baked::choose, 5.0F, 0.0F);
    benchmark::RegisterBenchmark("sample, steep", storybake::baked::choose, 5.0F, 1.0F);
    benchmark::RegisterBenchmark("sample, flat", storybake::baked::choose, 0.3F, 1.0F);
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
