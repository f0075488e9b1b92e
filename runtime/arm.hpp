// Tells what instructions a 64-bit Arm processor has beyond the first ones: where the system tells it.
#pragma once

#if __has_include(<sys/auxv.h>)
#include <sys/auxv.h>
#endif
#if !defined(AT_HWCAP) && __has_include(<sys/sysctl.h>)
#include <sys/types.h>
// Comes after the types that it wants.
#include <sys/sysctl.h>
#endif

namespace storybake {

/// Asks for a bit of Linux's AT_HWCAP, else for the entry of macOS's sysctl; says yes where neither is known.
inline bool arm_has([[maybe_unused]] unsigned long bit, [[maybe_unused]] const char* entry) noexcept {
#ifdef AT_HWCAP
    return (getauxval(AT_HWCAP) & bit) != 0;
#elif __has_include(<sys/sysctl.h>)
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(entry, &value, &size, nullptr, 0) == 0 && value != 0;
#else
    return true;
#endif
}

/// Says whether there is NEON.
inline bool arm_has_asimd() noexcept {
    return arm_has(1UL << 1, "hw.optional.neon");
}

/// Says whether there is SDOT.
inline bool arm_has_asimddp() noexcept {
    return arm_has(1UL << 20, "hw.optional.arm.FEAT_DotProd");
}

}  // namespace storybake
