// Fuses the steps between the matrix products of a training pass, for a processor with AVX-512 BF16.
//
// models/trainer/kernels.py compiles this file with -DHEAD_SIZE=n and calls it; network.py has the same steps in plain
// PyTorch. Activations are bfloat16, sums and the residual stream float32. Rows are tokens; a row's length is a
// multiple of 16.

#include "attention.hpp"
#include "lanes.hpp"

using namespace fused;

namespace {

// Calls `run` with the number of query heads that share a key/value head, 1 to 4, as a type.
template <typename Run>
void by_group(int group, const Run& run) {
    switch (group) {
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
    by_group(heads / kv_heads, [&](auto group) {
        forward<decltype(group)::value>(qkv, out, log_sums, batch, time, heads, kv_heads, cos, sin, scale);
    });
}

void attention_backward(const bf16* qkv, const bf16* out, const bf16* gout, const float* log_sums, bf16* gqkv,
                        int batch, int time, int heads, int kv_heads, const float* cos, const float* sin, float scale) {
    by_group(heads / kv_heads, [&](auto group) {
        backward<decltype(group)::value>(qkv, out, gout, log_sums, gqkv, batch, time, heads, kv_heads, cos, sin, scale);
    });
}

}  // extern "C"
