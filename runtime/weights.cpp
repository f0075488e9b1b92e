#include "weights.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "files.hpp"
#include "fingerprint.hpp"
#include "machine.hpp"

namespace storybake {
namespace {

Failure wrong_size(const char* what, const std::string& path, std::uint64_t actual, std::uint64_t expected,
                   const char* model_name) {
    return failure(kExitBadData, "%s %s: %" PRIu64 " bytes, those of %s have %" PRIu64 ": give the file that was baked",
                   what, path.c_str(), actual, model_name, expected);
}

Failure wrong_fingerprint(const char* what, const std::string& path, std::uint64_t actual, std::uint64_t expected,
                          const char* model_name) {
    return failure(kExitBadData,
                   "%s %s: fingerprint 0x%016" PRIx64 ", that of %s is 0x%016" PRIx64 ": give the file that was baked",
                   what, path.c_str(), actual, model_name, expected);
}

constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// Tells whether weights of `size` bytes are worth a copy in pages of 2 MB: a core that streams from pages of 4 KB
/// waits at the end of each. A small model's weights are not, nor those that take more than an eighth of the memory,
/// nor any where the system has no such pages.
bool worth_huge_pages(std::size_t size) {
#if defined(__riscv) || !defined(MADV_HUGEPAGE)
    static_cast<void>(size);
    return false;  // a board can't spare the memory; in an emulator, the size would be that of the machine around it
#else
    const auto pages = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES));
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    if (size < 2 * kHugePage || size / page > pages / 8) {
        return false;
    }
    const auto modes = read_file("/sys/kernel/mm/transparent_hugepage/enabled", "huge pages", 100);
    if (!modes) {
        return false;
    }
    const std::string_view text(reinterpret_cast<const char*>(modes->data()), modes->size());
    return text.find("[never]") == std::string_view::npos;
#endif
}

/// Reads a file to its end in large blocks, and gives each to `take`. Returns how many bytes there were, or fails with
/// 74.
template <class Take>
Result<std::uint64_t> read_through(InputFile& file, Take take) {
    std::vector<std::byte> block(std::clamp<std::uint64_t>(file.size(), 1, std::uint64_t{1} << 18));
    std::uint64_t size = 0;
    while (true) {
        const Result<std::size_t> got = file.read(block);
        if (!got) {
            return got.failure();
        }
        take(std::span(block).first(*got));
        size += *got;
        if (*got < block.size()) {
            return size;
        }
    }
}

constexpr auto kIntoPageCache = [](std::span<const std::byte> /*block*/) {};

/// Has the pages of [data, data + size) mapped, by an advice that Linux takes since 5.14. Returns whether it did.
bool populate(const std::byte* data, std::size_t size) {
#ifdef MADV_POPULATE_READ
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(data) / page * page;
    const auto end = reinterpret_cast<std::uintptr_t>(data) + size;
    return ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ) == 0;
#else
    static_cast<void>(data);
    static_cast<void>(size);
    return false;
#endif
}

/// Reads the executable before the first token asks for its pages one by one. Nothing depends on it.
void read_executable() {
    if (Result<InputFile> file = InputFile::open("/proc/self/exe", "program")) {
        static_cast<void>(read_through(*file, kIntoPageCache));
    }
}

/// Takes memory for `size` bytes that begins with a huge page and is made of them where that is worth while; returns
/// none when there is none.
Mapping allocate(std::size_t size) {
    const bool huge = worth_huge_pages(size);
    const std::size_t whole = huge ? (size + kHugePage - 1) / kHugePage * kHugePage : size;
    const std::size_t room = huge ? kHugePage : 0;  // lets it begin at a multiple of a huge page
    void* const mapped = ::mmap(nullptr, whole + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return {};
    }
    auto* const base = static_cast<std::byte*>(mapped);
    const std::size_t skipped = huge ? -reinterpret_cast<std::uintptr_t>(base) % kHugePage : 0;
    if (skipped > 0) {
        ::munmap(base, skipped);
    }
#ifdef MADV_HUGEPAGE
    if (huge) {
        ::madvise(base + skipped, whole, MADV_HUGEPAGE);
    }
#endif
    return {base + skipped, whole + room - skipped};
}

/// Copies the weights out of the executable, whose own pages are given back one by one; none without memory for it.
Mapping copy(const std::byte* weights, std::size_t size) {
    Mapping memory = allocate(size);
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    for (std::size_t at = 0; memory.data() != nullptr && at < size; at += kHugePage) {
        const std::size_t count = std::min(kHugePage, size - at);
        if (!populate(weights + at, count) && at == 0) {
            read_executable();
        }
        std::memcpy(memory.data() + at, weights + at, count);
        const auto first = reinterpret_cast<std::uintptr_t>(weights + at) / page * page;
        const auto last = reinterpret_cast<std::uintptr_t>(weights + at + count) / page * page;
        ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);  // they are the file's, so still there
    }
    return memory;
}

}  // namespace

const char* load_name(Load how) {
    return how == Load::kRead ? "read" : "mapped";
}

Load choose_load(const PackedData& packed, bool in_file, std::uint64_t beside) {
    if (!in_file) {
        return worth_huge_pages(packed.weights_size) ? Load::kRead : Load::kMap;
    }
    const std::uint64_t available = available_memory();
    return available == 0 || available >= packed.weights_size + beside ? Load::kRead : Load::kMap;
}

Weights Weights::inside(const std::byte* weights, std::size_t size, Load how) {
    if (how == Load::kRead) {
        Mapping memory = copy(weights, size);
        if (const std::byte* const data = memory.data()) {
            return {data, std::move(memory), Load::kRead};
        }
    }
    if (!populate(weights, size)) {
        read_executable();
    }
    return {weights, {}, Load::kMap};
}

Result<Weights> Weights::load(const PackedData& packed, const char* model_name, const std::string& path, Load how,
                              bool proven) {
    const std::size_t size = packed.weights_size;
    if (path.empty() && packed.weights != nullptr) {
        return inside(packed.weights, size, how);
    }
    const std::string name = path.empty() ? executable_folder() + model_name + ".weights" : path;
    Result<InputFile> file = InputFile::open(name, "weights", false);
    if (!file) {
        return file.failure();
    }
    if (file->size() != size) {
        return wrong_size("weights", name, file->size(), size, model_name);
    }
    Mapping memory;
    if (how == Load::kMap) {
        const Result<std::byte*> mapped = file->map(size);
        if (!mapped) {
            return mapped.failure();
        }
        memory = Mapping(*mapped, size);
    } else {
        memory = allocate(size);
        if (memory.data() == nullptr) {
            return failure(kExitNoMemory,
                           "weights %s: no memory for %zu bytes: close other programs, or use --load map", name.c_str(),
                           size);
        }
    }
    // Don't touch what is mapped before it has been read: a page that is missing would be a signal.
    const Result<std::uint64_t> got =
        how == Load::kMap ? read_through(*file, kIntoPageCache) : file->read({memory.data(), size});
    if (!got) {
        return got.failure();
    }
    if (*got != size) {
        return wrong_size("weights", name, *got, size, model_name);
    }
    if (how == Load::kMap) {
        populate(memory.data(), size);
    }
    const std::uint64_t actual = proven ? fingerprint({memory.data(), size}) : packed.weights_fingerprint;
    if (actual != packed.weights_fingerprint) {
        return wrong_fingerprint("weights", name, actual, packed.weights_fingerprint, model_name);
    }
    const std::byte* const data = memory.data();
    Weights weights(data, std::move(memory), how);
    weights.file_ = how == Load::kMap ? name : "";
    return weights;
}

std::optional<Failure> Weights::changed(const PackedData& packed) const {
    if (file_.empty() || fingerprint({data_, packed.weights_size}) == packed.weights_fingerprint) {
        return std::nullopt;
    }
    return failure(
        kExitBadData,
        "weights %s: were written to during the run, so this is not the model's story: tell it again, or use "
        "--load read",
        file_.c_str());
}

std::optional<Failure> check_checkpoint(const std::string& path, const PackedData& packed, const char* model_name) {
    Result<InputFile> file = InputFile::open(path, "checkpoint", false);
    if (!file) {
        return file.failure();
    }
    if (file->size() != packed.checkpoint_size) {
        return wrong_size("checkpoint", path, file->size(), packed.checkpoint_size, model_name);
    }
    Fingerprint actual;
    const Result<std::uint64_t> got = read_through(*file, [&](std::span<const std::byte> block) { actual.add(block); });
    if (!got) {
        return got.failure();
    }
    if (actual.value() != packed.checkpoint_fingerprint) {
        return wrong_fingerprint("checkpoint", path, actual.value(), packed.checkpoint_fingerprint, model_name);
    }
    return std::nullopt;
}

}  // namespace storybake
