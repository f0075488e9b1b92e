#include "oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace oracle {

namespace {

using Floats = std::vector<float>;

[[noreturn]] void fail(int code, const std::string& message) {
    std::fprintf(stderr, "oracle: %s\n", message.c_str());
    std::exit(code);
}

/// A line of the header that stands for a tensor.
struct Record {
    std::string name;
    int layer = 0, rows = 0, columns = 0, group_size = 0;
};

struct Header {
    Facts facts;
    std::set<int> without_rope;   // layers
    std::map<int, int> windows;   // of layers
    std::map<int, float> thetas;  // of layers
    std::vector<Record> records;
};

Header read_header(std::istream& in, const std::string& path) {
    Header header;
    Facts& f = header.facts;
    const std::map<std::string, int*> whole = {
        {"dim", &f.dim},         {"hidden_dim", &f.hidden_dim}, {"n_layers", &f.n_layers},
        {"n_heads", &f.n_heads}, {"n_kv_heads", &f.n_kv_heads}, {"vocab_size", &f.vocab_size},
        {"seq_len", &f.seq_len}, {"head_size", &f.head_size},
    };
    const std::map<std::string, float*> real = {{"rope_theta", &f.rope_theta}, {"norm_eps", &f.norm_eps}};
    const std::map<std::string, float*> more = {{"embed_scale", &f.embed_scale},
                                                {"score_size", &f.score_size},
                                                {"att_cap", &f.att_cap},
                                                {"logit_cap", &f.logit_cap}};
    std::set<std::string> found;
    std::string line;
    if (!std::getline(in, line) || line != "storybake values 1") {
        fail(65, path + ": expected a first line of storybake values 1");
    }
    while (std::getline(in, line) && line != "end") {
        std::istringstream words(line);
        std::string name;
        std::string value;
        words >> name;
        if (name == "tensor") {
            Record r;
            words >> r.name >> r.layer >> r.rows >> r.columns >> r.group_size;
            header.records.push_back(r);
        } else if (name == "without_rope") {
            int layer = 0;
            words >> layer;
            header.without_rope.insert(layer);
        } else if (name == "window") {
            int layer = 0;
            words >> layer;
            words >> header.windows[layer];
        } else if (name == "theta") {
            int layer = 0;
            words >> layer >> value;
            header.thetas[layer] = std::strtof(value.c_str(), nullptr);
        } else if (whole.contains(name)) {
            words >> *whole.at(name);
        } else if (real.contains(name) || more.contains(name)) {
            words >> value;
            *(real.contains(name) ? real : more).at(name) = std::strtof(value.c_str(), nullptr);
        } else if (name == "glu") {
            words >> value;
            f.gelu = value == "geglu";
        } else {
            fail(65, path + ": " + name + " is not known here: teach it to tests/model/oracle.cpp");
        }
        if (!words || words.rdbuf()->in_avail() > 0) {
            fail(65, path + ": can't be read: " + line);
        }
        if (whole.contains(name) || real.contains(name) || name == "tensor") {
            found.insert(name);
        }
    }
    if (line != "end" || found.size() != whole.size() + real.size() + 1) {
        fail(65, path + ": the header lacks facts or its end");
    }
    return header;
}

template <typename T>
std::vector<T> read(std::istream& in, std::size_t count) {
    std::vector<T> values(count);
    if (!in.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)))) {
        fail(65, "the values end too early");
    }
    return values;
}

Matrix read_matrix(std::istream& in, const Record& r) {
    Matrix m{r.rows, r.columns, r.group_size, {}, {}, {}};
    const std::size_t count = static_cast<std::size_t>(r.rows) * static_cast<std::size_t>(r.columns);
    if (r.group_size == 0) {
        m.f = read<float>(in, count);
    } else {
        m.q = read<std::int8_t>(in, count);
        m.s = read<float>(in, count / static_cast<std::size_t>(r.group_size));
    }
    return m;
}

void add(Floats& x, const Floats& y) {
    for (std::size_t i = 0; i < y.size(); ++i) {
        x[i] += y[i];
    }
}

/// Norms each head of a vector, unless there are no weights for it.
void norm_heads(Floats& x, const Floats& weight, float norm_eps) {
    for (std::size_t at = 0; !weight.empty() && at < x.size(); at += weight.size()) {
        const auto head = x.begin() + static_cast<std::ptrdiff_t>(at);
        const Floats normed =
            rmsnorm(Floats(head, head + static_cast<std::ptrdiff_t>(weight.size())), weight, norm_eps);
        std::copy(normed.begin(), normed.end(), head);
    }
}

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

Floats rmsnorm(const Floats& x, const Floats& weight, float norm_eps) {
    float ss = 0.0F;
    for (const float v : x) {
        ss += v * v;
    }
    ss /= static_cast<float>(x.size());
    ss += norm_eps;
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

float softcap(float x, float cap) {
    return cap == 0 ? x : cap - 2 * cap / (1 + std::exp(2 / cap * x));
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

Floats geglu(const Floats& hb, const Floats& hb2) {
    const auto first = static_cast<float>(2 * std::sqrt(2 / M_PI));
    const auto second = static_cast<float>(0.044715 * 2 * std::sqrt(2 / M_PI));
    Floats out(hb.size());
    for (std::size_t i = 0; i < hb.size(); ++i) {
        float val = hb[i];
        const float gate = val * (first + second * (val * val));
        val *= 1.0F / (1.0F + std::exp(-gate));
        out[i] = val * hb2[i];
    }
    return out;
}

void rope(Floats& x, int head_size, int pos, float rope_theta, const Floats& factors) {
    for (std::size_t i = 0; i < x.size(); i += 2) {
        const int head_dim = static_cast<int>(i) % head_size;
        float freq = 1.0F / std::pow(rope_theta, static_cast<float>(head_dim) / static_cast<float>(head_size));
        freq = factors.empty() ? freq : freq / factors.at(static_cast<std::size_t>(head_dim / 2));
        const float val = static_cast<float>(pos) * freq;
        const float fcr = std::cos(val);
        const float fci = std::sin(val);
        const float v0 = x[i];
        const float v1 = x[i + 1];
        x[i] = v0 * fcr - v1 * fci;
        x[i + 1] = v0 * fci + v1 * fcr;
    }
}

Facts read_facts(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return read_header(in, path).facts;
}

Model::Model(const std::string& path, bool f16_cache) : f16_cache_(f16_cache) {
    std::ifstream in(path, std::ios::binary);
    const Header header = read_header(in, path);
    static_cast<Facts&>(*this) = header.facts;
    layers.resize(static_cast<std::size_t>(n_layers));
    const std::map<std::string, Matrix Layer::*> matrices = {
        {"wq", &Layer::wq}, {"wk", &Layer::wk}, {"wv", &Layer::wv}, {"wo", &Layer::wo},
        {"w1", &Layer::w1}, {"w2", &Layer::w2}, {"w3", &Layer::w3},
    };
    const std::map<std::string, Floats Layer::*> vectors = {
        {"rms_att_weight", &Layer::rms_att},
        {"rms_ffn_weight", &Layer::rms_ffn},
        {"rms_q_weight", &Layer::rms_q},
        {"rms_k_weight", &Layer::rms_k},
        {"rms_post_att_weight", &Layer::rms_post_att},
        {"rms_post_ffn_weight", &Layer::rms_post_ffn},
        {"bq", &Layer::bq},
        {"bk", &Layer::bk},
        {"bv", &Layer::bv},
    };
    for (const int layer : header.without_rope) {
        layers.at(static_cast<std::size_t>(layer)).rotates = false;
    }
    for (const auto& [layer, window] : header.windows) {
        layers.at(static_cast<std::size_t>(layer)).window = window;
    }
    for (const auto& [layer, theta] : header.thetas) {
        layers.at(static_cast<std::size_t>(layer)).theta = theta;
    }
    for (const Record& r : header.records) {
        Matrix m = read_matrix(in, r);
        Layer& layer = layers.at(static_cast<std::size_t>(r.layer));
        group_size = std::max(group_size, r.group_size);
        if (r.name == "token_embedding_table") {
            embedding = std::move(m);
        } else if (r.name == "wcls") {
            wcls = std::move(m);
        } else if (r.name == "rms_final_weight") {
            rms_final = std::move(m.f);
        } else if (r.name == "rope_factors") {
            rope_factors = std::move(m.f);
        } else if (vectors.contains(r.name)) {
            layer.*vectors.at(r.name) = std::move(m.f);
        } else if (matrices.contains(r.name)) {
            layer.*matrices.at(r.name) = std::move(m);
        } else {
            fail(65, path + ": a tensor " + r.name + " is not known here: teach it to tests/model/oracle.cpp");
        }
    }
    if (in.peek() != std::istream::traits_type::eof()) {
        fail(65, path + ": more follows than the header says");
    }
    if (wcls.rows == 0) {
        wcls = embedding;
    }
    restart();
}

void Model::restart() {
    keys_.assign(layers.size(), {});
    values_.assign(layers.size(), {});
}

Floats Model::forward(int token) {
    const int kv_mul = n_heads / n_kv_heads;
    const int pos = static_cast<int>(keys_[0].size());
    Floats x = row(embedding, token);
    for (float& v : x) {
        v *= embed_scale;
    }
    const auto normed_again = [&](const Floats& out, const Floats& weight) {
        return weight.empty() ? out : rmsnorm(out, weight, norm_eps);
    };
    const float root = std::sqrt(score_size > 0 ? score_size : static_cast<float>(head_size));
    for (std::size_t l = 0; l < layers.size(); ++l) {
        const Layer& layer = layers[l];
        const Floats normed = rmsnorm(x, layer.rms_att, norm_eps);
        Floats q = matmul(layer.wq, normed);
        Floats k = matmul(layer.wk, normed);
        Floats v = matmul(layer.wv, normed);
        add(q, layer.bq);
        add(k, layer.bk);
        add(v, layer.bv);
        norm_heads(q, layer.rms_q, norm_eps);
        norm_heads(k, layer.rms_k, norm_eps);
        if (layer.rotates) {
            const bool own = layer.theta > 0;
            rope(q, head_size, pos, own ? layer.theta : rope_theta, own ? Floats{} : rope_factors);
            rope(k, head_size, pos, own ? layer.theta : rope_theta, own ? Floats{} : rope_factors);
        }
        if (f16_cache_) {
            std::transform(k.begin(), k.end(), k.begin(), rounded_to_half);
            std::transform(v.begin(), v.end(), v.begin(), rounded_to_half);
        }
        keys_[l].push_back(k);
        values_[l].push_back(v);
        Floats xb(q.size(), 0.0F);
        for (int h = 0; h < n_heads; ++h) {
            const auto head = static_cast<std::size_t>(h * head_size);
            const auto kv_head = static_cast<std::size_t>(h / kv_mul * head_size);
            const std::size_t all = keys_[l].size();
            const std::size_t seen = layer.window > 0 ? std::min(all, static_cast<std::size_t>(layer.window)) : all;
            Floats att(seen);
            for (std::size_t t = 0; t < seen; ++t) {
                float score = 0.0F;
                for (std::size_t i = 0; i < static_cast<std::size_t>(head_size); ++i) {
                    score += q[head + i] * keys_[l][all - seen + t][kv_head + i];
                }
                att[t] = softcap(score / root, att_cap);
            }
            softmax(att);
            for (std::size_t t = 0; t < seen; ++t) {
                for (std::size_t i = 0; i < static_cast<std::size_t>(head_size); ++i) {
                    xb[head + i] += att[t] * values_[l][all - seen + t][kv_head + i];
                }
            }
        }
        add(x, normed_again(matmul(layer.wo, xb), layer.rms_post_att));
        const Floats ffn = rmsnorm(x, layer.rms_ffn, norm_eps);
        const Floats hidden = (gelu ? geglu : swiglu)(matmul(layer.w1, ffn), matmul(layer.w3, ffn));
        add(x, normed_again(matmul(layer.w2, hidden), layer.rms_post_ffn));
    }
    Floats logits = matmul(wcls, rmsnorm(x, rms_final, norm_eps));
    for (float& logit : logits) {
        logit = softcap(logit, logit_cap);
    }
    return logits;
}

}  // namespace oracle
