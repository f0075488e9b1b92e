#include "report.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstring>

#include "fingerprint.hpp"
#include "text_output.hpp"
#include "tokenizer.hpp"

namespace storybake {
namespace {

constexpr double kGiga = 1e9;
constexpr double kMega = 1e6;

/// Returns the bytes of weights that a token read on average: the tail of the classifier was left out for those that
/// are proved, and those that were guessed were computed with the ones before them.
double bytes_a_token(const ModelFacts& model, const Stats& stats) {
    const auto drawn = static_cast<double>(std::max<std::int64_t>(stats.certified + stats.fallen_back, 1));
    const double share = static_cast<double>(stats.tail_rows) / model.vocab_size;
    const auto positions = static_cast<double>(std::max<std::int64_t>(stats.positions, 1));
    const double read = static_cast<double>(model.bytes_per_token) - static_cast<double>(model.classifier_bytes) *
                                                                         share * static_cast<double>(stats.certified) /
                                                                         drawn;
    return read * (1.0 - static_cast<double>(stats.drafts.right) / positions);
}

/// Divides by a time, which a coarse clock may measure as 0.
double per(double a, double seconds) {
    return a / std::max(seconds, 1e-9);
}

void print_memory(std::FILE* to, const char* name, std::uint64_t bytes) {
    std::fprintf(to, "%-18s %12" PRIu64 " bytes  %9.3f MB\n", name, bytes, static_cast<double>(bytes) / kMega);
}

/// Puts a text in JSON's quotes.
std::string json_string(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : printable(text)) {
        quoted.append(c == '"' || c == '\\' ? 1 : 0, '\\').append(1, c);
    }
    return quoted + "\"";
}

void print_json_profile(std::FILE* to, const ProfileFacts& profile) {
    std::fprintf(to, "{\"seconds\": %.9f, \"reading_bytes_per_second\": %.0f, \"hertz\": ", profile.seconds,
                 profile.machine.bytes_per_second);
    if (profile.machine.hertz > 0.0) {
        std::fprintf(to, "%.0f", profile.machine.hertz);
    } else {
        std::fputs("null", to);
    }
    std::fputs(", \"operations\": [", to);
    for (std::size_t i = 0; i < profile.ops.size(); ++i) {
        const OpFacts& op = profile.ops[i];
        const Profile::Row& row = profile.rows[i];
        std::fprintf(to,
                     "%s{\"name\": %s, \"calls\": %" PRIu64 ", \"positions\": %" PRIu64
                     ", \"seconds\": %.9f, \"bytes\": %" PRIu64 ", \"macs\": %" PRIu64 "}",
                     i > 0 ? ", " : "", json_string(op.name).c_str(), row.calls, row.positions,
                     static_cast<double>(row.ns) * 1e-9, op.bytes, op.macs);
    }
    std::fputs("]}", to);
}

}  // namespace

void print_stats(std::FILE* to, const ModelFacts& model, const Stats& stats, const RunFacts& run) {
    const auto positions = static_cast<double>(stats.positions);
    const double rate = per(positions, stats.seconds);
    if (stats.positions > 0) {
        std::fprintf(to, "achieved tok/s: %f\n", rate);
    }
    std::fprintf(to, "%" PRId64 " tokens", stats.positions);
    if (stats.positions > 0) {
        std::fprintf(to, ", %.1f tok/s, %.3f ms a token, %.2f GB/s of weights", rate,
                     1000.0 * stats.seconds / positions, rate * bytes_a_token(model, stats) / kGiga);
    }
    if (stats.prompt_positions > 1) {
        std::fprintf(to, ", prompt %" PRId64 " tokens at %.1f tok/s", stats.prompt_positions,
                     per(static_cast<double>(stats.prompt_positions), stats.prompt_seconds));
    }
    if (run.weights) {
        std::fprintf(to, ", weights %s in %.1f ms", load_name(run.weights->how), 1000.0 * run.weights->seconds);
    }
    std::fprintf(to, ", %d thread%s", run.threads, run.threads == 1 ? "" : "s");
    if (run.stories > 1) {
        std::fprintf(to, ", %d stories", run.stories);
    }
    if (run.sampled) {
        std::fprintf(to, ", seed%s %" PRIu64 "%s", run.stories > 1 ? "s" : "", run.seed,
                     run.stories > 1 ? " and up" : "");
    }
    if (stats.certified + stats.fallen_back > 0) {
        std::fprintf(to, ", %" PRId64 " of %" PRId64 " tokens fell back to all logits", stats.fallen_back,
                     stats.certified + stats.fallen_back);
    }
    if (stats.drafts.made > 0) {
        std::fprintf(to, ", %" PRId64 " of %" PRId64 " guesses right", stats.drafts.right, stats.drafts.made);
    }
    if (!stats.logits.empty()) {
        std::fprintf(to, ", logits 0x%016" PRIx64, fingerprint(std::as_bytes(stats.logits)));
    }
    std::fputc('\n', to);
}

void print_profile(std::FILE* to, const ProfileFacts& profile, const Loading& weights) {
    const auto& [ops, rows, run_seconds, machine, drafts] = profile;
    double total = 0.0;
    int width = static_cast<int>(sizeof "outside of the model") - 1;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        total += static_cast<double>(rows[i].ns) * 1e-9;
        width = std::max(width, static_cast<int>(std::char_traits<char>::length(ops[i].name)));
    }
    const double seconds = std::max(run_seconds, total);
    std::fprintf(to, "%-*s %10s %12s %7s %8s %8s%s\n", width, "operation", "calls", "ms", "share", "GB/s", "ns/MAC",
                 machine.hertz > 0.0 ? " cycles/MAC" : "");
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const double spent = static_cast<double>(rows[i].ns) * 1e-9;
        std::fprintf(to, "%-*s %10" PRIu64 " %12.3f %6.1f%%", width, ops[i].name, rows[i].calls, 1000.0 * spent,
                     100.0 * per(spent, seconds));
        if (ops[i].bytes > 0 && rows[i].calls > 0) {
            const double bytes = static_cast<double>(ops[i].bytes) * static_cast<double>(rows[i].calls);
            std::fprintf(to, " %8.2f", per(bytes, spent) / kGiga);
            const double macs = static_cast<double>(ops[i].macs) * static_cast<double>(rows[i].positions);
            if (macs > 0.0) {
                std::fprintf(to, " %8.4f", kGiga * spent / macs);
            }
            if (macs > 0.0 && machine.hertz > 0.0) {
                std::fprintf(to, " %10.3f", machine.hertz * spent / macs);
            }
        }
        std::fputc('\n', to);
    }
    std::fprintf(to, "%-*s %10s %12.3f %6.1f%%\n", width, "outside of the model", "", 1000.0 * (seconds - total),
                 100.0 * per(seconds - total, seconds));
    if (drafts.cost > 0.0) {
        std::fprintf(to, "two positions at once: %.2f times one; guesses: %" PRId64 " of %" PRId64 " right\n",
                     drafts.cost, drafts.right, drafts.made);
    }
    if (machine.hertz > 0.0) {
        std::fprintf(to, "clock: %.1f MHz, of rdcycle\n", machine.hertz / kMega);
    } else {
        std::fprintf(to, "clock: not told\n");
    }
    const auto bytes = static_cast<double>(weights.bytes);
    std::fprintf(to, "loading the weights: %.1f MB %s in %.1f ms, %.1f MB/s\n", bytes / kMega, load_name(weights.how),
                 1000.0 * weights.seconds, per(bytes, weights.seconds) / kMega);
    std::fprintf(to, "reading the weights, one thread: %.2f GB/s\n", machine.bytes_per_second / kGiga);
}

void print_json(std::FILE* to, const ModelFacts& model, const Stats& stats, const RunFacts& run,
                std::span<const std::string> warnings, const std::optional<ProfileFacts>& profile) {
    std::fprintf(to, "{\"model\": %s, \"target\": %s, \"weight_type\": %s", json_string(model.name).c_str(),
                 json_string(model.target).c_str(), json_string(model.weight_type).c_str());
    std::fprintf(to, ", \"stories\": %d, \"threads\": %d, \"seed\": ", run.stories, run.threads);
    if (run.sampled) {
        std::fprintf(to, "%" PRIu64, run.seed);
    } else {
        std::fputs("null", to);
    }
    std::fprintf(to, ", \"prompt_tokens\": %" PRId64 ", \"prompt_seconds\": %.9f", stats.prompt_positions,
                 stats.prompt_seconds);
    std::fprintf(to, ", \"tokens\": %" PRId64 ", \"seconds\": %.9f, \"tokens_per_second\": ", stats.positions,
                 stats.seconds);
    if (stats.positions > 0) {
        std::fprintf(to, "%.6f", per(static_cast<double>(stats.positions), stats.seconds));
    } else {
        std::fputs("null", to);
    }
    std::fprintf(to, ", \"bytes_per_token\": %" PRIu64 ", \"loading\": ", model.bytes_per_token);
    if (run.weights) {
        std::fprintf(to, "{\"how\": \"%s\", \"bytes\": %" PRIu64 ", \"seconds\": %.9f}", load_name(run.weights->how),
                     run.weights->bytes, run.weights->seconds);
    } else {
        std::fputs("null", to);
    }
    std::fprintf(to, ", \"guesses\": %" PRId64 ", \"guesses_right\": %" PRId64, stats.drafts.made, stats.drafts.right);
    if (stats.logits.empty()) {
        std::fputs(", \"logits\": null", to);
    } else {
        std::fprintf(to, ", \"logits\": \"0x%016" PRIx64 "\"", fingerprint(std::as_bytes(stats.logits)));
    }
    std::fputs(", \"warnings\": [", to);
    for (std::size_t i = 0; i < warnings.size(); ++i) {
        std::fprintf(to, "%s%s", i > 0 ? ", " : "", json_string(warnings[i]).c_str());
    }
    std::fputs("], \"profile\": ", to);
    if (profile) {
        print_json_profile(to, *profile);
    } else {
        std::fputs("null", to);
    }
    std::fputs("}\n", to);
}

namespace {

/// Returns a text of the model's files on one line, as a program may write it: line feeds as \n, other controls as ?.
std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : text) {
        if (c == '\n') {
            line += "\\n";
        } else {
            line += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
        }
    }
    return line;
}

/// Prints how a chat is written down, and what ends a text.
void print_chat(std::FILE* to, const Tokenizer& tokenizer) {
    const auto piece = [&](int id) {
        std::string_view text = tokenizer.piece(id);
        while (text.size() > 2 && text.front() == '\n' && text.back() == '\n') {  // as llama2.c's files have "<s>"
            text.remove_prefix(1);
            text.remove_suffix(1);
        }
        return text;
    };
    const std::optional<ChatFormat>& chat = tokenizer.chat();
    std::fprintf(to, "%-18s %s\n", "chat", chat ? one_line(chat->name()).c_str() : "none");
    if (chat) {
        std::fprintf(to, "%-18s %s%s\n", "a turn", one_line(chat->example(piece)).c_str(),
                     chat->has_system() ? "" : ", no system prompt");
    }
    std::fprintf(to, "%-18s", "a text ends at");
    for (const int id : tokenizer.ends()) {
        std::fprintf(to, " %d", id);
    }
    std::fputc('\n', to);
}

}  // namespace

void print_info(std::FILE* to, const ModelFacts& model, const PackedData& packed, Load load) {
    const struct {
        const char* name;
        int value;
    } dims[] = {
        {"dim", model.dim},         {"hidden_dim", model.hidden_dim}, {"n_layers", model.n_layers},
        {"n_heads", model.n_heads}, {"n_kv_heads", model.n_kv_heads}, {"vocab_size", model.vocab_size},
        {"seq_len", model.seq_len},
    };
    std::fprintf(to, "%-18s %s\n", "model", model.name);
    std::fprintf(to, "%-18s %s\n", "target", model.target);
    std::fprintf(to, "%-18s %s", "weight type", model.weight_type);
    if (std::strcmp(model.weight_type, model.classifier_type) != 0) {
        std::fprintf(to, ", classifier %s", model.classifier_type);
    }
    if (model.group_size > 0) {
        std::fprintf(to, ", groups of %d", model.group_size);
    }
    std::fputc('\n', to);
    for (const auto& dim : dims) {
        std::fprintf(to, "%-18s %12d\n", dim.name, dim.value);
    }
    std::fprintf(to, "%-18s %s\n", "classifier", model.shared_classifier ? "the embedding table" : "its own");
    if (packed.certificate.head_rows > 0) {
        std::fprintf(to, "%-18s %12d of %d, the others proved needless for most\n", "rows a token needs",
                     packed.certificate.head_rows, model.vocab_size);
    }
    if (!packed.draft.empty()) {
        std::fprintf(to, "%-18s %12zu bytes, of its own stories\n", "table of guesses", packed.draft.size());
    }
    const Result<Tokenizer> tokenizer = Tokenizer::view(packed.tokenizer, model.vocab_size);
    std::fprintf(to, "%-18s %s\n", "tokenizer", tokenizer ? tokenizer->kind() : "damaged");
    if (tokenizer) {
        print_chat(to, *tokenizer);
    }
    std::fprintf(to, "%-18s %12d\n", "positions a batch", model.max_batch);
    std::fprintf(to, "%-18s %12d\n", "threads at most", most_threads());
    std::fprintf(to, "%-18s %12" PRIu64 " multiply-accumulates\n", "a token", model.macs_per_token);
    print_memory(to, "a token reads", model.bytes_per_token);
    print_memory(to, "weights", model.weights_bytes);
    std::fprintf(to, "%-18s %s\n", "cache type", model.kv_type);
    print_memory(to, "key/value cache", model.kv_bytes);
    print_memory(to, "activations", model.activation_bytes);
    print_memory(to, "memory", model.weights_bytes + model.kv_bytes + model.activation_bytes);
    std::fprintf(to, "%-18s %s\n", "weights are", packed.weights != nullptr ? "inside the executable" : "in a file");
    std::fprintf(to, "%-18s %s\n", "weights will be", load_name(load));
    std::fprintf(to, "%-18s fingerprint 0x%016" PRIx64 "\n", "weights have", packed.weights_fingerprint);
    std::fprintf(to, "%-18s fingerprint 0x%016" PRIx64 ", %" PRIu64 " bytes\n", "checkpoint had",
                 packed.checkpoint_fingerprint, packed.checkpoint_size);
}

}  // namespace storybake
