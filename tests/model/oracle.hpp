// The oracle: llama2.c's forward pass as plain loops over a model's values (codegen/values.py), with the C library's
// expf, powf, cosf and sinf. Written by hand, generated from nothing; it shares no code with what it judges.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace oracle {

/// A weight matrix, row-major: float32, or small integers in groups with their scales.
struct Matrix {
    int rows = 0;
    int columns = 0;
    int group_size = 0;          // 0: float32
    std::vector<float> f;        // (rows, columns)
    std::vector<std::int8_t> q;  // (rows, columns)
    std::vector<float> s;        // (rows, columns / group_size)
};

/// Quantised activations.
struct Quantized {
    std::vector<std::int8_t> q;
    std::vector<float> s;
};

// The operations, each as run.c and runq.c have them.
std::vector<float> rmsnorm(const std::vector<float>& x, const std::vector<float>& weight, float norm_eps);
Quantized quantize(const std::vector<float>& x, int group_size);
/// W (rows, columns) @ x (columns,), quantising x first when W is integers.
std::vector<float> matmul(const Matrix& w, const std::vector<float>& x);
void softmax(std::vector<float>& x);
/// cap * tanh(x / cap), by exp; x without a cap.
float softcap(float x, float cap);
/// The value of the nearest float16, of two equally near the even one; infinity from 65520 on.
float rounded_to_half(float x);
std::vector<float> swiglu(const std::vector<float>& hb, const std::vector<float>& hb2);
std::vector<float> geglu(const std::vector<float>& hb, const std::vector<float>& hb2);
/// Rotates pairs of a vector of whole heads at a position; rope_theta is the base of the frequencies, which are divided
/// by the factors, if there are any.
void rope(std::vector<float>& x, int head_size, int pos, float rope_theta = 10000.0F,
          const std::vector<float>& factors = {});

struct Layer {
    std::vector<float> rms_att, rms_ffn;
    std::vector<float> bq, bk, bv;                  // empty: no biases
    std::vector<float> rms_q, rms_k;                // empty: heads are not normed
    std::vector<float> rms_post_att, rms_post_ffn;  // empty: what is added to x is not normed
    bool rotates = true;                            // q and k, by their positions
    float theta = 0.0F;                             // the base of RoPE, without factors; 0: the model's
    int window = 0;                                 // the positions that are attended to, the last ones; 0: all
    Matrix wq, wk, wv, wo, w1, w2, w3;
};

/// What the header of a file of values says of the model, under the names that it has there.
struct Facts {
    int dim = 0, hidden_dim = 0, n_layers = 0, n_heads = 0, n_kv_heads = 0, vocab_size = 0, seq_len = 0, head_size = 0;
    float rope_theta = 0.0F, norm_eps = 0.0F;
    // what few models have
    bool gelu = false;
    float embed_scale = 1.0F, score_size = 0.0F;  // scores are divided by its root; 0: the head size
    float att_cap = 0.0F, logit_cap = 0.0F;       // 0: none
};

/// The facts alone of a file of values.
Facts read_facts(const std::string& path);

/// A model of any format, by its values; trusted: the build wrote them. A header with a word that is not known here
/// ends the program, so that no kind of model is judged by an oracle that ignores what is new in it.
class Model : public Facts {
public:
    /// With `f16_cache`, keys and values are rounded to float16 before they are kept.
    explicit Model(const std::string& path, bool f16_cache = false);

    /// The logits (vocab_size,) after a token at the next position.
    std::vector<float> forward(int token);
    /// Starts again at position 0.
    void restart();

    int group_size = 0;  // of the quantised matrices; 0: there are none
    Matrix embedding, wcls;
    std::vector<Layer> layers;
    std::vector<float> rms_final;
    std::vector<float> rope_factors;

private:
    bool f16_cache_;
    std::vector<std::vector<std::vector<float>>> keys_, values_;  // [layer][position]
};

}  // namespace oracle
