// What a kernel must leave as it found it: the processor's rounding modes, and of RISC-V's vectors where an instruction
// would begin.
#include "machine_state.hpp"

#include <gtest/gtest.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__riscv_xtheadvector)
#define VECTOR(mnemonic) "th." mnemonic
#define POLICY ""
#elif defined(__riscv_vector)
#define VECTOR(mnemonic) mnemonic
#define POLICY ", ta, ma"
#endif

namespace storybake {

MachineState machine_state() {
    MachineState state;
#if defined(__x86_64__)
    constexpr unsigned kFlags = 0x3f;  // say what has happened, not what is to be
    state.floats = _mm_getcsr() & ~kFlags;
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(state.floats));
#elif defined(__riscv)
    asm volatile("frrm %0" : "=r"(state.floats));
#if defined(VECTOR)
    asm volatile("csrr %0, 0x008" : "=r"(state.vector_start));
    asm volatile("csrr %0, 0x00a" : "=r"(state.fixed));
#endif
#endif
    return state;
}

void disturb_vectors() {
#if defined(VECTOR)
    static bool valid = false;
    valid = !valid;
    constexpr long kEightBits = 0;
    constexpr long kNoType = -1;
    asm volatile(
        // clang-format off
        VECTOR("vsetvli") " t0, zero, e8, m8" POLICY "\n"
        VECTOR("vmv.v.i") " v0, -1\n"
        VECTOR("vmv.v.i") " v8, -1\n"
        VECTOR("vmv.v.i") " v16, -1\n"
        VECTOR("vmv.v.i") " v24, -1\n"
        VECTOR("vsetvl") " zero, %0, %1\n"
        // clang-format on
        ::"r"(3L),
        "r"(valid ? kEightBits : kNoType)
        : "t0", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
          "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
          "v31");
#endif
}

void expect_as_before(const MachineState& before) {
    const MachineState after = machine_state();
    EXPECT_EQ(after.floats, before.floats) << "rounds otherwise than before";
    EXPECT_EQ(after.vector_start, 0U) << "a vector instruction would begin in the middle";
    EXPECT_EQ(after.fixed, before.fixed) << "vxrm is another one";
}

namespace {

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

#if defined(VECTOR)
/// How many elements a vector instruction would work on.
std::uint64_t vector_length() {
    std::uint64_t length = 0;
    asm volatile("csrr %0, 0xc20" : "=r"(length));
    return length;
}

TEST(MachineState, ACallFindsNoTypeOrThreeElements) {
    disturb_vectors();
    const std::uint64_t one = vector_length();
    disturb_vectors();
    const std::uint64_t other = vector_length();
    EXPECT_EQ(one + other, 3U) << one << " and " << other;
}
#endif

}  // namespace
}  // namespace storybake
