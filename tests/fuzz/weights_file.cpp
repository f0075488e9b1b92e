// The weights file and the checkpoint that the program is given: accepted exactly when its bytes are those that were
// baked, whatever else it holds.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "fingerprint.hpp"
#include "fuzz.hpp"
#include "weights.hpp"

namespace storybake {
namespace {

/// A file in memory that can be opened by its name.
class File {
public:
    File() : fd_(::memfd_create("file", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {}

    const std::string& holding(std::span<const std::byte> bytes) {
        fuzz::require(::ftruncate(fd_, static_cast<off_t>(bytes.size())) == 0 &&
                          ::pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
                      "a file in memory can be written");
        return path_;
    }

private:
    int fd_;
    std::string path_;
};

}  // namespace
}  // namespace storybake

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    static File file;
    fuzz::Input input(data, size);
    const std::uint8_t kind = input.byte();
    const std::span<const std::byte> baked = input.take(1 + std::size_t{input.byte()});
    const std::span<const std::byte> given = (kind & 2) != 0 ? baked : input.rest();
    if (baked.empty()) {
        return 0;  // there are no weights of no bytes
    }
    const bool equal = std::equal(baked.begin(), baked.end(), given.begin(), given.end());
    PackedData packed{};
    const std::string& path = file.holding(given);
    if ((kind & 1) != 0) {
        packed.weights_size = baked.size();
        packed.weights_fingerprint = fingerprint(baked);
        const Result<Weights> weights = Weights::load(packed, "fuzz", path, (kind & 4) != 0 ? Load::kMap : Load::kRead);
        fuzz::require(static_cast<bool>(weights) == equal, "the baked weights are accepted, and no others");
        if (weights) {
            fuzz::require(std::equal(baked.begin(), baked.end(), weights->data()), "the weights are the file's");
        } else {
            fuzz::require_refusal(weights.failure(), kExitBadData);
        }
    } else {
        packed.checkpoint_size = baked.size();
        packed.checkpoint_fingerprint = fingerprint(baked);
        const std::optional<Failure> failed = check_checkpoint(path, packed, "fuzz");
        fuzz::require(!failed == equal, "the baked checkpoint is accepted, and no other");
        if (failed) {
            fuzz::require_refusal(*failed, kExitBadData);
        }
    }
    return 0;
}
