// Fuses the steps between the matrix products of a training pass, for a processor with AVX-512 BF16.
//
// models/trainer/kernels.py compiles this file with -DHEAD_SIZE=n and calls it; network.py has the same steps in plain
// PyTorch. Activations are bfloat16, sums and the residual stream float32. Rows are tokens; a row's length is a
// multiple of 16.

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using bf16 = std::uint16_t;
constexpr int kHead = HEAD_SIZE;
constexpr int kLanes = 16;
static_assert(kHead % kLanes == 0);

__m512 load(const bf16* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
__m512 load(const float* p) {
    return _mm512_loadu_ps(p);
}
void store(bf16* p, __m512 x) {
    const __m256bh bits = _mm512_cvtneps_pbh(x);
    std::memcpy(p, &bits, sizeof bits);
}
void store(float* p, __m512 x) {
    _mm512_storeu_ps(p, x);
}
float number(bf16 x) {
    const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Gives e^x with an error of about 2 ulp, 0 below -87.
__m512 exp(__m512 x) {
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

__m512 sigmoid(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exp(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

// Interleaves two rows as the pairs that a product of bfloat16 pairs takes: a0 b0 a1 b1 ...
void store_pairs(bf16* p, __m512 a, __m512 b) {
    const __m256bh low = _mm512_cvtneps_pbh(a), high = _mm512_cvtneps_pbh(b);
    __m256i low_bits, high_bits;
    std::memcpy(&low_bits, &low, sizeof low);
    std::memcpy(&high_bits, &high, sizeof high);
    const __m512i pairs =
        _mm512_or_si512(_mm512_cvtepu16_epi32(low_bits), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high_bits), 16));
    _mm512_storeu_si512(p, pairs);
}

__m512bh pairs_at(const bf16* p) {
    __m512bh value;
    std::memcpy(&value, p, sizeof value);
    return value;
}

__m512bh pair_everywhere(const bf16* p) {
    std::int32_t bits;
    std::memcpy(&bits, p, sizeof bits);
    const __m512i value = _mm512_set1_epi32(bits);
    __m512bh result;
    std::memcpy(&result, &value, sizeof value);
    return result;
}

// Lays a matrix (rows, kHead) out for products along kHead: (kHead / 2, rows, 2).
void by_dimension(const bf16* from, bf16* to, int rows) {
    for (int row = 0; row < rows; ++row) {
        for (int d = 0; d < kHead; d += 2) {
            std::memcpy(to + (static_cast<std::size_t>(d / 2) * rows + row) * 2, from + row * kHead + d, 4);
        }
    }
}

// Lays a matrix (rows, kHead) out for products along its rows, an even number: (rows / 2, kHead, 2).
void by_row(const bf16* from, bf16* to, int rows) {
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
void rotate(const float* from, float* to, const float* cos, const float* sin, float sign, float scale) {
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
            // Pairs of times, head by head, of the queries and of what comes back.
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

}  // namespace

extern "C" {

// Adds `delta` (may be null) to the residual stream x (rows, dim) and normalises: x_new, xb, and 1 / rms of each row.
void add_norm(const float* x, const bf16* delta, const float* weight, float* x_new, bf16* xb, float* inverse, long rows,
              long dim) {
    for (long row = 0; row < rows; ++row) {
        __m512 squares = _mm512_setzero_ps();
        for (long i = row * dim; i < (row + 1) * dim; i += kLanes) {
            __m512 value = load(x + i);
            if (delta)
                value = _mm512_add_ps(value, load(delta + i));
            store(x_new + i, value);
            squares = _mm512_fmadd_ps(value, value, squares);
        }
        const float mean = _mm512_reduce_add_ps(squares) / static_cast<float>(dim);
        inverse[row] = 1.0f / __builtin_sqrtf(mean + 1e-5f);
        const __m512 by = _mm512_set1_ps(inverse[row]);
        for (long i = 0; i < dim; i += kLanes) {
            store(xb + row * dim + i, _mm512_mul_ps(_mm512_mul_ps(load(x_new + row * dim + i), by), load(weight + i)));
        }
    }
}

// Gives the gradients of add_norm: `gx` and, rounded, `gdelta` (may be null); adds to `gweight`. `gx_new` may be null.
void add_norm_backward(const float* x_new, const float* inverse, const float* weight, const bf16* gxb,
                       const float* gx_new, float* gx, bf16* gdelta, float* gweight, long rows, long dim) {
    for (long row = 0; row < rows; ++row) {
        const long at = row * dim;
        __m512 dot = _mm512_setzero_ps();
        const __m512 by = _mm512_set1_ps(inverse[row]);
        for (long i = 0; i < dim; i += kLanes) {
            const __m512 both = _mm512_mul_ps(load(gxb + at + i), load(x_new + at + i));
            dot = _mm512_fmadd_ps(both, load(weight + i), dot);
            store(gweight + i, _mm512_fmadd_ps(both, by, load(gweight + i)));
        }
        const float cube = inverse[row] * inverse[row] * inverse[row];
        const __m512 pull = _mm512_set1_ps(cube * _mm512_reduce_add_ps(dot) / static_cast<float>(dim));
        for (long i = 0; i < dim; i += kLanes) {
            __m512 value = _mm512_mul_ps(_mm512_mul_ps(load(gxb + at + i), load(weight + i)), by);
            value = _mm512_fnmadd_ps(load(x_new + at + i), pull, value);
            if (gx_new)
                value = _mm512_add_ps(value, load(gx_new + at + i));
            store(gx + at + i, value);
            if (gdelta)
                store(gdelta + at + i, value);
        }
    }
}

// Computes silu(h1) * h3 of rows (h1, h3), each `hidden` long.
void swiglu(const bf16* h, bf16* out, long rows, long hidden) {
    for (long row = 0; row < rows; ++row) {
        for (long i = 0; i < hidden; i += kLanes) {
            const __m512 a = load(h + row * 2 * hidden + i), b = load(h + row * 2 * hidden + hidden + i);
            store(out + row * hidden + i, _mm512_mul_ps(_mm512_mul_ps(a, sigmoid(a)), b));
        }
    }
}

void swiglu_backward(const bf16* h, const bf16* gout, bf16* gh, long rows, long hidden) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (long row = 0; row < rows; ++row) {
        const long at = row * 2 * hidden;
        for (long i = 0; i < hidden; i += kLanes) {
            const __m512 a = load(h + at + i), b = load(h + at + hidden + i), g = load(gout + row * hidden + i);
            const __m512 s = sigmoid(a);
            const __m512 slope = _mm512_mul_ps(s, _mm512_fmadd_ps(a, _mm512_sub_ps(one, s), one));
            store(gh + at + i, _mm512_mul_ps(_mm512_mul_ps(g, b), slope));
            store(gh + at + hidden + i, _mm512_mul_ps(g, _mm512_mul_ps(a, s)));
        }
    }
}

// Gives the sum of weight * cross entropy, and turns the logits (rows, vocab_size) into its gradient.
double cross_entropy(bf16* logits, const std::int64_t* targets, const float* weights, long rows, long vocab_size) {
    double total = 0;
    for (long row = 0; row < rows; ++row) {
        bf16* const at = logits + row * vocab_size;
        if (weights[row] == 0) {
            std::memset(at, 0, vocab_size * sizeof(bf16));
            continue;
        }
        __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity()), sum = _mm512_setzero_ps();
        for (long i = 0; i < vocab_size; i += kLanes)
            most = _mm512_max_ps(most, load(at + i));
        const float top = _mm512_reduce_max_ps(most), chosen = number(at[targets[row]]);
        for (long i = 0; i < vocab_size; i += kLanes) {
            sum = _mm512_add_ps(sum, exp(_mm512_sub_ps(load(at + i), _mm512_set1_ps(top))));
        }
        const float log_sum = top + __builtin_logf(_mm512_reduce_add_ps(sum));
        for (long i = 0; i < vocab_size; i += kLanes) {
            const __m512 p = exp(_mm512_sub_ps(load(at + i), _mm512_set1_ps(log_sum)));
            store(at + i, _mm512_mul_ps(p, _mm512_set1_ps(weights[row])));
        }
        alignas(64) std::array<float, kLanes> near;
        const long block = targets[row] / kLanes * kLanes;
        store(near.data(), load(at + block));
        near[targets[row] - block] -= weights[row];
        store(at + block, load(near.data()));
        total += static_cast<double>(weights[row]) * (log_sum - chosen);
    }
    return total;
}

void attention(const bf16* qkv, bf16* out, float* log_sums, int batch, int time, int heads, int kv_heads,
               const float* cos, const float* sin, float scale) {
    const auto run = [&](auto group) {
        forward<decltype(group)::value>(qkv, out, log_sums, batch, time, heads, kv_heads, cos, sin, scale);
    };
    switch (heads / kv_heads) {
        case 1:
            return run(std::integral_constant<int, 1>());
        case 2:
            return run(std::integral_constant<int, 2>());
        case 3:
            return run(std::integral_constant<int, 3>());
        default:
            return run(std::integral_constant<int, 4>());
    }
}

void attention_backward(const bf16* qkv, const bf16* out, const bf16* gout, const float* log_sums, bf16* gqkv,
                        int batch, int time, int heads, int kv_heads, const float* cos, const float* sin, float scale) {
    const auto run = [&](auto group) {
        backward<decltype(group)::value>(qkv, out, gout, log_sums, gqkv, batch, time, heads, kv_heads, cos, sin, scale);
    };
    switch (heads / kv_heads) {
        case 1:
            return run(std::integral_constant<int, 1>());
        case 2:
            return run(std::integral_constant<int, 2>());
        case 3:
            return run(std::integral_constant<int, 3>());
        default:
            return run(std::integral_constant<int, 4>());
    }
}

}  // extern "C"
