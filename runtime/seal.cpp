#include "seal.hpp"

#include <cinttypes>

#include "files.hpp"
#include "fingerprint.hpp"
#include "mapping.hpp"

namespace storybake {
namespace {

// Stays as it is for the compiler, which may not know what the file will hold.
const volatile Seal kSeal = {
    {'s', 't', 'o', 'r', 'y', 'b', 'a', 'k', 'e', ' ', 's', 'e', 'a', 'l', '\x8f', '\xa6'}, 0, 0, 0, 0, 0};

Failure damaged(const char* what) {
    return failure(kExitSelfTest,
                   "self-test: damaged since it was linked: %s: copy the program again, to another card if need be",
                   what);
}

}  // namespace

Result<std::string> check_seal(std::span<const std::byte> file, const Seal& seal) {
    if (seal.size == 0) {
        return failure(kExitSelfTest,
                       "self-test: the program has no seal: expected one, written after linking: take the program "
                       "that the build made, or run codegen/seal.py on it");
    }
    // Refuses places of a damaged seal that are outside of the file.
    if (seal.at < Seal::kHeader || seal.at % 4 != 0 || seal.loaded_end < Seal::kFingerprints ||
        seal.at > seal.loaded_end - Seal::kFingerprints || seal.loaded_end > file.size()) {
        return damaged("the program's seal, or its length");
    }
    const std::size_t behind = seal.at + Seal::kFingerprints;
    Fingerprint loaded;
    loaded.add(file.subspan(Seal::kHeader, seal.at - Seal::kHeader));
    loaded.add(file.subspan(behind, seal.loaded_end - behind));
    if (loaded.value() != seal.loaded) {
        return damaged("the program's code or constants");
    }
    if (file.size() != seal.size) {
        return std::string("the program as it is loaded (its symbols were stripped)");
    }
    Fingerprint rest;
    rest.add(file.first(Seal::kHeader));
    rest.add(file.subspan(seal.loaded_end));
    if (rest.value() != seal.rest) {
        return damaged("the program's header or symbols");
    }
    return std::string("the program");
}

Result<std::string> check_program() {
#ifndef __ELF__
    return std::string("no seal of the program on this system");  // whose signature of it a seal would break
#else
    Result<InputFile> file = InputFile::open("/proc/self/exe", "program");
    if (!file) {
        return file.failure();
    }
    const auto size = static_cast<std::size_t>(file->size());
    const Result<std::byte*> mapped = file->map(size);
    if (!mapped) {
        return mapped.failure();
    }
    const Mapping memory(*mapped, size);
    const Seal seal{{}, kSeal.at, kSeal.loaded_end, kSeal.size, kSeal.loaded, kSeal.rest};
    return check_seal({memory.data(), size}, seal);
#endif
}

}  // namespace storybake
