// Adapts the acoustic model to speech over noise that a Denoiser has lowered, which sounds unlike speech in quiet.
#pragma once

namespace storybake::speech {

/// Is the transform of the model's means and variances, as PocketSphinx reads it from a file: maximum likelihood linear
/// regression (Leggetter and Woodland, 1995) of each third of the features, one for all phones. It was estimated from
/// 191 wishes and other sentences, none of the phrases by which it was judged, said by four of Flite's voices over
/// noise 10 dB below them and filtered as the robot does; which state each hundredth of a second belongs to was found
/// in the same without the noise.
extern const char* const kOverNoise;

}  // namespace storybake::speech
