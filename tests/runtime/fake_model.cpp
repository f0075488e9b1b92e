#include "fake_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "draft.hpp"
#include "exp.hpp"
#include "sampler.hpp"

namespace storybake {

const ModelFacts kModel = {
    .name = "fake",
    .target = "test",
    .weight_type = "f32",
    .classifier_type = "f32",
    .dim = 4,
    .hidden_dim = 8,
    .n_layers = 1,
    .n_heads = 1,
    .n_kv_heads = 1,
    .vocab_size = 264,
    .seq_len = 48,
    .group_size = 0,
    .shared_classifier = true,
    .max_batch = 5,
    .max_threads = 4,
    .weights_bytes = 1000,
    .kv_bytes = 200,
    .kv_type = "f32",
    .activation_bytes = 34,
    .macs_per_token = 5000000,
    .bytes_per_token = 1000,
    .classifier_bytes = 0,
};

namespace {

constexpr OpFacts kFakeOps[] = {{"first", 1000, 10}, {"second", 0, 10}};

std::uint64_t history[64];  // at each position, a hash of the tokens up to it
float fake_logits[2][264];  // of the last positions
int chosen = 0;

std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

}  // namespace

const std::span<const OpFacts> kOps = kFakeOps;

namespace fake {

std::vector<Call> calls;
std::map<int, int> script;
std::uint32_t guesses[1024];
std::vector<const char*> broken;
int broken_position = -1;
int interrupt_position = -1;
volatile int interrupted = 0;

void guess(const std::vector<int>& last, int token, unsigned chance) {
    std::uint32_t hashed = 0;
    for (auto at = last.rbegin(); at != last.rend(); ++at) {
        hashed = Draft::hash(hashed, static_cast<std::uint32_t>(*at));
    }
    std::uint32_t* slot = guesses + (hashed & (std::size(guesses) / Draft::kSlots - 1)) * Draft::kSlots;
    slot = std::find(slot, slot + Draft::kSlots - 1, 0U);
    *slot = chance << 28 | hashed >> 20 << 16 | static_cast<std::uint32_t>(token);
}

void reset() {
    calls.clear();
    std::fill(std::begin(guesses), std::end(guesses), 0U);
    script.clear();
    broken.clear();
    broken_position = -1;
    interrupt_position = -1;
    interrupted = 0;
    for (std::uint64_t& h : history) {
        h = 0;
    }
}

}  // namespace fake

std::span<std::byte> working_memory() noexcept {
    return std::as_writable_bytes(std::span(fake_logits[0]));
}

void choose_logits(int i) noexcept {
    chosen = i;
}

std::span<float> logits() noexcept {
    return fake_logits[chosen];
}

LogitsFacts logits_facts() noexcept {
    bool finite = true;
    for (const float logit : logits()) {
        finite = finite && logit - logit == 0.0F;
    }
    return {argmax(logits()), finite};
}

HeadLogits head_logits() noexcept {
    return {};
}  // the model has no tail

void complete_logits(const std::byte*, const Team&, Profile*) noexcept {}

const PackedData kPackedData = [] {
    PackedData packed{};
    packed.draft = std::as_bytes(std::span(fake::guesses));
    return packed;
}();

// Nothing calls it here. Defined as all that model.hpp declares: a library's inline function may be found in any file
// of the runtime, and the linker then takes that file whole.
const char* missing_extension() noexcept {
    return nullptr;
}

float exponentials(std::span<float> p, std::span<const float> logits, float temperature, float largest) noexcept {
    float sum = 0.0F;
    for (std::size_t i = 0; i < p.size(); ++i) {
        p[i] = exp_f32(logits[i] / temperature - largest);
        sum += p[i];
    }
    return sum;
}

const std::size_t kComparisonBytes = 4096;

std::size_t broken_kernels(const std::byte*, std::byte* memory, std::span<const char*> names) noexcept {
    std::size_t count = 0;
    for (const char* name : fake::broken) {
        names[count++] = name;
    }
    return memory != nullptr ? count : 0;
}

void forward(const std::byte*, std::span<const int> tokens, int pos, Logits wanted, const Team& team,
             Profile* profile) noexcept {
    const int n = static_cast<int>(tokens.size());
    const int last = pos + n - 1;
    if (profile != nullptr) {
        profile->start();
    }
    if (team.rank == 0) {
        fake::calls.push_back({pos, n, wanted, team.size});
        for (int i = 0; i < n; ++i) {
            const auto token = static_cast<std::uint64_t>(tokens[static_cast<std::size_t>(i)]);
            history[pos + i] = mix((pos + i > 0 ? history[pos + i - 1] : 1) + 0x9e3779b97f4a7c15U * (token + 1));
        }
        if (pos <= fake::interrupt_position && fake::interrupt_position <= last) {
            fake::interrupted = 2;
        }
    }
    team.sync();
    const int drawn = wanted == Logits::kLast ? 1 : wanted == Logits::kLastTwo ? 2 : 0;
    for (int p = 0; p < drawn; ++p) {
        const int position = last - drawn + 1 + p;
        const Team::Slice mine = team.slice(kModel.vocab_size);
        for (int i = mine.begin; i < mine.end; ++i) {
            const auto bits = mix(history[position] + static_cast<std::uint64_t>(i)) >> 40;
            float& logit = fake_logits[p][i];
            logit = static_cast<float>(bits) / 4194304.0F;  // [0, 4)
            const auto told = fake::script.find(position);
            if (told != fake::script.end() && told->second == i) {
                logit = 100.0F;
            }
            if (position == fake::broken_position && i == 7) {
                logit = std::nanf("");
            }
        }
    }
    if (team.rank == 0 && drawn > 0) {
        chosen = 0;
    }
    if (profile != nullptr) {
        profile->mark(0, n);
    }
}

}  // namespace storybake
