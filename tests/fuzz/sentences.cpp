// Text on its way to a voice: any bytes are cut into sentences that are all of the text, none too long, and what is
// spoken of them is printable ASCII.

#include "storyteller/sentences.hpp"

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace storybake;
    std::string_view text = fuzz::Input(data, size).text();
    fuzz::require(speech::first_sentence(text, false) <= text.size(), "a sentence is in the text");
    speech::ends_sentence(text);
    while (const std::size_t length = speech::first_sentence(text, true)) {
        fuzz::require(length <= text.size(), "a sentence is in the text");
        for (const char c : speech::speakable(text.substr(0, length))) {
            fuzz::require(c >= ' ' && c < 0x7f, "what is spoken is printable ASCII");
        }
        text.remove_prefix(length);
    }
    fuzz::require(text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos, "what is not spoken is white space");
    return 0;
}
