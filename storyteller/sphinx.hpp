// Hides what differs between PocketSphinx 5prealpha, Debian 13's and before, and PocketSphinx 5.
#pragma once

#include <pocketsphinx.h>
#if __has_include(<ps_search.h>)
#include <ps_search.h>
#include <sphinxbase/err.h>
#endif

#include <string>
#include <vector>

namespace storybake::speech {

/// Makes a decoder; null when the acoustic model can't be read.
ps_decoder_t* new_decoder(const std::string& acoustic_model);

/// Adds a search of that name for what a grammar in JSGF has, and chooses it. Returns whether that worked.
bool set_grammar(ps_decoder_t* decoder, const char* name, const char* grammar);

/// Adds a search of that name for a phrase so many times as likely as the phones that it is made of. Returns whether
/// that worked.
bool set_keyphrase(ps_decoder_t* decoder, const char* name, const char* phrase, double threshold);

/// Chooses what is searched for from now on. Returns whether there is such a search.
bool choose_search(ps_decoder_t* decoder, const char* name);

/// Changes, between utterances, how the decoder expects speech to sound, by a transform as ps_mllr_read() reads it.
/// Returns whether that worked: else, as for a model whose features are other ones, it goes on as before.
bool set_transform(ps_decoder_t* decoder, const std::string& transform);

/// Returns the transform that changes nothing.
std::string no_transform();

/// Keeps the mean of what was heard, which is learned from one utterance to the next.
class Mean {
public:
    explicit Mean(ps_decoder_t* decoder);
    void restore() const;

    /// Has what is heard next, the same once more, heard with the mean of its so many frames alone.
    void leave_out(int frames) const;

private:
    ps_decoder_t* decoder_;
    std::vector<float> mean_;
};

}  // namespace storybake::speech
