// The command line and OMP_NUM_THREADS: arguments separated by zero bytes, the last of them the variable. What is
// accepted is in range; what is not is refused with 2.

#include "options.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "engine.hpp"
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    const std::string_view text = fuzz::Input(data, size).text();
    std::vector<std::string> words{"program"};
    for (std::size_t begin = 0, end = 0; end != std::string_view::npos; begin = end + 1) {
        end = text.find('\0', begin);
        words.emplace_back(text.substr(begin, end == std::string_view::npos ? end : end - begin));
    }
    const std::string environment = words.back();
    words.pop_back();
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);

    const Result<Options> options = parse_options(static_cast<int>(words.size()), argv.data());
    if (!options) {
        fuzz::require_refusal(options.failure(), kExitUsage);
        return 0;
    }
    fuzz::require(
        options->temperature == 0.0F || (options->temperature >= 1e-30F && std::isfinite(options->temperature)),
        "temperature is 0 or can be divided by");
    fuzz::require(options->topp >= 0.0F && options->topp <= 1.0F, "topp is a share");
    fuzz::require(options->steps >= 0, "steps is a count");
    fuzz::require(!options->prompt_from_stdin || options->mode == Mode::kGenerate, "chat reads standard input itself");
    constexpr int kMost = 8;
    const Result<Threads> threads = choose_threads(options->threads, environment.c_str(), 2, kMost, 15000000);
    if (threads) {
        fuzz::require(threads->count >= 1 && threads->count <= kMost, "threads are as many as there can be");
    } else {
        fuzz::require_refusal(threads.failure(), kExitUsage);
    }
    return 0;
}
