// Stands between a program and its C library, by the linker's --wrap: counts calls and makes the ones fail that
// STORYBAKE_FAULT names, separated by commas: "read 3" the third read, "read 3+" the third and all that follow, "end 3"
// the third read finds the end of its file, "trickle" interrupts every other read and write and moves little each time.
// When the program ends, it writes what it saw to the file that STORYBAKE_FAULT_REPORT names, a "name count" a line.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

enum Call {
    kMalloc,
    kOpen,
    kRead,
    kWrite,
    kClose,
    kStat,
    kMmap,
    kMadvise,
    kRename,
    kPoll,
    kPipe,
    kSpawn,
    kEnd,
    kCalls
};
constexpr const char* kNames[kCalls] = {"malloc",  "open",   "read", "write", "close", "stat", "mmap",
                                        "madvise", "rename", "poll", "pipe",  "spawn", "end"};
constexpr int kErrors[kCalls] = {ENOMEM, EMFILE, EIO,    ENOSPC, EIO,    EIO, ENOMEM,
                                 ENOSYS, EACCES, ENOMEM, EMFILE, EAGAIN, 0};

bool started = false;  // main() runs: what the C library does before is its own
bool trickle = false;
struct Fault {
    long first;  // which call fails; 0: none
    bool always;
};
Fault faults[kCalls];

std::atomic<long> calls[kCalls];
std::atomic<long> injected = 0;
std::atomic<long> live = 0;         // blocks of memory that are not freed
std::atomic<long> descriptors = 0;  // opened and not closed
long late = 0;                      // blocks allocated between the first and the last write to standard output
long since_write = 0;
bool has_written = false;

/// Counts a call; whether it has to fail, with errno set.
bool fails(Call call) {
    if (!started) {
        return false;
    }
    const long nth = ++calls[call];
    const auto [first, always] = faults[call];
    if (first == 0 || (always ? nth < first : nth != first)) {
        return false;
    }
    ++injected;
    errno = kErrors[call];
    return true;
}

/// What a call may move of `size` bytes; -1 when it is interrupted.
ssize_t trickled(Call call, size_t size) {
    if (!started || !trickle) {
        return static_cast<ssize_t>(size);
    }
    if (calls[call] % 2 == 1) {
        errno = EINTR;
        return -1;
    }
    return static_cast<ssize_t>(size > 7 ? size / 3 : size > 0 ? 1 : 0);
}

void* counted(void* block) {
    if (started && block != nullptr) {
        ++live;
        since_write += has_written ? 1 : 0;
    }
    return block;
}

void read_environment() {
    const char* fault = std::getenv("STORYBAKE_FAULT");
    while (fault != nullptr) {
        bool known = std::strncmp(fault, "trickle", 7) == 0;
        trickle = trickle || known;
        for (int call = 0; call < kCalls; ++call) {
            const std::size_t length = std::strlen(kNames[call]);
            if (std::strncmp(fault, kNames[call], length) == 0 && fault[length] == ' ') {
                char* end = nullptr;
                const long first = std::strtol(fault + length, &end, 10);
                faults[call] = {first, *end == '+'};
                known = first > 0;
            }
        }
        if (!known) {
            std::abort();  // a fault that doesn't exist would let every test pass
        }
        const char* const comma = std::strchr(fault, ',');
        fault = comma != nullptr ? comma + 1 : nullptr;
    }
}

}  // namespace

extern "C" {

void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __real_realloc(void* block, size_t size);
void* __real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void* block);
int __real_open(const char* path, int flags, ...);
ssize_t __real_read(int fd, void* to, size_t size);
ssize_t __real_write(int fd, const void* from, size_t size);
int __real_close(int fd);
int __real_fstat(int fd, struct stat* status);
int __real_stat(const char* path, struct stat* status);
void* __real_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_madvise(void* at, size_t size, int advice);
int __real_rename(const char* from, const char* to);
int __real_poll(pollfd* fds, nfds_t count, int timeout);
int __real_pipe2(int* fds, int flags);
int __real_posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                        const posix_spawnattr_t* attributes, char* const* words, char* const* environment);
[[noreturn]] void __real__Exit(int code);
int __real_main(int argc, char** argv);

void* __wrap_malloc(size_t size) {
    return fails(kMalloc) ? nullptr : counted(__real_malloc(size));
}
void* __wrap_calloc(size_t count, size_t size) {
    return fails(kMalloc) ? nullptr : counted(__real_calloc(count, size));
}
void* __wrap_realloc(void* block, size_t size) {
    if (fails(kMalloc)) {
        return nullptr;
    }
    void* const moved = __real_realloc(block, size);
    return block == nullptr ? counted(moved) : moved;
}
void* __wrap_aligned_alloc(size_t alignment, size_t size) {
    return fails(kMalloc) ? nullptr : counted(__real_aligned_alloc(alignment, size));
}
void __wrap_free(void* block) {
    live -= started && block != nullptr ? 1 : 0;
    __real_free(block);
}

int __wrap_open(const char* path, int flags, ...) {
    std::va_list arguments;
    va_start(arguments, flags);
    const int mode = (flags & O_CREAT) != 0 ? va_arg(arguments, int) : 0;
    va_end(arguments);
    const int fd = fails(kOpen) ? -1 : __real_open(path, flags, mode);
    descriptors += fd >= 0 ? 1 : 0;
    return fd;
}
ssize_t __wrap_read(int fd, void* to, size_t size) {
    if (fails(kRead)) {
        return -1;
    }
    if (fails(kEnd)) {
        return 0;
    }
    const ssize_t part = trickled(kRead, size);
    return part < 0 ? -1 : __real_read(fd, to, static_cast<size_t>(part));
}
ssize_t __wrap_write(int fd, const void* from, size_t size) {
    if (fd == STDOUT_FILENO) {
        late += since_write;
        since_write = 0;
        has_written = true;
    }
    if (fails(kWrite)) {
        return -1;
    }
    const ssize_t part = trickled(kWrite, size);
    return part < 0 ? -1 : __real_write(fd, from, static_cast<size_t>(part));
}
int __wrap_close(int fd) {
    const int result = __real_close(fd);
    descriptors -= result == 0 ? 1 : 0;
    return fails(kClose) ? -1 : result;  // Linux closes it all the same
}
int __wrap_fstat(int fd, struct stat* status) {
    return fails(kStat) ? -1 : __real_fstat(fd, status);
}
int __wrap_stat(const char* path, struct stat* status) {
    return fails(kStat) ? -1 : __real_stat(path, status);
}
void* __wrap_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
    return fails(kMmap) ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}
int __wrap_madvise(void* at, size_t size, int advice) {
    return fails(kMadvise) ? -1 : __real_madvise(at, size, advice);
}
int __wrap_rename(const char* from, const char* to) {
    return fails(kRename) ? -1 : __real_rename(from, to);
}
int __wrap_poll(pollfd* fds, nfds_t count, int timeout) {
    return fails(kPoll) ? -1 : __real_poll(fds, count, timeout);
}
int __wrap_pipe2(int* fds, int flags) {
    const int result = fails(kPipe) ? -1 : __real_pipe2(fds, flags);
    descriptors += result == 0 ? 2 : 0;
    return result;
}
int __wrap_posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                        const posix_spawnattr_t* attributes, char* const* words, char* const* environment) {
    return fails(kSpawn) ? errno : __real_posix_spawnp(pid, file, actions, attributes, words, environment);
}

/// The C library's names for files beyond 2 GB.
int __wrap_open64(const char* path, int flags, ...) __attribute__((alias("__wrap_open")));
int __wrap_fstat64(int fd, struct stat* status) __attribute__((alias("__wrap_fstat")));
int __wrap_stat64(const char* path, struct stat* status) __attribute__((alias("__wrap_stat")));
void* __wrap_mmap64(void* at, size_t size, int protection, int flags, int fd, off_t offset)
    __attribute__((alias("__wrap_mmap")));

/// Of a program whose coverage is measured: _Exit() would leave it unwritten.
void __gcov_dump() __attribute__((weak));

static void report() {
    started = false;
    const char* path = std::getenv("STORYBAKE_FAULT_REPORT");
    std::FILE* const file = path != nullptr ? std::fopen(path, "w") : nullptr;
    if (file == nullptr) {
        return;
    }
    for (int call = 0; call < kCalls; ++call) {
        std::fprintf(file, "%s %ld\n", kNames[call], calls[call].load());
    }
    std::fprintf(file, "injected %ld\nlive %ld\ndescriptors %ld\nlate %ld\n", injected.load(), live.load(),
                 descriptors.load(), late);
    std::fclose(file);
}

void __wrap__Exit(int code) {
    report();
    if (__gcov_dump != nullptr) {
        __gcov_dump();
    }
    __real__Exit(code);
}

int __wrap_main(int argc, char** argv) {
    read_environment();
    started = true;
    const int code = __real_main(argc, argv);
    report();
    return code;
}

}  // extern "C"
