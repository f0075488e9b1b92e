#include "oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace oracle {

namespace {

using Floats = std::vector<float>;

constexpr int kValuesVersion = 100;  // as codegen.export writes it

class Reader {
public:
    explicit Reader(const std::string& path) : file_(std::fopen(path.c_str(), "rb")) {
        if (file_ == nullptr) {
            std::fprintf(stderr, "oracle: %s: can't be opened\n", path.c_str());
            std::exit(66);
        }
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() { std::fclose(file_); }

    void seek(long offset) { std::fseek(file_, offset, SEEK_SET); }

    template <typename T>
    std::vector<T> read(std::size_t count) {
        std::vector<T> values(count);
        if (std::fread(values.data(), sizeof(T), count, file_) != count) {
            std::fprintf(stderr, "oracle: the checkpoint ends too early\n");
            std::exit(65);
        }
        return values;
    }

    Matrix matrix(int rows, int columns, int group_size) {
        Matrix m{rows, columns, group_size, {}, {}, {}};
        const std::size_t count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
        if (group_size == 0) {
            m.f = read<float>(count);
        } else {
            m.q = read<std::int8_t>(count);
            m.s = read<float>(count / static_cast<std::size_t>(group_size));
        }
        return m;
    }

private:
    std::FILE* file_;
};

Floats row(const Matrix& m, int r) {
    Floats x(static_cast<std::size_t>(m.columns));
    for (int j = 0; j < m.columns; ++j) {
        const std::size_t at = static_cast<std::size_t>(r) * x.size() + static_cast<std::size_t>(j);
        x[static_cast<std::size_t>(j)] =
            m.group_size == 0 ? m.f[at]
                              : static_cast<float>(m.q[at]) * m.s[at / static_cast<std::size_t>(m.group_size)];
    }
    return x;
}

}  // namespace

Floats rmsnorm(const Floats& x, const Floats& weight) {
    float ss = 0.0F;
    for (const float v : x) {
        ss += v * v;
    }
    ss /= static_cast<float>(x.size());
    ss += 1e-5F;
    ss = 1.0F / std::sqrt(ss);
    Floats o(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
        o[j] = weight[j] * (ss * x[j]);
    }
    return o;
}

Quantized quantize(const Floats& x, int group_size) {
    Quantized out{std::vector<std::int8_t>(x.size()), {}};
    for (std::size_t start = 0; start < x.size(); start += static_cast<std::size_t>(group_size)) {
        float wmax = 0.0F;
        for (std::size_t i = start; i < start + static_cast<std::size_t>(group_size); ++i) {
            wmax = std::fmax(wmax, std::fabs(x[i]));
        }
        const float scale = wmax / 127.0F;
        const bool zero = scale < 1.17549435e-38F;  // storybake's own: 0 where runq.c divides 0 by 0
        out.s.push_back(zero ? 0.0F : scale);
        for (std::size_t i = start; i < start + static_cast<std::size_t>(group_size); ++i) {
            out.q[i] = zero ? std::int8_t{0} : static_cast<std::int8_t>(std::round(x[i] / scale));
        }
    }
    return out;
}

Floats matmul(const Matrix& w, const Floats& x) {
    Floats out(static_cast<std::size_t>(w.rows));
    const Quantized xq = w.group_size == 0 ? Quantized{} : quantize(x, w.group_size);
    for (int i = 0; i < w.rows; ++i) {
        const std::size_t in = static_cast<std::size_t>(i) * static_cast<std::size_t>(w.columns);
        float val = 0.0F;
        if (w.group_size == 0) {
            for (std::size_t j = 0; j < x.size(); ++j) {
                val += w.f[in + j] * x[j];
            }
        } else {
            const auto group = static_cast<std::size_t>(w.group_size);
            for (std::size_t j = 0; j < x.size(); j += group) {
                std::int32_t ival = 0;
                for (std::size_t k = 0; k < group; ++k) {
                    ival += static_cast<std::int32_t>(xq.q[j + k]) * static_cast<std::int32_t>(w.q[in + j + k]);
                }
                val += static_cast<float>(ival) * w.s[(in + j) / group] * xq.s[j / group];
            }
        }
        out[static_cast<std::size_t>(i)] = val;
    }
    return out;
}

float rounded_to_half(float x) {
    int exponent = 0;
    std::frexp(x, &exponent);
    const int place = std::max(exponent - 11, -24);  // 11 bits, or as many as the subnormals leave
    const double rounded = std::ldexp(std::nearbyint(std::ldexp(static_cast<double>(x), -place)), place);
    return std::fabs(rounded) > 65504.0 ? std::copysign(INFINITY, x) : static_cast<float>(rounded);
}

void softmax(Floats& x) {
    float max_val = x[0];
    for (const float v : x) {
        max_val = v > max_val ? v : max_val;
    }
    float sum = 0.0F;
    for (float& v : x) {
        v = std::exp(v - max_val);
        sum += v;
    }
    for (float& v : x) {
        v /= sum;
    }
}

Floats swiglu(const Floats& hb, const Floats& hb2) {
    Floats out(hb.size());
    for (std::size_t i = 0; i < hb.size(); ++i) {
        float val = hb[i];
        val *= 1.0F / (1.0F + std::exp(-val));
        out[i] = val * hb2[i];
    }
    return out;
}

void rope(Floats& x, int head_size, int pos) {
    for (std::size_t i = 0; i < x.size(); i += 2) {
        const int head_dim = static_cast<int>(i) % head_size;
        const float freq = 1.0F / std::pow(10000.0F, static_cast<float>(head_dim) / static_cast<float>(head_size));
        const float val = static_cast<float>(pos) * freq;
        const float fcr = std::cos(val);
        const float fci = std::sin(val);
        const float v0 = x[i];
        const float v1 = x[i + 1];
        x[i] = v0 * fcr - v1 * fci;
        x[i + 1] = v0 * fci + v1 * fcr;
    }
}

Model::Model(const std::string& path, bool f16_cache) : f16_cache_(f16_cache) {
    Reader in(path);
    std::uint32_t magic = in.read<std::uint32_t>(1)[0];
    const int version = magic == 0x616b3432U ? in.read<std::int32_t>(1)[0] : 0;
    in.seek(version == 0 ? 0 : 8);
    const auto header = in.read<std::int32_t>(7);
    bool shared = header[5] > 0;
    if (version > 0) {
        shared = in.read<std::uint8_t>(1)[0] != 0;
        group_size = version >= 2 ? in.read<std::int32_t>(1)[0] : 0;
        classifier_group_size = version == kValuesVersion ? in.read<std::int32_t>(1)[0] : group_size;
        in.seek(256);
    }
    dim = header[0], hidden_dim = header[1], n_layers = header[2], n_heads = header[3], n_kv_heads = header[4];
    vocab_size = std::abs(header[5]), seq_len = header[6];
    const int kv_dim = dim / n_heads * n_kv_heads;
    layers.resize(static_cast<std::size_t>(n_layers));

    const auto vector = [&] { return in.read<float>(static_cast<std::size_t>(dim)); };
    const auto matrices = [&](Matrix Layer::*member, int rows, int columns) {
        for (Layer& layer : layers) {
            layer.*member = in.matrix(rows, columns, group_size);
        }
    };
    const auto norms = [&](Floats Layer::*member) {
        for (Layer& layer : layers) {
            layer.*member = vector();
        }
    };
    const auto attention = [&] {
        matrices(&Layer::wq, dim, dim);
        matrices(&Layer::wk, kv_dim, dim);
        matrices(&Layer::wv, kv_dim, dim);
        matrices(&Layer::wo, dim, dim);
    };
    const auto ffn = [&] {
        matrices(&Layer::w1, hidden_dim, dim);
        matrices(&Layer::w2, dim, hidden_dim);
        matrices(&Layer::w3, hidden_dim, dim);
    };
    if (version == 0) {
        embedding = in.matrix(vocab_size, dim, 0);
        norms(&Layer::rms_att);
        attention();
        norms(&Layer::rms_ffn);
        ffn();
        rms_final = vector();
        in.read<float>(static_cast<std::size_t>(seq_len) * static_cast<std::size_t>(dim / n_heads));
    } else {
        norms(&Layer::rms_att);
        norms(&Layer::rms_ffn);
        rms_final = vector();
        embedding = in.matrix(vocab_size, dim, classifier_group_size);
        attention();
        ffn();
    }
    wcls = shared ? embedding : in.matrix(vocab_size, dim, classifier_group_size);
    restart();
}

void Model::restart() {
    keys_.assign(layers.size(), {});
    values_.assign(layers.size(), {});
}

Floats Model::forward(int token) {
    const int head_size = dim / n_heads;
    const int kv_mul = n_heads / n_kv_heads;
    const int pos = static_cast<int>(keys_[0].size());
    Floats x = row(embedding, token);
    const auto add = [&x](const Floats& y) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            x[i] += y[i];
        }
    };
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const Layer& layer = layers[l];
        const Floats normed = rmsnorm(x, layer.rms_att);
        Floats q = matmul(layer.wq, normed);
        Floats k = matmul(layer.wk, normed);
        rope(q, head_size, pos);
        rope(k, head_size, pos);
        Floats v = matmul(layer.wv, normed);
        if (f16_cache_) {
            std::transform(k.begin(), k.end(), k.begin(), rounded_to_half);
            std::transform(v.begin(), v.end(), v.begin(), rounded_to_half);
        }
        keys_[l].push_back(k);
        values_[l].push_back(v);
        Floats xb(x.size(), 0.0F);
        for (int h = 0; h < n_heads; ++h) {
            const auto head = static_cast<std::size_t>(h * head_size);
            const auto kv_head = static_cast<std::size_t>(h / kv_mul * head_size);
            Floats att(keys_[l].size());
            for (std::size_t t = 0; t < att.size(); ++t) {
                float score = 0.0F;
                for (std::size_t i = 0; i < static_cast<std::size_t>(head_size); ++i) {
                    score += q[head + i] * keys_[l][t][kv_head + i];
                }
                att[t] = score / std::sqrt(static_cast<float>(head_size));
            }
            softmax(att);
            for (std::size_t t = 0; t < att.size(); ++t) {
                for (std::size_t i = 0; i < static_cast<std::size_t>(head_size); ++i) {
                    xb[head + i] += att[t] * values_[l][t][kv_head + i];
                }
            }
        }
        add(matmul(layer.wo, xb));
        const Floats ffn = rmsnorm(x, layer.rms_ffn);
        add(matmul(layer.w2, swiglu(matmul(layer.w1, ffn), matmul(layer.w3, ffn))));
    }
    return matmul(wcls, rmsnorm(x, rms_final));
}

}  // namespace oracle
