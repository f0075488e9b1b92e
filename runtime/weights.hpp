// Where the packed weights come from: the executable itself, or a file that is proven to be the baked model's.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "fail.hpp"
#include "model.hpp"

namespace storybake {

/// The packed weights in memory, 64-byte aligned. Those inside the executable are used where they are, or copied where
/// huge pages make reading them faster; those of a file are read into memory of their own, so that a page is never
/// fetched again in the middle of a token.
class Weights {
public:
    /// `path` is the user's, empty for the packed data's own or, without any, <model>.weights beside the executable.
    /// Fails with 65 when the file is another model's, 66 when it is missing, 71 without memory for it, and 74. Damage
    /// in a file of the right size is found as well, unless `proven` is false: the self-test says where it is.
    static Result<Weights> load(const PackedData& packed, const char* model_name, const std::string& path,
                                bool proven = true);

    [[nodiscard]] const std::byte* data() const { return data_; }

private:
    struct Unmap {
        std::size_t size;
        void operator()(std::byte* mapped) const;
    };
    using Memory = std::unique_ptr<std::byte, Unmap>;

    static Memory allocate(std::size_t size);
    static Memory copy_to_huge_pages(const std::byte* weights, std::size_t size);

    Weights(const std::byte* data, Memory memory) : memory_(std::move(memory)), data_(data) {}

    Memory memory_;
    const std::byte* data_;
};

/// Checks that a checkpoint is the one that was baked: its size, and the fingerprint of its bytes. Fails with 65 when
/// it is not, 66 when it is missing.
std::optional<Failure> check_checkpoint(const std::string& path, const PackedData& packed, const char* model_name);

}  // namespace storybake
