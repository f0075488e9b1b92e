#ifdef STORYBAKE_POCKETSPHINX

#include "storyteller/sphinx.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string_view>

#include "files.hpp"

#if __has_include(<ps_search.h>)
#include <ps_mllr.h>
#include <sphinxbase/cmn.h>
#include <sphinxbase/feat.h>
#include <sphinxbase/jsgf.h>
#endif

namespace storybake::speech {
namespace {

// Add to the acoustic model's settings: no second pass over the words, and beams narrow enough for a board.
constexpr float kLanguageWeight = 1.0F;
constexpr double kBeam = 1e-80;
constexpr double kWordBeam = 1e-60;
constexpr int kMostActive = 1500;  // phones a frame

// A wake word competes with a loop of all phones, where the next one costs its probability. With
// PocketSphinx's 0.1 anything is well made of many short ones, noise above all; with this one the wake word stands out.
constexpr double kPhoneLoop = 1e-7;

// Is how the features of a model have to be divided for a transform: PocketSphinx doesn't compare them.
constexpr std::string_view kStreamsOfTransform = "0-12/13-25/26-38";
constexpr std::size_t kMostRead = 64U << 20;  // bytes of a file of the model

#if __has_include(<ps_search.h>)
const char* streams_of(ps_decoder_t* decoder) {
    return cmd_ln_str_r(ps_get_config(decoder), "-svspec");
}

std::string model_of(ps_decoder_t* decoder) {
    return cmd_ln_str_r(ps_get_config(decoder), "-hmm");
}

/// Returns the mean of what the decoder has heard.
std::vector<float> mean_of(ps_decoder_t* decoder) {
    const cmn_t* const cmn = ps_get_feat(decoder)->cmn_struct;
    std::vector<float> mean(static_cast<std::size_t>(cmn->veclen));
    cmn_live_get(ps_get_feat(decoder)->cmn_struct, mean.data());
    return mean;
}

void set_mean(ps_decoder_t* decoder, const std::vector<float>& mean) {
    cmn_live_set(ps_get_feat(decoder)->cmn_struct, mean.data());
}
#else
const char* streams_of(ps_decoder_t* decoder) {
    return ps_config_str(ps_get_config(decoder), "svspec");
}

std::string model_of(ps_decoder_t* decoder) {
    return ps_config_str(ps_get_config(decoder), "hmm");
}

/// Returns the mean of what the decoder has heard.
std::vector<float> mean_of(ps_decoder_t* decoder) {
    std::vector<float> mean;
    for (const char* text = ps_get_cmn(decoder, FALSE); *text != '\0'; text += *text == ',' ? 1 : 0) {
        char* end = nullptr;
        mean.push_back(std::strtof(text, &end));
        if (end == text) {
            break;
        }
        text = end;
    }
    return mean;
}

void set_mean(ps_decoder_t* decoder, const std::vector<float>& mean) {
    std::string text;
    for (const float value : mean) {
        text.append(text.empty() ? "" : ",").append(std::to_string(value));
    }
    ps_set_cmn(decoder, text.c_str());
}
#endif

/// Reads a transform from a file in memory: PocketSphinx reads files only. Null where there are none.
ps_mllr_t* read_transform(std::string_view transform) {
    const int file = ::memfd_create("transform", MFD_CLOEXEC);
    if (file < 0) {
        return nullptr;
    }
    ps_mllr_t* const read = write_all(file, std::as_bytes(std::span(transform))) == 0
                                ? ps_mllr_read(("/proc/self/fd/" + std::to_string(file)).c_str())
                                : nullptr;
    ::close(file);
    return read;
}

/// Returns the mean of some frames, of that before them, which counts as 500, and that of both.
float mean_without(float before, float both, int frames) {
    constexpr float kCounted = 500.0F;
    const auto count = static_cast<float>(std::max(frames, 1));
    return (both * (kCounted + count) - before * kCounted) / count;
}

}  // namespace

Mean::Mean(ps_decoder_t* decoder) : decoder_(decoder), mean_(mean_of(decoder)) {}

void Mean::restore() const {
    set_mean(decoder_, mean_);
}

void Mean::leave_out(int frames) const {
    std::vector<float> own = mean_of(decoder_);
    for (std::size_t i = 0; i < std::min(own.size(), mean_.size()); ++i) {
        own[i] = mean_without(mean_[i], own[i], frames);
    }
    set_mean(decoder_, own);
}

std::string no_transform() {
    constexpr int kStreams = 3;
    constexpr int kLength = 13;
    std::string text = "1\n" + std::to_string(kStreams) + "\n";
    for (int stream = 0; stream < kStreams; ++stream) {
        text += std::to_string(kLength) + "\n";
        for (int row = 0; row < kLength + 2; ++row) {  // those of the matrix, what is added, and the factors
            for (int i = 0; i < kLength; ++i) {
                text += row == i || row > kLength ? "1 " : "0 ";
            }
        }
    }
    return text;
}

bool set_transform(ps_decoder_t* decoder, const std::string& transform) {
    const char* const streams = streams_of(decoder);
    // Read first what PocketSphinx reads again: where that fails, it crashes.
    const std::string model = model_of(decoder);
    const auto readable = [&](const char* name) {
        return static_cast<bool>(read_file(model + name, "acoustic model", kMostRead));
    };
    if (streams == nullptr || streams != kStreamsOfTransform || !readable("/means") || !readable("/variances")) {
        return false;
    }
    ps_mllr_t* const read = read_transform(transform);
    const bool set = read != nullptr && ps_update_mllr(decoder, read) != nullptr;
#if !__has_include(<ps_search.h>)
    ps_mllr_free(read);  // the decoder keeps its own; 5prealpha's keeps this one
#endif
    return set;
}

#if __has_include(<ps_search.h>)
bool choose_search(ps_decoder_t* decoder, const char* name) {
    return ps_set_search(decoder, name) == 0;
}

bool set_keyphrase(ps_decoder_t* decoder, const char* name, const char* phrase, double threshold) {
    cmd_ln_set_float_r(ps_get_config(decoder), "-kws_threshold", threshold);
    return ps_set_keyphrase(decoder, name, phrase) == 0;
}

ps_decoder_t* new_decoder(const std::string& acoustic_model) {
    cmd_ln_t* const config = cmd_ln_init(nullptr, ps_args(), TRUE, "-hmm", acoustic_model.c_str(), nullptr);
    if (config == nullptr) {
        return nullptr;
    }
    cmd_ln_set_boolean_r(config, "-bestpath", FALSE);
    cmd_ln_set_float_r(config, "-lw", kLanguageWeight);
    cmd_ln_set_float_r(config, "-beam", kBeam);
    cmd_ln_set_float_r(config, "-pbeam", kBeam);
    cmd_ln_set_float_r(config, "-wbeam", kWordBeam);
    cmd_ln_set_int_r(config, "-maxhmmpf", kMostActive);
    cmd_ln_set_float_r(config, "-kws_plp", kPhoneLoop);
    ps_decoder_t* const decoder = ps_init(config);
    cmd_ln_free_r(config);  // the decoder keeps its own
    return decoder;
}

// Does what ps_set_jsgf_string() does, which never frees what it has parsed: 60 KB for each wish of a small board.
bool set_grammar(ps_decoder_t* decoder, const char* name, const char* grammar) {
    jsgf_t* const parsed = jsgf_parse_string(grammar, nullptr);
    jsgf_rule_t* const rule = parsed != nullptr ? jsgf_get_public_rule(parsed) : nullptr;
    fsg_model_t* const model =
        rule != nullptr ? jsgf_build_fsg(parsed, rule, ps_get_logmath(decoder), kLanguageWeight) : nullptr;
    const bool set = model != nullptr && ps_set_fsg(decoder, name, model) == 0 && choose_search(decoder, name);
    fsg_model_free(model);
    jsgf_grammar_free(parsed);
    return set;
}

#else

bool choose_search(ps_decoder_t* decoder, const char* name) {
    return ps_activate_search(decoder, name) == 0;
}

bool set_keyphrase(ps_decoder_t* decoder, const char* name, const char* phrase, double threshold) {
    ps_config_set_float(ps_get_config(decoder), "kws_threshold", threshold);
    return ps_add_keyphrase(decoder, name, phrase) == 0;
}

ps_decoder_t* new_decoder(const std::string& acoustic_model) {
    ps_config_t* const config = ps_config_init(nullptr);
    if (config == nullptr) {
        return nullptr;
    }
    ps_config_set_str(config, "hmm", acoustic_model.c_str());
    ps_config_set_bool(config, "bestpath", FALSE);
    ps_config_set_float(config, "lw", kLanguageWeight);
    ps_config_set_float(config, "beam", kBeam);
    ps_config_set_float(config, "pbeam", kBeam);
    ps_config_set_float(config, "wbeam", kWordBeam);
    ps_config_set_int(config, "maxhmmpf", kMostActive);
    ps_config_set_float(config, "kws_plp", kPhoneLoop);
    ps_config_set_bool(config, "remove_noise", TRUE);  // as 5prealpha does
    ps_decoder_t* const decoder = ps_init(config);
    ps_config_free(config);
    return decoder;
}

bool set_grammar(ps_decoder_t* decoder, const char* name, const char* grammar) {
    return ps_add_jsgf_string(decoder, name, grammar) == 0 && choose_search(decoder, name);
}

#endif

}  // namespace storybake::speech

#endif
