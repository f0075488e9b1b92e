// Measures what the machine can do: the times of a profile are compared with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace storybake {

struct MachineFacts {
    double hertz;             // is the core's clock, its cycles counted against the system's; 0: nobody told
    double bytes_per_second;  // is what one thread reads of the weights from their beginning to their end
};

/// Measures the machine, in a few hundredths of a second or one pass over the weights. Only a RISC-V core tells its
/// clock, and only where the kernel lets programs read the cycle counter: Linux does not since 6.6.
MachineFacts measure_machine(std::span<const std::byte> weights);

/// Returns the bytes that programs can still have without others being pushed out: MemAvailable of /proc/meminfo; 0
/// when it is not told.
std::uint64_t available_memory();

}  // namespace storybake
