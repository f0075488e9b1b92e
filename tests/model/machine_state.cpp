// Watches what a kernel must leave as it found it: the processor's rounding modes, and of RISC-V's vectors where an
// instruction would begin. Every test of the kernels is looked at when it ends.
#include <gtest/gtest.h>

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace storybake {
namespace {

/// Holds the registers that outlive a call.
struct MachineState {
    std::uint64_t floats = 0;        // rounding, and what becomes of subnormals
    std::uint64_t vector_start = 0;  // the element that a vector instruction begins with
    std::uint64_t fixed = 0;         // vxrm, how fixed-point vectors round

    bool operator==(const MachineState&) const = default;
};

MachineState machine_state() {
    MachineState state;
#if defined(__x86_64__)
    constexpr unsigned kFlags = 0x3f;  // say what has happened, not what is to be
    state.floats = _mm_getcsr() & ~kFlags;
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(state.floats));
#elif defined(__riscv)
    asm volatile("frrm %0" : "=r"(state.floats));
#if defined(__riscv_vector) || defined(__riscv_xtheadvector)
    asm volatile("csrr %0, 0x008" : "=r"(state.vector_start));
    asm volatile("csrr %0, 0x00a" : "=r"(state.fixed));
#endif
#endif
    return state;
}

class Watch : public ::testing::EmptyTestEventListener {
    void OnTestStart(const ::testing::TestInfo& /*test*/) override { before_ = machine_state(); }
    void OnTestEnd(const ::testing::TestInfo& /*test*/) override {
        const MachineState after = machine_state();
        EXPECT_EQ(after.floats, before_.floats) << "rounds otherwise than before";
        EXPECT_EQ(after.vector_start, 0U) << "a vector instruction would begin in the middle";
        EXPECT_EQ(after.fixed, before_.fixed) << "vxrm is another one";
    }
    MachineState before_;
};

[[maybe_unused]] const bool kWatching = [] {
    ::testing::UnitTest::GetInstance()->listeners().Append(new Watch);  // which GoogleTest deletes
    return true;
}();

/// Sets another rounding mode, as a kernel that forgets to set it back.
void round_otherwise(bool otherwise) {
#if defined(__x86_64__)
    _mm_setcsr((_mm_getcsr() & ~0x6000U) | (otherwise ? 0x2000U : 0U));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" ::"r"(std::uint64_t{otherwise} << 22));
#elif defined(__riscv)
    asm volatile("fsrm %0" ::"r"(otherwise ? 4L : 0L));
#endif
}

TEST(MachineState, AnotherRoundingModeIsSeen) {
    const MachineState before = machine_state();
    round_otherwise(true);
    const MachineState changed = machine_state();
    round_otherwise(false);
    EXPECT_FALSE(changed == before);
    EXPECT_TRUE(machine_state() == before);
}

}  // namespace
}  // namespace storybake
