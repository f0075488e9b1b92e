// A C++20 program without vectors: prints its arguments, a line each, and its standard input. The first
// argument is its exit code.

#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace {

template <std::integral Number>
Number last(std::span<const Number> numbers) {
    return numbers.back();
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    for (const std::string& word : words) {
        std::printf("<%s>\n", word.c_str());
    }
    for (int byte = std::getchar(); byte != EOF; byte = std::getchar()) {
        std::putchar(byte);
    }
    const std::vector<int> codes{0, words.empty() ? 0 : std::atoi(words[0].c_str())};
    return last<int>(codes);
}
