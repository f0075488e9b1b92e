// Computes the logits of whole texts with this build's model, for tools/evaluate (evaluation/programs.py reads it).
//
// Standard input: texts, each a u32 length and its bytes. Standard output, little-endian: a header of u32 vocab_size,
// u32 seq_len and u64 weights_bytes; then a window after the other: u32 text, u32 count, i32 tokens[count], and as
// f32 [count - 1][vocab_size] the logits that predict each token but the first. A text of more tokens than the context
// predicts is cut into windows; each begins with BOS, or, where a tokenizer sets none, with the token before it. So
// every token is predicted exactly once.
#include <unistd.h>

#include <cstdio>

#include "engine.hpp"
#include "files.hpp"
#include "model.hpp"
#include "notices.hpp"
#include "opened_model.hpp"
#include "program.hpp"

namespace storybake {
namespace {

bool put(std::span<const std::byte> bytes) {
    return write_all(STDOUT_FILENO, bytes) == 0;
}

template <class T>
bool put(const T& value) {
    return put(std::as_bytes(std::span(&value, 1)));
}

/// Writes one window: at most seq_len + 1 tokens, the last of which is only predicted.
bool put_window(Engine& engine, std::uint32_t text, const std::vector<int>& tokens) {
    if (!put(text) || !put(static_cast<std::uint32_t>(tokens.size())) || !put(std::as_bytes(std::span(tokens)))) {
        return false;
    }
    for (std::size_t pos = 0; pos + 1 < tokens.size(); ++pos) {
        const std::span<float> logits = engine.forward({&tokens[pos], 1}, static_cast<int>(pos), Logits::kLast);
        if (!put(std::as_bytes(logits))) {
            return false;
        }
    }
    return true;
}

bool put_text(Engine& engine, std::uint32_t text, const std::vector<int>& ids, int bos) {
    const std::size_t most = static_cast<std::size_t>(kModel.seq_len) + 1;
    for (std::size_t next = 1; next < ids.size();) {
        std::vector<int> window{ids[0] == bos ? bos : ids[next - 1]};
        while (next < ids.size() && window.size() < most) {
            window.push_back(ids[next++]);
        }
        if (!put_window(engine, text, window)) {
            return false;
        }
    }
    return true;
}

int main() {
    prepare_process(kModel.name);
    Options options;
    options.threads = 1;
    if (const std::optional<int> code = answer_options(options, "logits", "")) {
        return *code;  // this CPU can't
    }
    const auto opened = OpenedModel::open(options);
    if (!opened) {
        return report_failure(opened.failure());
    }
    const OpenedModel& model = *opened;
    Engine engine(model.weights->data(), model.threads, 1, nullptr);
    bool written = put(static_cast<std::uint32_t>(kModel.vocab_size)) &&
                   put(static_cast<std::uint32_t>(kModel.seq_len)) && put(kModel.weights_bytes);
    std::uint32_t length = 0;
    std::string text;
    for (std::uint32_t i = 0; written && std::fread(&length, sizeof length, 1, stdin) == 1; ++i) {
        text.resize(length);
        if (std::fread(text.data(), 1, length, stdin) != length) {
            return report_failure(failure(kExitBadData, "text %u: expected %u bytes, found the end", i, length));
        }
        written = put_text(engine, i, model.tokenizer->encode(text), model.tokenizer->bos());
    }
    return written ? kExitOk : kExitIo;  // whoever reads knows why it stopped
}

}  // namespace
}  // namespace storybake

int main() {
    return storybake::main();
}
