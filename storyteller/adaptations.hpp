// Adapts the acoustic model to speech that it was not made from.
#pragma once

namespace storybake::speech {

// Are transforms of the model's means and variances, as PocketSphinx reads them from a file: maximum likelihood linear
// regression (Leggetter and Woodland, 1995) of each third of the features, one for all phones. They were estimated from
// 191 wishes and other sentences, none of the phrases by which they were judged, said by four of Flite's voices; which
// state each hundredth of a second belongs to was found in the same as it was said.

/// Is that for speech over noise that a Denoiser has lowered: noise was 10 dB below it.
extern const char* const kOverNoise;

/// Is that for a child's voice lowered to a grown-up's, which takes longer then: voices were raised by 4 to 8
/// semitones.
extern const char* const kLowered;

}  // namespace storybake::speech
