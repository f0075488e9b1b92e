#include "machine.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "clock.hpp"
#include "files.hpp"

#ifdef __riscv
#include "illegal_instruction.hpp"
#endif

namespace storybake {
namespace {

constexpr double kLongEnough = 0.02;  // seconds, so that the grain of the clock does not count

#ifdef __riscv
std::uint64_t cycles() {
    std::uint64_t count;
    asm volatile("rdcycle %0" : "=r"(count));
    return count;
}

/// Counts cycles against rdtime in the kernel's units, which knows the board's timebase.
double measure_hertz() {
    double hertz = 0.0;
    survives([&] {
        const std::uint64_t first = cycles();
        const std::int64_t start = now_ns();
        double seconds = 0.0;
        while (seconds < kLongEnough) {
            seconds = seconds_since(start);
        }
        hertz = static_cast<double>(cycles() - first) / seconds;
    });
    return hertz;
}
#else
double measure_hertz() {
    return 0.0;
}
#endif

/// Adds up four sums side by side: one would wait for its own additions.
std::uint64_t sum(std::span<const std::byte> data) {
    std::uint64_t sums[4] = {};
    for (std::size_t at = 0; at + sizeof sums <= data.size(); at += sizeof sums) {
        for (std::size_t i = 0; i < 4; ++i) {
            std::uint64_t word;
            std::memcpy(&word, data.data() + at + i * sizeof word, sizeof word);
            sums[i] += word;
        }
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

MachineFacts measure_machine(std::span<const std::byte> weights) {
    const double hertz = measure_hertz();
    const std::int64_t start = now_ns();
    double bytes = 0.0;
    double seconds = 0.0;
    while (seconds < kLongEnough) {
        volatile std::uint64_t kept = sum(weights);  // or the compiler would leave the reading out
        static_cast<void>(kept);
        bytes += static_cast<double>(weights.size());
        seconds = seconds_since(start);
    }
    return {hertz, bytes / seconds};
}

std::uint64_t available_memory() {
    const Result<std::vector<std::byte>> file = read_file("/proc/meminfo", "memory", 1 << 16);
    if (!file) {
        return 0;
    }
    const std::string text(reinterpret_cast<const char*>(file->data()), file->size());
    const std::size_t at = text.find("MemAvailable:");
    return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024;
}

}  // namespace storybake
