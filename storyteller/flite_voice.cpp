// Speaks with the voices of Flite, linked into the program.

#include <flite/flite.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "notices.hpp"
#include "storyteller/messages.hpp"
#include "storyteller/voice.hpp"
#include "storyteller/wav.hpp"

extern "C" {
// Declares what no header of Flite's does.
cst_lexicon* cmu_lex_init();
cst_voice* register_cmu_us_awb(const char* folder);
cst_voice* register_cmu_us_kal(const char* folder);
cst_voice* register_cmu_us_kal16(const char* folder);
cst_voice* register_cmu_us_rms(const char* folder);
cst_voice* register_cmu_us_slt(const char* folder);
}

namespace storybake::speech {
namespace {

struct FliteName {
    const char* name;
    cst_voice* (*open)(const char*);
    double loudness;
    bool one_pitch = false;  // says that the pitch is in the recordings, with no model of it that could be shifted
};

constexpr std::array<FliteName, 5> kFliteVoices = {{
    {"slt", register_cmu_us_slt, -16.1},
    {"kal16", register_cmu_us_kal16, -28.3},
    {"rms", register_cmu_us_rms, -21.5, true},
    {"awb", register_cmu_us_awb, -20.7},
    {"kal", register_cmu_us_kal, -22.6},
}};

class FliteVoice final : public Voice {
public:
    FliteVoice(cst_voice* voice, double loudness, Manner manner)
        : Voice(loudness), voice_(voice), streaming_(new_audio_streaming_info()) {
        streaming_->asc = hand_on;
        streaming_->min_buffsize = static_cast<int>(kSamplesAtOnce);
        flite_feat_set(voice_->features, "streaming_info", audio_streaming_info_val(streaming_));
        // Set only what was asked for: each voice has its own way.
        if (manner.speed != 100) {
            const float stretch = get_param_float(voice_->features, "duration_stretch", 1.0F);
            flite_feat_set_float(voice_->features, "duration_stretch",
                                 stretch * 100.0F / static_cast<float>(manner.speed));
        }
        if (manner.pitch != 100) {
            flite_feat_set_float(voice_->features, "f0_shift", static_cast<float>(manner.pitch) / 100.0F);
        }
    }

    std::optional<Failure> speak(const std::string& text, const TakeSamples& take) override {
        streaming_->userdata = const_cast<TakeSamples*>(&take);
        cst_wave* const wave = flite_text_to_wave(text.c_str(), voice_);
        streaming_->userdata = nullptr;
        if (wave == nullptr) {
            return std::nullopt;
        }
        if (wave->num_samples > 0 && wave->sample_rate != kSampleRate) {
            hand_on_all(resample({wave->samples, wave->samples + wave->num_samples}, wave->sample_rate), take);
        }
        delete_wave(wave);
        return std::nullopt;
    }

private:
    /// Is Flite's callback: `size` more samples of `wave` are computed. Those of another rate wait for the whole
    /// sentence.
    static int hand_on(const cst_wave* wave, int start, int size, int /*last*/, cst_audio_streaming_info* streaming) {
        const auto& take = *static_cast<const TakeSamples*>(streaming->userdata);
        const bool go_on =
            wave->sample_rate != kSampleRate || take({wave->samples + start, static_cast<std::size_t>(size)});
        return go_on ? CST_AUDIO_STREAM_CONT : CST_AUDIO_STREAM_STOP;
    }

    cst_voice* voice_;                     // is Flite's, and lives as long as the process
    cst_audio_streaming_info* streaming_;  // is the voice's
};

}  // namespace

std::string voice_names() {
    std::string names;
    for (const FliteName& voice : kFliteVoices) {
        names += std::string(voice.name) + ", ";
    }
    return names + "espeak[:LANGUAGE]";
}

Result<std::unique_ptr<Voice>> open_voice(const std::string& name, Manner manner) {
    if (name == "espeak" || name.starts_with("espeak:")) {
        return open_espeak(name, manner);
    }
    for (const FliteName& voice : kFliteVoices) {
        if (name.empty() || name == voice.name) {
            if (voice.one_pitch && manner.pitch != 100) {
                warn(say(Message::kPitchKept, {voice.name}));
            }
            flite_init();
            return std::unique_ptr<Voice>(std::make_unique<FliteVoice>(voice.open(nullptr), voice.loudness, manner));
        }
    }
    return failure(kExitUsage, "--voice \"%s\": expected one of %s", name.c_str(), voice_names().c_str());
}

std::string pronounce(const std::string& word) {
    std::string phones;
    cst_val* const found = lex_lookup(cmu_lex_init(), word.c_str(), nullptr, nullptr);
    for (const cst_val* phone = found; phone != nullptr; phone = val_cdr(phone)) {
        std::string name = val_string(val_car(phone));
        name.erase(std::remove_if(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }), name.end());
        std::transform(name.begin(), name.end(), name.begin(),
                       [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c; });
        if (name == "AX") {
            name = "AH";
        }
        if (!phones.empty()) {
            phones += ' ';
        }
        phones += name;
    }
    delete_val(found);
    return phones;
}

std::vector<std::int16_t> resample(const std::vector<std::int16_t>& samples, int rate) {
    cst_wave* const wave = new_wave();
    cst_wave_resize(wave, static_cast<int>(samples.size()), 1);
    wave->sample_rate = rate;
    std::copy(samples.begin(), samples.end(), wave->samples);
    cst_wave_resample(wave, kSampleRate);
    std::vector<std::int16_t> resampled(wave->samples, wave->samples + wave->num_samples);
    delete_wave(wave);
    return resampled;
}

}  // namespace storybake::speech
