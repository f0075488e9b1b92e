// Computes rotary causal attention over whole documents, and its gradients; key/value heads are shared by groups of
// query heads.
#pragma once

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "lanes.hpp"

namespace fused {

// Lays a matrix (rows, kHead) out for products along kHead: (kHead / 2, rows, 2).
inline void by_dimension(const bf16* from, bf16* to, int rows) {
    for (int row = 0; row < rows; ++row) {
        for (int d = 0; d < kHead; d += 2) {
            std::memcpy(to + (static_cast<std::size_t>(d / 2) * rows + row) * 2, from + row * kHead + d, 4);
        }
    }
}

// Lays a matrix (rows, kHead) out for products along its rows, an even number: (rows / 2, kHead, 2).
inline void by_row(const bf16* from, bf16* to, int rows) {
    for (int row = 0; row < rows; row += 2) {
        for (int d = 0; d < kHead; ++d) {
            to[row * kHead + 2 * d] = from[row * kHead + d];
            to[row * kHead + 2 * d + 1] = from[(row + 1) * kHead + d];
        }
    }
}

// Multiplies rows of `a` (Rows, kHead) with all columns up to `columns` of `b` as by_dimension lays it out, `stride`
// columns wide, into `c` (Rows, stride).
template <int Rows>
void scores(const bf16* a, const bf16* b, float* c, int columns, int stride) {
    for (int column = 0; column < columns; column += 2 * kLanes) {
        __m512 sum[Rows][2];
        for (auto& one : sum)
            one[0] = one[1] = _mm512_setzero_ps();
        for (int d = 0; d < kHead; d += 2) {
            const bf16* const at = b + (static_cast<std::size_t>(d / 2) * stride + column) * 2;
            const __m512bh first = pairs_at(at), second = pairs_at(at + 2 * kLanes);
            for (int row = 0; row < Rows; ++row) {
                const __m512bh both = pair_everywhere(a + row * kHead + d);
                sum[row][0] = _mm512_dpbf16_ps(sum[row][0], both, first);
                sum[row][1] = _mm512_dpbf16_ps(sum[row][1], both, second);
            }
        }
        for (int row = 0; row < Rows; ++row) {
            store(c + row * stride + column, sum[row][0]);
            store(c + row * stride + column + kLanes, sum[row][1]);
        }
    }
}

// Sums rows of `b` as by_row lays it out, weighted by rows of `a` (Rows, `stride` apart), into `c` (Rows, kHead).
// `step` numbers lie between the pairs of a row of `a`.
template <int Rows>
void weighted(const bf16* a, std::size_t stride, std::size_t step, const bf16* b, float* c, int first, int last) {
    __m512 sum[Rows][kHead / kLanes];
    for (auto& one : sum)
        std::fill(std::begin(one), std::end(one), _mm512_setzero_ps());
    for (int pair = first / 2; pair < last / 2; ++pair) {
        for (int row = 0; row < Rows; ++row) {
            const __m512bh both = pair_everywhere(a + row * stride + pair * step);
            for (int part = 0; part < kHead / kLanes; ++part) {
                const __m512bh values = pairs_at(b + (static_cast<std::size_t>(pair) * kHead + part * kLanes) * 2);
                sum[row][part] = _mm512_dpbf16_ps(sum[row][part], both, values);
            }
        }
    }
    for (int row = 0; row < Rows; ++row) {
        for (int part = 0; part < kHead / kLanes; ++part)
            store(c + row * kHead + part * kLanes, sum[row][part]);
    }
}

// Rotates adjacent pairs by the angles of a position, the other way round when `sign` is -1.
inline void rotate(const float* from, float* to, const float* cos, const float* sin, float sign, float scale) {
    for (int i = 0; i < kHead / 2; ++i) {
        const float a = from[2 * i], b = from[2 * i + 1];
        to[2 * i] = (a * cos[i] - sign * b * sin[i]) * scale;
        to[2 * i + 1] = (sign * a * sin[i] + b * cos[i]) * scale;
    }
}

struct Attention {
    int time, padded, group,
        rows;  // `padded`: time rounded up to 32; rows = group * padded, the group's heads of a time
    std::vector<bf16> q, k, v, pairs, weights, out;
    std::vector<float> block;
    explicit Attention(int time_, int group_)
        : time(time_),
          padded((time_ + 31) / 32 * 32),
          group(group_),
          rows(group_ * padded),
          q(rows * kHead),
          k(padded * kHead),
          v(padded * kHead),
          pairs(padded * kHead),
          weights(rows * padded),
          out(rows * kHead),
          block(group_ * padded) {}

    // Reads a document's queries, keys and values for one key/value head from (time, width), and rotates.
    void read(const bf16* qkv, int kv, int heads, int kv_heads, const float* cos, const float* sin, float scale) {
        const int width = (heads + 2 * kv_heads) * kHead;
        std::array<float, kHead> from, to;
        const auto one = [&](const bf16* source, bf16* target, int t, float by) {
            for (int i = 0; i < kHead; ++i)
                from[i] = number(source[i]);
            rotate(from.data(), to.data(), cos + t * (kHead / 2), sin + t * (kHead / 2), 1.0f, by);
            for (int i = 0; i < kHead; i += kLanes)
                store(target + i, load(to.data() + i));
        };
        for (int t = 0; t < time; ++t) {
            const bf16* const row = qkv + static_cast<std::size_t>(t) * width;
            for (int g = 0; g < group; ++g) {
                one(row + (kv * group + g) * kHead, &q[(t * group + g) * kHead], t, scale);
            }
            one(row + (heads + kv) * kHead, &k[t * kHead], t, 1.0f);
            std::memcpy(&v[t * kHead], row + (heads + kv_heads + kv) * kHead, kHead * sizeof(bf16));
        }
    }

    // Computes the softmax of a row's scores up to time t, as weights; gives the logarithm of the sum, or takes it.
    float softmax(const float* s, int t, bf16* weight, float log_sum, bool known) const {
        const int columns = (t / 32 + 1) * 32;
        if (!known) {
            __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
            for (int i = 0; i <= t; i += kLanes) {
                most = _mm512_mask_max_ps(most, mask(t, i), most, load(s + i));
            }
            const float top = _mm512_reduce_max_ps(most);
            __m512 sum = _mm512_setzero_ps();
            for (int i = 0; i <= t; i += kLanes) {
                sum = _mm512_mask_add_ps(sum, mask(t, i), sum, exp(_mm512_sub_ps(load(s + i), _mm512_set1_ps(top))));
            }
            log_sum = top + __builtin_logf(_mm512_reduce_add_ps(sum));
        }
        for (int i = 0; i < columns; i += kLanes) {
            const __m512 p = exp(_mm512_sub_ps(load(s + i), _mm512_set1_ps(log_sum)));
            store(weight + i, _mm512_maskz_mov_ps(mask(t, i), p));
        }
        return log_sum;
    }
    static __mmask16 mask(int t, int i) {
        return i + kLanes - 1 <= t ? 0xffff : i > t ? 0 : static_cast<__mmask16>((1u << (t - i + 1)) - 1);
    }
};

template <int Group>
void forward(const bf16* qkv, bf16* out, float* log_sums, int batch, int time, int heads, int kv_heads,
             const float* cos, const float* sin, float scale) {
    Attention one(time, Group);
    const int width = (heads + 2 * kv_heads) * kHead;
    std::vector<bf16> values(one.padded * kHead);
    std::array<float, Group * kHead> sum;
    for (int b = 0; b < batch; ++b) {
        for (int kv = 0; kv < kv_heads; ++kv) {
            one.read(qkv + static_cast<std::size_t>(b) * time * width, kv, heads, kv_heads, cos, sin, scale);
            by_dimension(one.k.data(), one.pairs.data(), one.padded);
            by_row(one.v.data(), values.data(), one.padded);
            for (int t = 0; t < time; ++t) {
                const int columns = (t / 32 + 1) * 32;
                scores<Group>(&one.q[t * Group * kHead], one.pairs.data(), one.block.data(), columns, one.padded);
                for (int g = 0; g < Group; ++g) {
                    log_sums[((b * kv_heads + kv) * time + t) * Group + g] =
                        one.softmax(&one.block[g * one.padded], t, &one.weights[g * one.padded], 0, false);
                }
                weighted<Group>(one.weights.data(), one.padded, 2, values.data(), sum.data(), 0, columns);
                bf16* const to = out + (static_cast<std::size_t>(b) * time + t) * heads * kHead + kv * Group * kHead;
                for (int i = 0; i < Group * kHead; i += kLanes)
                    store(to + i, load(&sum[i]));
            }
        }
    }
}

template <int Group>
void backward(const bf16* qkv, const bf16* out, const bf16* gout, const float* log_sums, bf16* gqkv, int batch,
              int time, int heads, int kv_heads, const float* cos, const float* sin, float scale) {
    Attention one(time, Group);
    const int width = (heads + 2 * kv_heads) * kHead, padded = one.padded;
    // A pair of rows is a pair of times of one head: (padded / 2, Group, padded, 2).
    std::vector<bf16> k_rows(padded * kHead), v_pairs(padded * kHead), q_rows(one.rows * kHead),
        g_rows(one.rows * kHead), g(one.rows * kHead), p2(one.rows * padded), ds2(one.rows * padded),
        ds(2 * Group * padded);
    std::vector<float> gp(2 * Group * padded), s(2 * Group * padded);
    std::array<float, std::max(4, 2 * Group) * kHead> sum;
    std::array<float, kHead> turned;
    const auto put = [&](const float* values, bf16* to, int t, float by) {
        rotate(values, turned.data(), cos + t * (kHead / 2), sin + t * (kHead / 2), -1.0f, by);
        for (int i = 0; i < kHead; i += kLanes)
            store(to + i, load(&turned[i]));
    };
    for (int b = 0; b < batch; ++b) {
        for (int kv = 0; kv < kv_heads; ++kv) {
            const bf16* const document = qkv + static_cast<std::size_t>(b) * time * width;
            bf16* const gdocument = gqkv + static_cast<std::size_t>(b) * time * width;
            one.read(document, kv, heads, kv_heads, cos, sin, scale);
            by_dimension(one.k.data(), one.pairs.data(), padded);
            by_row(one.k.data(), k_rows.data(), padded);
            by_dimension(one.v.data(), v_pairs.data(), padded);
            for (int t = 0; t < time; ++t) {
                std::memcpy(&g[t * Group * kHead],
                            gout + (static_cast<std::size_t>(b) * time + t) * heads * kHead + kv * Group * kHead,
                            Group * kHead * sizeof(bf16));
            }
            // Interleave pairs of times, head by head, of the queries and of what comes back.
            for (int t = 0; t < padded; t += 2) {
                for (int h = 0; h < Group; ++h) {
                    for (int i = 0; i < kHead; i += kLanes) {
                        const std::size_t at = ((t / 2 * Group + h) * kHead + i) * 2;
                        const int first = (t * Group + h) * kHead + i, second = first + Group * kHead;
                        store_pairs(&q_rows[at], load(&one.q[first]), load(&one.q[second]));
                        store_pairs(&g_rows[at], load(&g[first]), load(&g[second]));
                    }
                }
            }
            for (int t = 0; t < time; t += 2) {
                const int columns = (t / 32 + 1) * 32, both = std::min(2, time - t);
                scores<2 * Group>(&one.q[t * Group * kHead], one.pairs.data(), s.data(), columns, padded);
                scores<2 * Group>(&g[t * Group * kHead], v_pairs.data(), gp.data(), columns, padded);
                for (int h = 0; h < Group; ++h) {
                    std::array<float, 2> dot{}, log_sum{};
                    for (int u = 0; u < both; ++u) {
                        const bf16* const o = out + (static_cast<std::size_t>(b) * time + t + u) * heads * kHead +
                                              (kv * Group + h) * kHead;
                        __m512 total = _mm512_setzero_ps();
                        for (int i = 0; i < kHead; i += kLanes) {
                            total = _mm512_fmadd_ps(load(o + i), load(&g[((t + u) * Group + h) * kHead + i]), total);
                        }
                        dot[u] = _mm512_reduce_add_ps(total);
                        log_sum[u] = log_sums[((b * kv_heads + kv) * time + t + u) * Group + h];
                    }
                    for (int i = 0; i < columns; i += kLanes) {
                        __m512 p[2], d[2];
                        for (int u = 0; u < 2; ++u) {
                            const int row = u * Group + h;
                            const __mmask16 valid = u < both ? Attention::mask(t + u, i) : 0;
                            p[u] = _mm512_maskz_mov_ps(
                                valid, exp(_mm512_sub_ps(load(&s[row * padded + i]), _mm512_set1_ps(log_sum[u]))));
                            d[u] =
                                _mm512_mul_ps(p[u], _mm512_sub_ps(load(&gp[row * padded + i]), _mm512_set1_ps(dot[u])));
                            store(&ds[row * padded + i], d[u]);
                        }
                        const std::size_t at = (static_cast<std::size_t>(t / 2 * Group + h) * padded + i) * 2;
                        store_pairs(&p2[at], p[0], p[1]);
                        store_pairs(&ds2[at], d[0], d[1]);
                    }
                }
                weighted<2 * Group>(ds.data(), padded, 2, k_rows.data(), sum.data(), 0, columns);
                for (int u = 0; u < both; ++u) {
                    for (int h = 0; h < Group; ++h) {
                        put(&sum[(u * Group + h) * kHead], gdocument + (t + u) * width + (kv * Group + h) * kHead,
                            t + u, scale);
                    }
                }
            }
            // A pair of rows (time pair, head) begins at the block of 32 columns that the key is in.
            const int pairs_end = (time + 1) / 2 * Group;
            for (int key = 0; key < time; key += 4) {
                const int first = key / 32 * 32 / 2 * Group;
                weighted<4>(&ds2[key * 2], 2, static_cast<std::size_t>(padded) * 2, q_rows.data(), sum.data(),
                            2 * first, 2 * pairs_end);
                const int many = std::min(4, time - key);
                for (int u = 0; u < many; ++u) {
                    put(&sum[u * kHead], gdocument + (key + u) * width + (heads + kv) * kHead, key + u, 1.0f);
                }
                weighted<4>(&p2[key * 2], 2, static_cast<std::size_t>(padded) * 2, g_rows.data(), sum.data(), 2 * first,
                            2 * pairs_end);
                for (int u = 0; u < many; ++u) {
                    bf16* const to = gdocument + (key + u) * width + (heads + kv_heads + kv) * kHead;
                    for (int i = 0; i < kHead; i += kLanes)
                        store(to + i, load(&sum[u * kHead + i]));
                }
            }
        }
    }
}

}  // namespace fused
