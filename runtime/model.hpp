// Declares what a baked model offers to the runtime. Generated code and packed data define everything declared here;
// the runtime knows no dimension but through kModel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "certificate.hpp"
#include "profile.hpp"
#include "team.hpp"

namespace storybake {

/// Holds the facts of the baked model and of its plan.
struct ModelFacts {
    const char* name;             // "stories15M_q8"
    const char* target;           // "portable", "duo", ...
    const char* weight_type;      // "f32", "f16", "q8", "q4"
    const char* classifier_type;  // names the type of classifier and embedding
    int dim;
    int hidden_dim;
    int n_layers;
    int n_heads;
    int n_kv_heads;
    int vocab_size;
    int seq_len;
    int group_size;  // weights, or activations, that share a scale; 0: none do
    bool shared_classifier;
    int max_batch;                   // positions that one forward() takes at most
    int max_threads;                 // threads that the scratch memory is planned for
    std::uint64_t weights_bytes;     // packed weights, RoPE tables and padding included
    std::uint64_t kv_bytes;          // key/value cache at seq_len positions
    const char* kv_type;             // names the type of the cache's elements: "f32", "f16"
    std::uint64_t activation_bytes;  // everything else that is static, scratch of one thread
    std::uint64_t macs_per_token;    // multiply-accumulates with weights
    std::uint64_t bytes_per_token;   // counts bytes of weights read, with all rows of the classifier
    std::uint64_t classifier_bytes;  // are the classifier's part of these
};

/// Describes the baked model; generated from the checkpoint's header alone.
extern const ModelFacts kModel;

/// Lists the rows of the profile: one an operation and shape, in the order of their first use; waiting is the last.
extern const std::span<const OpFacts> kOps;

/// Says which positions of a batch the classifier is computed for: none, the last one, the last two. kHead and
/// kHeadOfTwo: but for the rows that are the certificate's tail, if it has one.
enum class Logits { kNone, kHead, kLast, kHeadOfTwo, kLastTwo };

/// Names the first instruction-set extension that the target needs and this CPU lacks; null when nothing is missing. To
/// be asked before forward(), which would die of an illegal instruction.
const char* missing_extension() noexcept;

/// Computes the positions pos, pos+1, ... of tokens (1 to max_batch of them, ids below vocab_size, the last position
/// below seq_len) and appends them to the key/value cache. Every thread of the team calls it with the same arguments;
/// `weights` is the packed image, 64-byte aligned; `profile` may be null. It does no I/O, no allocation, throws
/// nothing.
void forward(const std::byte* weights, std::span<const int> tokens, int pos, Logits wanted, const Team& team,
             Profile* profile) noexcept;

/// Returns what forward() reads and writes between its steps and from token to token, the key/value cache in it.
/// Nothing in it needs to be set before the first call.
std::span<std::byte> working_memory() noexcept;

/// Has the functions below tell of the first (0) of the two positions that were computed with logits, as forward()
/// leaves it, or of the second (1).
void choose_logits(int i) noexcept;

/// Returns the logits of the last position that was computed with Logits::kLast, or completed. (vocab_size,)
std::span<float> logits() noexcept;

/// Finds the facts of logits(): the index of the largest, and whether all are finite.
LogitsFacts logits_facts() noexcept;

/// Says what the head found and where the tail lies, after Logits::kHead, for a model whose certificate has a tail.
HeadLogits head_logits() noexcept;

/// Computes what Logits::kHead or kHeadOfTwo left out, so that logits() has all of each position. Threads call it as
/// they call forward().
void complete_logits(const std::byte* weights, const Team& team, Profile* profile) noexcept;

/// Computes p = e^(logits / temperature - largest), which a sampler makes probabilities of. Returns the sum, first to
/// last.
float exponentials(std::span<float> p, std::span<const float> logits, float temperature, float largest) noexcept;

/// Takes, for the self-test, a batch through a layer and the classifier, by the kernels and by plain C++, and puts the
/// names of the kernels whose results differ in any bit into `names`; returns how many. `memory` is kComparisonBytes of
/// zeros, 64-byte aligned.
std::size_t broken_kernels(const std::byte* weights, std::byte* memory, std::span<const char*> names) noexcept;
extern const std::size_t kComparisonBytes;

/// Marks a stretch of the packed weights, up to where the next one begins, padding included.
struct WeightSection {
    const char* tensor;  // llama2.c's name, or "rope"
    int layer;           // -1 for what the model has but once
    std::uint64_t offset;
    std::uint64_t fingerprint;
};

/// Holds the golden text (codegen/golden_text.py): what is encoded, and its ids; the tokens that are drawn from the
/// last logits of the golden run, half of them by top-p and half from all, with the seeds 1, 2, ...; and the
/// fingerprint of what they say.
struct GoldenText {
    static constexpr float kTemperature = 0.9F;
    static constexpr float kTopp = 0.9F;

    const char* text;
    std::span<const int> ids;
    std::span<const int> drawn;
    std::uint64_t said;
};

/// Holds the packed data of the model: made from the checkpoint's tensors, not part of the generated sources.
struct PackedData {
    const std::byte* weights;           // read-only, the executable's own; null when they are in a file beside it
    std::uint64_t weights_size;         // bytes
    std::uint64_t weights_fingerprint;  // fingerprint() of the packed weights
    std::uint64_t checkpoint_size;      // counts the checkpoint file's bytes
    std::uint64_t checkpoint_fingerprint;
    std::span<const std::byte> tokenizer;  // the baked tokenizer, see tokenizer.hpp
    std::uint64_t tokenizer_fingerprint;
    std::span<const WeightSection> sections;  // cover the packed weights from the first byte to the last
    // Hold the golden run (codegen/golden_run.py): tokens at the positions 0, 1, ... and the fingerprint of their
    // logits.
    std::span<const int> golden_tokens;
    std::uint64_t golden_fingerprint;
    GoldenText golden_text;
    Certificate certificate;           // orders the classifier's rows
    std::span<const std::byte> draft;  // guesses what follows, see draft.hpp; empty: no table
};
extern const PackedData kPackedData;

}  // namespace storybake
