// llama2.c's encode(), written as plainly as it is: the best pair is searched for anew after every merge.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "llama_bpe.hpp"

namespace storybake {

inline std::vector<int> quadratic_encode(const LlamaBpe& t, std::string_view text, bool has_bytes) {
    std::vector<int> ids{kBos};
    if (!text.empty()) {
        ids.push_back(t.find(" "));
    }
    std::string character;
    for (std::size_t i = 0; i < text.size(); ++i) {
        character += text[i];
        if (i + 1 < text.size() && (text[i + 1] & '\xc0') == '\x80' && character.size() < 4) {
            continue;
        }
        if (const int id = t.find(character); id >= 0) {
            ids.push_back(id);
        } else if (!has_bytes) {
            ids.push_back(kUnk);
        } else {
            for (const char c : character) {
                ids.push_back(static_cast<unsigned char>(c) + 3);
            }
        }
        character.clear();
    }
    while (true) {
        float best_score = -1e10F;
        int best_id = -1;
        std::size_t best = 0;
        for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
            const int id = t.find(std::string(t.piece(ids[i])) + std::string(t.piece(ids[i + 1])));
            if (id >= 0 && t.score(id) > best_score) {
                best_score = t.score(id);
                best_id = id;
                best = i;
            }
        }
        if (best_id < 0) {
            return ids;
        }
        ids[best] = best_id;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
}

}  // namespace storybake
