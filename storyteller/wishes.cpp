#include "storyteller/wishes.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "storyteller/sentences.hpp"
#include "utf8.hpp"

namespace storybake::speech {
namespace {

constexpr std::string_view kStopWord = "stop";
constexpr std::string_view kPleaseWord = "please";

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_of_word(char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '\'' || c == '-' || static_cast<unsigned char>(c) >= 0x80;
}

/// Points to a word of a text, and has its small letters.
struct Word {
    std::size_t begin;
    std::size_t end;
    std::string small;
};

using Words = std::span<const Word>;

std::vector<Word> words_of(std::string_view text) {
    std::vector<Word> words;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at;
        while (end < text.size() && is_of_word(text[end])) {
            ++end;
        }
        if (end > at) {
            words.push_back({at, end, lower(text.substr(at, end - at))});
        }
        at = end + 1;
    }
    return words;
}

/// Returns how many words a text begins with that are the phrase's; 0 when it does not begin with it.
std::size_t begins_with(Words words, std::string_view phrase) {
    std::size_t count = 0;
    while (!phrase.empty()) {
        const std::string_view next = phrase.substr(0, phrase.find(' '));
        if (count == words.size() || words[count].small != next) {
            return 0;
        }
        ++count;
        phrase.remove_prefix(std::min(phrase.size(), next.size() + 1));
    }
    return count;
}

bool is(Words words, std::string_view phrase) {
    return begins_with(words, phrase) == words.size();
}

/// Returns how many words the longest of the phrases that a text begins with has.
std::size_t longest(Words words, Phrases phrases) {
    std::size_t count = 0;
    for (const char* const phrase : phrases) {
        count = std::max(count, begins_with(words, phrase));
    }
    return count;
}

bool is_one_of(const Word& word, Phrases phrases) {
    return longest({&word, 1}, phrases) > 0;
}

std::optional<Command> command_of(Words words) {
    for (const CommandWords& known : kWishes.commands) {
        if (is(words, known.words)) {
            return known.command;
        }
    }
    return std::nullopt;
}

bool is_topic(Words words) {
    return std::any_of(kWishes.topics.begin(), kWishes.topics.end(), [&](auto topic) { return is(words, topic); });
}

/// Tells whether a topic of several words stands at the end: "saying please".
bool ends_with_topic(Words words) {
    for (std::size_t count = 2; count <= words.size(); ++count) {
        if (is_topic(words.last(count))) {
            return true;
        }
    }
    return false;
}

/// Drops what means nothing from both ends.
Words without_manners(Words words) {
    while (!words.empty() && is_one_of(words.front(), kWishes.polite)) {
        words = words.subspan(1);
    }
    while (!words.empty() && is_one_of(words.back(), kWishes.polite) && !ends_with_topic(words)) {
        words = words.first(words.size() - 1);
    }
    return words;
}

/// Finds "stop": anywhere before a topic is named, and behind a whole topic ("a story about a dragon, stop!").
bool says_stop(Words words) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i].small == kStopWord) {
            return true;
        }
        if (is_one_of(words[i], kWishes.links)) {
            const Words topic = words.subspan(i + 1);
            return topic.size() > 1 && topic.back().small == kStopWord && is_topic(topic.first(topic.size() - 1));
        }
    }
    return false;
}

// Hold a wish together, and need not be in its story.
constexpr std::array<std::string_view, 46> kSmallWords = {
    "a",     "an",   "the",  "some", "my",   "your",  "his",   "her",  "their", "its",  "i",   "he",
    "she",   "it",   "they", "and",  "or",   "but",   "with",  "in",   "on",    "at",   "of",  "to",
    "for",   "from", "by",   "who",  "that", "where", "which", "when", "is",    "are",  "was", "be",
    "being", "has",  "have", "had",  "gets", "goes",  "wants", "very", "not",   "there"};

/// Writes a text with the marks of a keyboard for those of a printer, a space for white space of any length and kind,
/// and without what nobody sees: controls, a file's mark, what turns the direction.
std::string typed(std::string_view text) {
    std::string plain;
    while (!text.empty()) {
        const Decoded next = decode_utf8(text);
        const std::string_view character = text.substr(0, next.size);
        const std::uint32_t code = next.code;
        text.remove_prefix(next.size);
        const bool unseen = code == kNoCharacter || code < ' ' || (code >= 0x7f && code < 0xa0) || code == 0xad ||
                            (code >= 0x200b && code <= 0x200f) || (code >= 0x202a && code <= 0x202e) ||
                            (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
        if (is_white_space(code) || code == 0x2026) {
            plain += plain.ends_with(' ') ? "" : " ";
        } else if (code >= 0x2018 && code <= 0x201b) {
            plain += '\'';
        } else if ((code >= 0x201c && code <= 0x201f) || code == 0xab || code == 0xbb) {
            plain += '"';
        } else if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212) {
            plain += '-';
        } else if (!unseen) {
            plain += character;
        }
    }
    return plain;
}

bool is_learned(std::string_view word) {
    return std::binary_search(kWishes.words.begin(), kWishes.words.end(), word);
}

/// Tells whether a word is one of the model's topics, or holds them together: no name.
bool is_plain_word(const Word& word) {
    return std::find(kSmallWords.begin(), kSmallWords.end(), word.small) != kSmallWords.end() ||
           std::any_of(kWishes.topics.begin(), kWishes.topics.end(),
                       [&](std::string_view topic) { return says(topic, word.small); });
}

/// Returns the article that makes a topic of the model's of what a text begins with up to "and", "with" or "named":
/// "a" of "dragon and cat"; nothing where it is a topic, or none.
std::string_view missing_article(Words words) {
    const auto end = std::find_if(words.begin(), words.end(), [](const Word& word) {
        return word.small == "and" || is_one_of(word, kWishes.links) || is_one_of(word, kWishes.named);
    });
    const Words part = words.first(static_cast<std::size_t>(end - words.begin()));
    if (part.empty() || is_topic(part) || is_one_of(part.front(), kWishes.names)) {
        return "";
    }
    for (const std::string_view topic : kWishes.topics) {
        const std::string_view first = topic.substr(0, topic.find(' '));
        const bool article = first == "a" || first == "an" || first == "the";
        if (article && first.size() < topic.size() && is(part, topic.substr(first.size() + 1))) {
            return first;
        }
    }
    return "";
}

/// Returns the text of a topic as stories have it: capitals for names alone, and the articles that the model's topics
/// have.
std::string topic_text(std::string_view text, Words words) {
    std::string topic;
    const bool shouted =
        lower(text) != text && std::none_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view before = i == 0 ? "" : std::string_view(words[i - 1].small);
        const bool described = before == "a" || before == "an" || before == "the" || before == "some";
        const bool called = i > 0 && is_one_of(words[i - 1], kWishes.named);
        const bool name = called || (!described && is_one_of(words[i], kWishes.names));
        std::string word(text.substr(words[i].begin, words[i].end - words[i].begin));
        if (i > 0) {
            topic += text.substr(words[i - 1].end, words[i].begin - words[i - 1].end);
        }
        if (i == 0 || before == "and" || is_one_of(words[i - 1], kWishes.links)) {
            const std::string_view article = missing_article(words.subspan(i));
            topic.append(article).append(article.empty() ? 0 : 1, ' ');
        }
        if (shouted || (!name && is_plain_word(words[i]))) {
            word = words[i].small;
        }
        const bool known = is_plain_word(words[i]) || is_learned(words[i].small) || is_one_of(words[i], kWishes.named);
        const bool capital = name || (shouted && !known);
        if (capital && word[0] >= 'a' && word[0] <= 'z') {
            word[0] = static_cast<char>(word[0] - ('a' - 'A'));
        }
        topic += word;
    }
    return topic;
}

/// Returns what two words have in common that are forms of one: "sharing", "shares" and "shared", "puppy" and
/// "puppies".
std::string_view stem(std::string_view word) {
    constexpr std::size_t kShortest = 3;
    for (const std::string_view ending : {"'s", "ing", "ies", "ed", "es", "s"}) {
        if (word.size() >= kShortest + ending.size() && word.ends_with(ending) && !word.ends_with("ss")) {
            word.remove_suffix(ending.size());
            break;
        }
    }
    const bool vowel = word.ends_with('e') || word.ends_with('y');
    return word.substr(0, word.size() - (vowel && word.size() > kShortest ? 1 : 0));
}

/// Counts how often a text has a word in any of its forms.
std::ptrdiff_t times_told(Words told, std::string_view word) {
    return std::count_if(told.begin(), told.end(), [&](const Word& one) { return stem(one.small) == stem(word); });
}

/// Reads "a story", or what stands in its place; a wish's length and whether it is another one.
struct Asked {
    std::size_t count = 0;
    int length = 0;
    bool other = false;
};

Asked story_of(Words words) {
    Asked asked{longest(words, kWishes.stories)};
    if (const std::size_t count = longest(words, kWishes.others); count > asked.count) {
        asked = {count, 0, true};
    }
    for (const LengthWords& known : kWishes.lengths) {
        if (const std::size_t count = begins_with(words, known.words); count > asked.count) {
            asked = {count, known.length, false};
        }
    }
    return asked;
}

}  // namespace

std::string lower(std::string_view text) {
    std::string small(text);
    for (char& c : small) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    return small;
}

std::size_t words_lacking(std::string_view wish, std::string_view story) {
    story.remove_prefix(first_sentence(story, false));
    const std::vector<Word> told = words_of(story);
    const std::vector<Word> wished = words_of(wish);
    return static_cast<std::size_t>(std::count_if(wished.begin(), wished.end(), [&](const Word& word) {
        const bool name = wish[word.begin] >= 'A' && wish[word.begin] <= 'Z';
        const bool small = std::find(kSmallWords.begin(), kSmallWords.end(), word.small) != kSmallWords.end();
        return !small && !is_one_of(word, kWishes.links) && !is_one_of(word, kWishes.named) &&
               times_told(told, word.small) < (name ? 2 : 1);
    }));
}

bool says(std::string_view text, std::string_view words) {
    const std::vector<Word> all = words_of(text);
    for (Words rest = all; !rest.empty(); rest = rest.subspan(1)) {
        if (begins_with(rest, words) > 0) {
            return true;
        }
    }
    return false;
}

std::size_t names_lacking(std::string_view beginning, std::string_view rest) {
    const std::vector<Word> told = words_of(rest);
    const std::vector<Word> begun = words_of(beginning);
    std::set<std::string_view> names;
    for (const Word& word : begun) {
        const char first = beginning[word.begin];
        const std::string_view before = beginning.substr(0, word.begin);
        const bool inside = before.ends_with(' ') && before.size() > 1 &&
                            (is_of_word(before[before.size() - 2]) || before.ends_with(", "));
        if (first >= 'A' && first <= 'Z' && word.end - word.begin > 1 &&
            (inside || (!is_learned(word.small) && !kWishes.words.empty()))) {
            names.insert(word.small);
        }
    }
    return static_cast<std::size_t>(
        std::count_if(names.begin(), names.end(), [&](std::string_view name) { return times_told(told, name) == 0; }));
}

std::size_t words_garbled(std::string_view wish, std::string_view story) {
    if (kWishes.words.empty()) {
        return 0;
    }
    const std::vector<Word> wished = words_of(wish);
    const auto given = [&](std::string_view word) {
        return is_learned(word) ||
               std::any_of(wished.begin(), wished.end(), [&](const Word& one) { return one.small == word; });
    };
    std::set<std::string_view> garbled;
    const std::vector<Word> told = words_of(story);
    for (const Word& one : told) {
        std::string_view word = one.small;
        word.remove_prefix(std::min(word.find_first_not_of("'-"), word.size()));
        word.remove_suffix(word.size() - 1 - std::min(word.find_last_not_of("'-"), word.size() - 1));
        const bool number = word.empty() || (word[0] >= '0' && word[0] <= '9');
        bool known = number || given(word);
        for (const std::string_view ending : {"'s", "s", "es"}) {
            known = known || (word.ends_with(ending) && given(word.substr(0, word.size() - ending.size())));
        }
        if (!known) {
            garbled.insert(word);
        }
    }
    return garbled.size();
}

std::string topic_of(std::string_view written) {
    const std::string text = typed(written);
    const std::vector<Word> words = words_of(text);
    return words.empty() ? "" : topic_text(text, words);
}

std::optional<Wish> understand(std::string_view written) {
    const std::string text = typed(written);
    if (std::none_of(text.begin(), text.end(), is_letter)) {
        return std::nullopt;
    }
    const std::vector<Word> all = words_of(text);
    Words words = without_manners(all);
    if (words.empty()) {  // "Yes, please!" is a wish, "Hello!" is none
        const bool asks =
            std::any_of(all.begin(), all.end(), [](const Word& word) { return word.small == kPleaseWord; });
        return asks ? std::optional(Wish{Command::kStory, {}}) : std::nullopt;
    }
    if (const std::optional<Command> command = command_of(words)) {
        return Wish{command, {}};
    }
    if (says_stop(words)) {
        return Wish{Command::kStop, {}};
    }
    const std::size_t ask = longest(words, kWishes.asks);
    if (const std::optional<Command> command = ask > 0 ? command_of(words.subspan(ask)) : std::nullopt) {
        return Wish{command, {}};
    }
    const Asked asked = story_of(words.subspan(ask));
    const Words rest = words.subspan(ask + asked.count);
    const std::size_t link = ask + asked.count > 0 ? longest(rest, kWishes.links) : 0;
    const Words topic = rest.subspan(link);
    if (topic.empty()) {
        return Wish{asked.other ? Command::kNext : Command::kStory, {}, asked.length};
    }
    // "The story machine" is a topic: only with a link was "the story" what was asked for.
    const bool whole = asked.count > 0 && link == 0;
    return Wish{std::nullopt, topic_text(text, whole ? words.subspan(ask) : topic), asked.length};
}

}  // namespace storybake::speech
