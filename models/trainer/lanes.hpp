// Gives rows of bfloat16 and float32 as vectors of sixteen float32, and pairs of bfloat16 as their products take them.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace fused {

using bf16 = std::uint16_t;
constexpr int kHead = HEAD_SIZE;
constexpr int kLanes = 16;
static_assert(kHead % kLanes == 0);

inline __m512 load(const bf16* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline __m512 load(const float* p) {
    return _mm512_loadu_ps(p);
}
inline void store(bf16* p, __m512 x) {
    const __m256bh bits = _mm512_cvtneps_pbh(x);
    std::memcpy(p, &bits, sizeof bits);
}
inline void store(float* p, __m512 x) {
    _mm512_storeu_ps(p, x);
}
inline float number(bf16 x) {
    const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Gives e^x with an error of about 2 ulp, 0 below -87.
inline __m512 exp(__m512 x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693145752f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.42860677e-6f), r);
    __m512 y = _mm512_set1_ps(1.0f / 720);
    for (const float factor : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(factor));
    }
    return _mm512_scalef_ps(y, n);
}

inline __m512 sigmoid(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// Interleaves two rows as the pairs that a product of bfloat16 pairs takes: a0 b0 a1 b1 ...
inline void store_pairs(bf16* p, __m512 a, __m512 b) {
    const __m256bh low = _mm512_cvtneps_pbh(a), high = _mm512_cvtneps_pbh(b);
    __m256i low_bits, high_bits;
    std::memcpy(&low_bits, &low, sizeof low);
    std::memcpy(&high_bits, &high, sizeof high);
    const __m512i pairs =
        _mm512_or_si512(_mm512_cvtepu16_epi32(low_bits), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high_bits), 16));
    _mm512_storeu_si512(p, pairs);
}

inline __m512bh pairs_at(const bf16* p) {
    __m512bh value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

inline __m512bh pair_everywhere(const bf16* p) {
    std::int32_t bits;
    std::memcpy(&bits, p, sizeof bits);
    const __m512i value = _mm512_set1_epi32(bits);
    __m512bh result;
    std::memcpy(&result, &value, sizeof value);
    return result;
}

}  // namespace fused
