// What the machine can do, measured by the program itself: what the times of a profile are compared with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace storybake {

struct MachineFacts {
    double hertz;             // of the core, cycles counted against the system's clock; 0: nobody told
    double bytes_per_second;  // of one thread that reads the weights from their beginning to their end
};

/// Measures it, in a few hundredths of a second or one pass over the weights. Only a RISC-V core tells its clock, and
/// only where the kernel lets programs read the cycle counter: Linux does not since 6.6.
MachineFacts measure_machine(std::span<const std::byte> weights);

/// Bytes that programs can still have without others being pushed out: MemAvailable of /proc/meminfo; 0 when it is not
/// told.
std::uint64_t available_memory();

}  // namespace storybake
