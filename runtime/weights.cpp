#include "weights.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <span>
#include <vector>

#include "files.hpp"
#include "fingerprint.hpp"

namespace storybake {
namespace {

/// The folder of the running executable, with a slash; empty (the working folder) when the system does not tell.
std::string executable_folder() {
    char path[4096];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
    if (size <= 0 || size == static_cast<ssize_t>(sizeof path)) {
        return {};
    }
    const std::string_view view(path, static_cast<std::size_t>(size));
    return std::string(view.substr(0, view.rfind('/') + 1));
}

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

/// Has the pages of [data, data + size) in memory before the first token asks for them one by one. Nothing depends on
/// it: an old kernel, or one short of memory, does without.
void fetch(const std::byte* data, std::size_t size) {
#ifdef MADV_POPULATE_READ
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(data) / page * page;
    const auto end = reinterpret_cast<std::uintptr_t>(data) + size;
    ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);  // Linux 5.14
#else
    static_cast<void>(data);
    static_cast<void>(size);
#endif
}

}  // namespace

void Weights::Unmap::operator()(std::byte* mapped) const {
    ::munmap(mapped, size);
}

Result<Weights> Weights::load(const PackedData& packed, const char* model_name, const std::string& path) {
    if (path.empty() && packed.weights != nullptr) {
        fetch(packed.weights, packed.weights_size);
        return Weights(packed.weights, Memory(nullptr, Unmap{0}));
    }
    const std::string name = path.empty() ? executable_folder() + model_name + ".weights" : path;
    Result<InputFile> file = InputFile::open(name, "weights");
    if (!file) {
        return file.failure();
    }
    if (file->size() != packed.weights_size) {
        return wrong_size("weights", name, file->size(), packed.weights_size, model_name);
    }
    const std::size_t size = packed.weights_size;
    void* const mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return failure(kExitNoMemory, "weights %s: no memory for %zu bytes: close other programs", name.c_str(), size);
    }
    Memory memory(static_cast<std::byte*>(mapped), Unmap{size});
    Result<std::size_t> got = file->read({memory.get(), size});
    if (!got) {
        return got.failure();
    }
    if (*got != size) {
        return wrong_size("weights", name, *got, packed.weights_size, model_name);
    }
    const std::uint64_t actual = fingerprint({memory.get(), size});
    if (actual != packed.weights_fingerprint) {
        return wrong_fingerprint("weights", name, actual, packed.weights_fingerprint, model_name);
    }
    const std::byte* const data = memory.get();
    return Weights(data, std::move(memory));
}

std::optional<Failure> check_checkpoint(const std::string& path, const PackedData& packed, const char* model_name) {
    Result<InputFile> file = InputFile::open(path, "checkpoint");
    if (!file) {
        return file.failure();
    }
    if (file->size() != packed.checkpoint_size) {
        return wrong_size("checkpoint", path, file->size(), packed.checkpoint_size, model_name);
    }
    std::vector<std::byte> block(std::size_t{1} << 16);
    Fingerprint actual;
    while (true) {
        Result<std::size_t> got = file->read(block);
        if (!got) {
            return got.failure();
        }
        actual.add(std::span(block).first(*got));
        if (*got < block.size()) {
            break;
        }
    }
    if (actual.value() != packed.checkpoint_fingerprint) {
        return wrong_fingerprint("checkpoint", path, actual.value(), packed.checkpoint_fingerprint, model_name);
    }
    return std::nullopt;
}

}  // namespace storybake
