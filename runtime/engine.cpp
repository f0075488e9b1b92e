#include "engine.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace storybake {
namespace {

// A thread is worth its share of the barriers of a token (five a layer, a few hundred nanoseconds each) when it has
// about this many multiply-accumulates to do.
constexpr std::uint64_t kMacsWorthAThread = 1000000;

/// Reads the number at the beginning of OMP_NUM_THREADS, which may be a list; 0 when there is none.
long first_number(const char* text) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    while (*end == ' ' || *end == '\t') {
        ++end;
    }
    return end != text && (*end == '\0' || *end == ',') ? value : 0;
}

/// Has the pages of `memory` there before the first token needs them, large ones where the system gives them on advice:
/// taking them one by one costs a token of a small model 4 to 8 % of its time. A large memory is left to grow with the
/// story, most of whose positions may never be reached.
void prefault(std::span<std::byte> memory) {
#if defined(MADV_HUGEPAGE) && defined(MADV_POPULATE_WRITE)
    constexpr std::size_t kMost = std::size_t{8} << 20;
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(memory.data()) / page * page;
    const std::size_t size = reinterpret_cast<std::uintptr_t>(memory.data()) + memory.size() - first;
    if (size <= kMost) {
        ::madvise(reinterpret_cast<void*>(first), size, MADV_HUGEPAGE);
        ::madvise(reinterpret_cast<void*>(first), size, MADV_POPULATE_WRITE);
    }
#else
    static_cast<void>(memory);
#endif
}

#if defined(_OPENMP) && defined(CPU_SETSIZE)
/// Starts the team's threads and moves each to a core of its own, to which nothing ties it afterwards. Left to itself,
/// the system may let two begin on one core, and need a hundred tokens to see it.
void place_threads(int threads) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < threads) {
        return;  // fewer cores than threads, or whoever started the program has chosen each one's
    }
#pragma omp parallel num_threads(threads)
    {
        int core = 0;
        for (int skipped = 0; !CPU_ISSET(core, &allowed) || skipped < omp_get_thread_num(); ++core) {
            skipped += CPU_ISSET(core, &allowed) ? 1 : 0;
        }
        cpu_set_t own;
        CPU_ZERO(&own);
        CPU_SET(core, &own);
        ::sched_setaffinity(0, sizeof own, &own);
        ::sched_setaffinity(0, sizeof allowed, &allowed);
    }
}
#endif

}  // namespace

void wait_at(SpinBarrier& barrier, int size) {
    barrier.wait(size);
}

int most_threads() {
#ifdef _OPENMP
    return kModel.max_threads;
#else
    return 1;
#endif
}

int startable_threads(int wanted) {
    std::vector<::pthread_t> threads;
    ::pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    const auto wait = [](void* at) -> void* {
        ::pthread_mutex_lock(static_cast<::pthread_mutex_t*>(at));
        ::pthread_mutex_unlock(static_cast<::pthread_mutex_t*>(at));
        return nullptr;
    };
    ::pthread_mutex_lock(&gate);
    for (::pthread_t thread{}; static_cast<int>(threads.size()) + 1 < wanted; threads.push_back(thread)) {
        if (::pthread_create(&thread, nullptr, wait, &gate) != 0) {
            break;
        }
    }
    ::pthread_mutex_unlock(&gate);
    for (const ::pthread_t thread : threads) {
        ::pthread_join(thread, nullptr);
    }
    return static_cast<int>(threads.size()) + 1;
}

int available_cores() {
#ifdef CPU_SETSIZE
    cpu_set_t cores;
    CPU_ZERO(&cores);
    // A machine with more cores than a cpu_set_t holds refuses; it is not short of them.
    return ::sched_getaffinity(0, sizeof cores, &cores) == 0 ? std::max(CPU_COUNT(&cores), 1) : CPU_SETSIZE;
#else
    return std::max(static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)), 1);
#endif
}

Result<Threads> choose_threads(std::optional<int> requested, const char* environment, int cores, int most,
                               std::uint64_t macs_per_token) {
    if (requested) {
        if (*requested < 1 || *requested > most) {
            return failure(kExitUsage, "--threads %d: expected 1 to %d%s", *requested, most,
                           most == 1 ? ": this program was built for one thread" : "");
        }
        return Threads{*requested, {}};
    }
    const std::uint64_t worth = std::clamp<std::uint64_t>(macs_per_token / kMacsWorthAThread, 1, 1024);
    Threads threads{std::min({cores, most, static_cast<int>(worth)}), {}};
    if (environment != nullptr && most > 1) {
        const long wanted = first_number(environment);
        if (wanted >= 1 && wanted <= most) {
            threads.count = static_cast<int>(wanted);
        } else {
            threads.warning =
                message("OMP_NUM_THREADS is \"%s\", expected 1 to %d: running %d", environment, most, threads.count);
        }
    }
    return threads;
}

Engine::Engine(const std::byte* weights, int threads, int batch, Profile* profile)
    : weights_(weights), threads_(threads), batch_(batch), profile_(profile), barrier_(threads <= available_cores()) {
    prefault(working_memory());
#if defined(_OPENMP) && defined(CPU_SETSIZE)
    if (threads > 1) {
        place_threads(threads);
    }
#endif
}

/// Calls `work` for every thread of the team. The profile is rank 0's: marks of several threads would race.
template <typename Work>
void Engine::run_team(const Work& work) {
    if (threads_ == 1) {
        work(Team{}, profile_);
    } else {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads_)
        {
            const Team team{omp_get_thread_num(), omp_get_num_threads(), &barrier_};
            work(team, team.rank == 0 ? profile_ : nullptr);
        }
#endif
    }
}

std::span<float> Engine::forward(std::span<const int> tokens, int pos, Logits wanted) {
    run_team(
        [&](const Team& team, Profile* profile) { storybake::forward(weights_, tokens, pos, wanted, team, profile); });
    return wanted == Logits::kLast || wanted == Logits::kLastTwo ? logits() : std::span<float>{};
}

std::span<float> Engine::complete() {
    run_team([this](const Team& team, Profile* profile) { complete_logits(weights_, team, profile); });
    return logits();
}

std::span<float> Engine::prefill(std::span<const int> tokens, int pos, const volatile std::sig_atomic_t& stop,
                                 Logits wanted) {
    const auto batch = static_cast<std::size_t>(batch_);
    for (; tokens.size() > batch; tokens = tokens.subspan(batch), pos += batch_) {
        forward(tokens.first(batch), pos, Logits::kNone);
        if (stop != 0) {
            return {};
        }
    }
    return forward(tokens, pos, wanted);
}

}  // namespace storybake
