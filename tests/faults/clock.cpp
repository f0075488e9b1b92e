// Stands between a storyteller and its clocks, by the linker's --wrap: STORYBAKE_CLOCK names a file of two numbers of
// 64 bits, seconds that are added to the date and to the time since the machine's start. Whoever writes to the file
// moves the clocks.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

/// Returns the two numbers; the test's to change at any moment.
const std::int64_t* offsets() {
    static const std::int64_t* const found = [] {
        static constexpr std::int64_t kNone[2] = {0, 0};
        const char* const path = std::getenv("STORYBAKE_CLOCK");
        if (path == nullptr) {
            return &kNone[0];
        }
        const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
        void* const mapped = ::mmap(nullptr, sizeof kNone, PROT_READ, MAP_SHARED, fd, 0);
        if (mapped == MAP_FAILED) {
            std::abort();  // a clock that doesn't move would let the tests pass that want it to stand still
        }
        ::close(fd);
        return static_cast<const std::int64_t*>(mapped);
    }();
    return found;
}

std::time_t offset_of(clockid_t clock) {
    return __atomic_load_n(offsets() + (clock == CLOCK_REALTIME ? 0 : 1), __ATOMIC_RELAXED);
}

}  // namespace

extern "C" {

std::time_t __real_time(std::time_t* into);
int __real_clock_gettime(clockid_t clock, timespec* into);
// Is not in every C library.
int __real_pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                  const timespec* until) __attribute__((weak));

std::time_t __wrap_time(std::time_t* into) {
    const std::time_t now = __real_time(nullptr) + offset_of(CLOCK_REALTIME);
    if (into != nullptr) {
        *into = now;
    }
    return now;
}

int __wrap_clock_gettime(clockid_t clock, timespec* into) {
    const int result = __real_clock_gettime(clock, into);
    if (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) {
        into->tv_sec += offset_of(clock);
    }
    return result;
}

/// Waits until a time that was computed from a clock that is moved; the kernel's is not.
int __wrap_pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                  const timespec* until) {
    const timespec moved{until->tv_sec - offset_of(clock), until->tv_nsec};
    return __real_pthread_cond_clockwait(condition, mutex, clock, &moved);
}

}  // extern "C"
