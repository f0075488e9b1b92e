// Loads the packed weights from where they are: the executable itself, or a file that is proven to be the baked
// model's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "fail.hpp"
#include "mapping.hpp"
#include "model.hpp"

namespace storybake {

/// Says how weights get into memory. Read, they have memory of their own, and a page is never fetched again in the
/// middle of a token. Mapped, they are the page cache's, which drops what it lacks the room for: a second program
/// shares them, and a system that is short of memory gets slow instead of killing the program. Either way the file is
/// read from its beginning to its end first: a card gives 20 MB a second so, and 3 to 8 when pages are asked for one by
/// one.
enum class Load { kRead, kMap };

/// Returns "read" or "mapped".
const char* load_name(Load how);

/// Holds what loading did.
struct Loading {
    Load how;
    std::uint64_t bytes;
    double seconds;
};

/// Chooses how weights are best loaded here: those of a file are read if there is memory for them and for the `beside`
/// bytes that the program needs as well, else mapped; those inside the executable are mapped with it, and read only
/// where huge pages make a token faster.
Load choose_load(const PackedData& packed, bool in_file, std::uint64_t beside);

/// Holds the packed weights in memory, 64-byte aligned.
class Weights {
public:
    /// Loads from `path`, the user's, empty for the packed data's own or, without any, <model>.weights beside the
    /// executable. Fails with 65 when the file is another model's, 66 when it is missing, 71 without memory for it, and
    /// 74. Damage in a file of the right size is found as well, unless `proven` is false: the self-test says where it
    /// is.
    static Result<Weights> load(const PackedData& packed, const char* model_name, const std::string& path, Load how,
                                bool proven = true);

    [[nodiscard]] const std::byte* data() const { return data_; }

    /// Returns how they were loaded: those inside the executable stay there when there is no memory for a copy.
    [[nodiscard]] Load how() const { return how_; }

    /// Fails with 65 when weights that are mapped from a file are no longer the baked ones: whoever writes into the
    /// file changes them in the middle of a run.
    [[nodiscard]] std::optional<Failure> changed(const PackedData& packed) const;

private:
    static Weights inside(const std::byte* weights, std::size_t size, Load how);

    Weights(const std::byte* data, Mapping memory, Load how) : memory_(std::move(memory)), data_(data), how_(how) {}

    Mapping memory_;  // none when the data is the executable's
    const std::byte* data_;
    Load how_;
    std::string file_;  // names the file that data_ is mapped from; empty when it is not
};

/// Checks that a checkpoint is the one that was baked: its size, and the fingerprint of its bytes. Fails with 65 when
/// it is not, 66 when it is missing.
std::optional<Failure> check_checkpoint(const std::string& path, const PackedData& packed, const char* model_name);

}  // namespace storybake
