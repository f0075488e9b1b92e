#include "selftest.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cinttypes>
#include <span>

#include "fingerprint.hpp"
#include "mapping.hpp"
#include "sampler.hpp"
#include "tokenizer.hpp"

namespace storybake {
namespace {

constexpr std::size_t kMostNames = 4;  // are named in a message; the rest is counted

/// Lists names, and stays short.
class Names {
public:
    void add(const std::string& name) {
        if (count_++ < kMostNames) {
            text_ += (text_.empty() ? "" : ", ") + name;
        }
    }
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] std::string text() const {
        return count_ <= kMostNames ? text_ : text_ + " and " + std::to_string(count_ - kMostNames) + " more";
    }

private:
    std::string text_;
    std::size_t count_ = 0;
};

std::string section_name(const WeightSection& section) {
    return section.layer < 0 ? section.tensor : section.tensor + (" of layer " + std::to_string(section.layer));
}

Names damaged_sections(const std::byte* weights, const PackedData& packed) {
    Names damaged;
    for (std::size_t i = 0; i < packed.sections.size(); ++i) {
        const WeightSection& section = packed.sections[i];
        const bool last = i + 1 == packed.sections.size();
        const std::uint64_t end = last ? packed.weights_size : packed.sections[i + 1].offset;
        if (fingerprint({weights + section.offset, weights + end}) != section.fingerprint) {
            damaged.add(section_name(section));
        }
    }
    if (fingerprint(packed.tokenizer) != packed.tokenizer_fingerprint) {
        damaged.add("the tokenizer");
    }
    return damaged;
}

/// Names the kernels that give another result than plain C++. Fails with 71.
Result<Names> find_broken_kernels(const std::byte* weights) {
    // Pages that nobody touches cost nothing: the key/value cache of all layers but one.
    void* const mapped = ::mmap(nullptr, kComparisonBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return failure(kExitNoMemory, "self-test: no memory for %zu bytes: close other programs", kComparisonBytes);
    }
    const Mapping memory(static_cast<std::byte*>(mapped), kComparisonBytes);
    const char* found[64] = {};
    const std::size_t count = broken_kernels(weights, memory.data(), found);
    Names names;
    std::for_each(found, found + count, [&](const char* name) { names.add(name); });
    return names;
}

/// Returns the fingerprint of the logits of every position, computed one by one; `last` becomes the fingerprint of the
/// last one alone.
std::uint64_t run_one_by_one(Engine& engine, std::span<const int> tokens, std::uint64_t& last) {
    Fingerprint all;
    for (std::size_t pos = 0; pos < tokens.size(); ++pos) {
        const auto logits = std::as_bytes(engine.forward(tokens.subspan(pos, 1), static_cast<int>(pos), Logits::kLast));
        all.add(logits);
        last = fingerprint(logits);
    }
    return all.value();
}

Failure wrong_logits(const char* what, std::uint64_t actual, std::uint64_t expected) {
    return failure(kExitSelfTest,
                   "self-test: the golden run's logits %s have fingerprint 0x%016" PRIx64 ", expected 0x%016" PRIx64
                   ": the weights are whole, but this processor or its memory computes something else: try another "
                   "board, or -Dtarget=portable",
                   what, actual, expected);
}

/// Names what of tokenizer, sampler and decoder gives something else than the generator found; null when nothing does.
const char* find_wrong_step(std::span<const float> logits, const Tokenizer& tokenizer, const GoldenText& golden) {
    if (!std::ranges::equal(tokenizer.encode(golden.text), golden.ids)) {
        return "the tokenizer's ids of a known text";
    }
    std::string said;
    int previous = tokenizer.bos();
    const std::size_t half = golden.drawn.size() / 2;
    for (std::size_t i = 0; i < golden.drawn.size(); ++i) {
        const float topp = i < half ? GoldenText::kTopp : 1.0F;
        const std::size_t seed = 1 + (i < half ? i : i - half);
        Sampler sampler(kModel.vocab_size, GoldenText::kTemperature, topp, seed);
        const int token = golden.drawn[i];
        if (sampler.sample(logits) != token) {
            return "the sampler's tokens of known logits";
        }
        said += tokenizer.decode(previous, token);
        previous = token;
    }
    return fingerprint(std::as_bytes(std::span(said))) == golden.said ? nullptr : "the bytes of known tokens";
}

}  // namespace

Result<std::string> self_test(Engine& engine, const std::byte* weights, const PackedData& packed,
                              Result<std::string> (*check_program)()) {
    const Names damaged = damaged_sections(weights, packed);
    if (damaged.count() > 0) {
        return failure(kExitSelfTest,
                       "self-test: damaged since they were baked: %s (%zu of %zu sections): copy the program again, to "
                       "another card if need be",
                       damaged.text().c_str(), damaged.count(), packed.sections.size() + 1);
    }
    const Result<std::string> program = check_program();
    if (!program) {
        return program.failure();
    }
    const Result<Names> broken = find_broken_kernels(weights);
    if (!broken) {
        return broken.failure();
    }
    if (broken->count() > 0) {
        return failure(
            kExitSelfTest,
            "self-test: other results than plain C++ from %s: this processor or its memory computes something "
            "else: try another board, or -Dtarget=portable",
            broken->text().c_str());
    }
    std::uint64_t last = 0;
    const std::uint64_t all = run_one_by_one(engine, packed.golden_tokens, last);
    if (all != packed.golden_fingerprint) {
        return wrong_logits("position by position", all, packed.golden_fingerprint);
    }
    const volatile std::sig_atomic_t never = 0;
    const std::span<const float> logits = engine.prefill(packed.golden_tokens, 0, never);
    const std::uint64_t batch = fingerprint(std::as_bytes(logits));
    if (batch != last) {
        return wrong_logits("in a batch", batch, last);
    }
    const Result<Tokenizer> tokenizer = Tokenizer::view(packed.tokenizer, kModel.vocab_size);
    if (!tokenizer) {
        return tokenizer.failure();
    }
    if (const char* wrong = find_wrong_step(logits, *tokenizer, packed.golden_text)) {
        return failure(kExitSelfTest,
                       "self-test: %s are others than when the model was baked: this processor or its memory computes "
                       "something else: try another board, or -Dtarget=portable",
                       wrong);
    }
    return "self-test passed: " + *program + ", " + std::to_string(packed.sections.size() + 1) +
           " sections, every kernel, golden run of " + std::to_string(packed.golden_tokens.size()) +
           " positions, known text\n";
}

}  // namespace storybake
