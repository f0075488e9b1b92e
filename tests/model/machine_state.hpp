// Watches what a kernel must leave as it found it, and what it must not count on. Every call of a kernel in the tests
// goes through watched().
#pragma once

#include <cstdint>
#include <utility>

namespace storybake {

/// Holds the registers that outlive a call.
struct MachineState {
    std::uint64_t floats = 0;        // rounding, and what becomes of subnormals
    std::uint64_t vector_start = 0;  // the element that a vector instruction begins with
    std::uint64_t fixed = 0;         // vxrm, how fixed-point vectors round

    bool operator==(const MachineState&) const = default;
};

MachineState machine_state();

/// Leaves RISC-V's vectors as a call may find them: NaNs in all registers, and by turns no valid type at all, as Linux
/// leaves it behind a system call, or three elements of 8 bits.
void disturb_vectors();

/// Fails the test unless the state is that before a call, and vectors begin at their first element.
void expect_as_before(const MachineState& before);

/// Calls a kernel with disturbed vectors, and looks at what it leaves behind.
template <class Kernel, class... Arguments>
auto watched(Kernel kernel, Arguments&&... arguments) {
    struct Look {
        MachineState before = machine_state();
        ~Look() { expect_as_before(before); }
    };
    const Look look;
    disturb_vectors();
    return kernel(std::forward<Arguments>(arguments)...);
}

}  // namespace storybake
