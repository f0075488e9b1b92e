#include "storyteller/sentences.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "utf8.hpp"

namespace storybake::speech {
namespace {

// Titles stand before a name, so that a capital letter after them begins no sentence.
constexpr std::array<std::string_view, 12> kTitles = {"mr",  "mrs",  "ms", "dr",  "prof", "st",
                                                      "mme", "capt", "lt", "rev", "sgt",  "messrs"};
constexpr std::string_view kEllipsis = "\xe2\x80\xa6";
constexpr std::array<std::string_view, 7> kClosers = {"\"", "'", ")", "]", "\xe2\x80\x9d", "\xe2\x80\x99", "\xc2\xbb"};
constexpr std::array<std::string_view, 7> kOpeners = {"\"", "'", "(", "[", "\xe2\x80\x9c", "\xe2\x80\x98", "\xc2\xab"};

bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

/// Finds which of the marks a text begins with; returns its length, or 0.
template <std::size_t n>
std::size_t mark_length(std::string_view text, const std::array<std::string_view, n>& marks) {
    for (const std::string_view mark : marks) {
        if (text.starts_with(mark)) {
            return mark.size();
        }
    }
    return 0;
}

std::size_t terminator_length(std::string_view text) {
    if (!text.empty() && (text[0] == '.' || text[0] == '!' || text[0] == '?')) {
        return 1;
    }
    return text.starts_with(kEllipsis) ? kEllipsis.size() : 0;
}

std::size_t skip_space(std::string_view text, std::size_t at) {
    while (at < text.size() && is_space(text[at])) {
        ++at;
    }
    return at;
}

/// Tells whether the full stop at `at` belongs to a title or an initial.
bool is_abbreviation(std::string_view text, std::size_t at) {
    std::size_t begin = at;
    while (begin > 0 && is_letter(text[begin - 1])) {
        --begin;
    }
    std::string word(text.substr(begin, at - begin));
    if (word.size() == 1) {
        return is_upper(word[0]) && word[0] != 'I' &&
               (begin == 0 || is_space(text[begin - 1]) || text[begin - 1] == '.');
    }
    std::transform(word.begin(), word.end(), word.begin(),
                   [](char c) { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; });
    return std::find(kTitles.begin(), kTitles.end(), word) != kTitles.end();
}

/// Tells whether a sentence may begin at `at`: with no small letter, behind quotes and brackets that open.
bool may_begin(std::string_view text, std::size_t at) {
    while (const std::size_t length = mark_length(text.substr(at), kOpeners)) {
        at += length;
    }
    return at >= text.size() || text[at] < 'a' || text[at] > 'z';
}

/// Finds where to cut a text that is too long for one breath; behind a comma, before a space, or between characters.
std::size_t forced_end(std::string_view text, std::size_t begin) {
    const std::size_t limit = begin + kMaxSentence;
    std::size_t space = 0;
    for (std::size_t i = limit; i > begin + 1; --i) {
        if (!is_space(text[i])) {
            continue;
        }
        const char before = text[i - 1];
        if ((before == ',' || before == ';' || before == ':') && i > begin + kMaxSentence / 3) {
            return i;
        }
        space = space == 0 && !is_space(before) ? i : space;
    }
    if (space != 0) {
        return space;
    }
    std::size_t end = limit;
    while (end > begin + kMaxSentence - 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
        --end;
    }
    return end;
}

/// Tells whether the empty line that begins with the newline at `at` ends a paragraph.
bool ends_paragraph(std::string_view text, std::size_t at) {
    const std::size_t next = text.find_first_not_of(" \t\r", at + 1);
    return next != std::string_view::npos && text[next] == '\n';
}

}  // namespace

std::size_t first_sentence(std::string_view text, bool complete) {
    const std::size_t begin = skip_space(text, 0);
    for (std::size_t i = begin; i < text.size();) {
        if (i - begin >= kMaxSentence) {
            return forced_end(text, begin);
        }
        if (text[i] == '\n' && ends_paragraph(text, i)) {
            return i;
        }
        const std::size_t length = terminator_length(text.substr(i));
        if (length == 0) {
            ++i;
            continue;
        }
        std::size_t end = i + length;
        bool single = text[i] == '.';
        while (const std::size_t more = terminator_length(text.substr(end))) {
            end += more;
            single = false;
        }
        while (const std::size_t more = mark_length(text.substr(end), kClosers)) {
            end += more;
        }
        const std::size_t next = skip_space(text, end);
        if (next == text.size() && !complete) {
            // A terminator, a closing quote or a small letter may be yet to come. Behind an empty line none is to come.
            return std::count(text.begin() + static_cast<std::ptrdiff_t>(end), text.end(), '\n') > 1 ? end : 0;
        }
        if ((next > end || next == text.size()) && may_begin(text, next) && !(single && is_abbreviation(text, i))) {
            return end;
        }
        i = end;
    }
    return complete && begin < text.size() ? text.size() : 0;
}

bool ends_sentence(std::string_view text) {
    while (!text.empty() && is_space(text.back())) {
        text.remove_suffix(1);
    }
    for (bool closed = true; closed;) {
        closed = false;
        for (const std::string_view mark : kClosers) {
            if (text.ends_with(mark)) {
                text.remove_suffix(mark.size());
                closed = true;
            }
        }
    }
    if (text.ends_with(kEllipsis) || text.ends_with('!') || text.ends_with('?')) {
        return true;
    }
    return text.ends_with('.') && (text.ends_with("..") || !is_abbreviation(text, text.size() - 1));
}

namespace {

// Spells U+00C0 to U+017F without their accents; a space is no letter.
constexpr std::string_view kLatin =
    "AAAAAAACEEEEIIIIDNOOOOO OUUUUYTsaaaaaaaceeeeiiiidnooooo ouuuuyty"
    "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUu"
    "UuWwYyY"
    "ZzZzZzs";
constexpr std::uint32_t kFirstLatin = 0xc0;
static_assert(kLatin.size() == 0x180 - kFirstLatin, "a letter a character");

/// Makes of a character of several bytes what an English voice can take.
std::string_view plain(std::string_view character) {
    if (character == "\xe2\x80\x98" || character == "\xe2\x80\x99") {
        return "'";
    }
    if (character == "\xe2\x80\x93" || character == "\xe2\x80\x94") {
        return ", ";
    }
    if (character == kEllipsis) {
        return "...";
    }
    const std::uint32_t code = decode_utf8(character).code;
    return plain_letter(code) != '\0' ? kLatin.substr(code - kFirstLatin, 1) : " ";
}

}  // namespace

char plain_letter(std::uint32_t code) {
    const bool is_latin =
        code >= kFirstLatin && code < kFirstLatin + kLatin.size() && kLatin[code - kFirstLatin] != ' ';
    return is_latin ? kLatin[code - kFirstLatin] : '\0';
}

std::string speakable(std::string_view sentence) {
    std::string said;
    for (std::size_t i = 0; i < sentence.size();) {
        std::size_t end = i + 1;
        while (end < sentence.size() && (static_cast<unsigned char>(sentence[end]) & 0xc0) == 0x80) {
            ++end;
        }
        const char c = sentence[i];
        if (end - i > 1) {
            said += plain(sentence.substr(i, end - i));
        } else if (is_letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 ||
                   std::string_view(".,;:!?'\"()-$%&+/@").find(c) != std::string_view::npos) {
            said += c;
        } else {
            said += ' ';
        }
        i = end;
    }
    const bool has_words = std::any_of(said.begin(), said.end(), [](char c) {
        return is_letter(c) || std::isdigit(static_cast<unsigned char>(c)) != 0;
    });
    if (!has_words) {
        return {};
    }
    const std::size_t first = skip_space(said, 0);
    std::size_t last = said.size();
    while (is_space(said[last - 1])) {
        --last;
    }
    return said.substr(first, last - first);
}

}  // namespace storybake::speech
