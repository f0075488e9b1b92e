// Says what can be wished for: the topics of the baked model, how to ask for one, and the commands.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace storybake::speech {

enum class Command {
    kStory,  // any story
    kAgain,
    kNext,
    kContinue,
    kLonger,
    kShorter,
    kLouder,
    kSofter,
    kStop,
    kGoodNight,
    kTopics,
    kHelp,
    kFirst,  // of two ways on
    kSecond,
};

struct CommandWords {
    const char* words;
    Command command;
};

struct LengthWords {
    const char* words;
    int length;  // as Wish has it
};

/// Gives the phones of a word, of the CMU dictionary's kind ("D R AE G AH N"); none for a word that the dictionary
/// lacked. A word that is said in several ways follows as "read(2)".
struct Pronunciation {
    const char* word;
    const char* phones;
};

using Phrases = std::span<const char* const>;

/// Holds what is generated from the model's topics (storyteller/wishes.py) and the phrases of storyteller/phrases.py,
/// which explains them. All words are small English letters, but for what must not be told (storyteller/forbidden.py).
struct WishFacts {
    Phrases topics;
    Phrases forbidden;  // as Guard::forbid() takes them
    Phrases words;      // are those that the model has learned, in the order of their bytes; none: not known
    Phrases asks;
    Phrases stories;
    Phrases others;
    std::span<const LengthWords> lengths;
    Phrases links;
    Phrases named;
    Phrases names;
    Phrases polite;
    std::span<const CommandWords> commands;
    std::span<const Pronunciation> pronunciations;  // cover every word of the grammar; none without PocketSphinx
    const char* prompt_before;                      // begins the model's prompt, before the topic
    const char* prompt_after;                       // ends the prompt, after the topic
    bool prompt_is_told;                            // tells whether the prompt is the beginning of the story
    const char* prompt_for_any;                     // asks for any story; empty: nothing has to
    bool asks_by_chat;                              // tells whether the prompt is what a user says in a chat
    const char* grammar;                            // JSGF without the rule <name>
};
extern const WishFacts kWishes;

/// Says what somebody wants: a command, or else a story about a topic.
struct Wish {
    std::optional<Command> command;
    std::string topic;  // is "me" for the child itself
    int length = 0;     // of this story: -1 shorter than usual, 1 longer

    /// Tells whether nobody has asked for anything.
    [[nodiscard]] bool none() const { return !command && topic.empty(); }
};

/// Reads a wish, recognised or typed: a command, or a request, a topic, or both ("Tell me a story about a dragon,
/// please."). What is said before and after counts as little as in `kWishes.polite`, and "stop" is understood wherever
/// it is no part of a topic. A topic that was typed need not be one of the model's; it is as topic_of() has it. Returns
/// nothing for a text without letters.
std::optional<Wish> understand(std::string_view written);

/// Returns a topic that somebody wrote, as stories have it: names with their capital, no other word of the model's with
/// one, the articles that its topics have ("Dragon" is "a dragon"), the marks of a keyboard, one space between words.
std::string topic_of(std::string_view written);

/// Returns how many of the words that matter in a wish a story lacks: of "a dragon with a kite" dragon and kite, in any
/// of their forms, and a name twice. The story's first sentence does not count, as it may just repeat the wish.
std::size_t words_lacking(std::string_view wish, std::string_view story);

/// Returns how many names in somebody's own beginning what follows it lacks. A word that the model has learned is taken
/// for a name only inside of a sentence.
std::size_t names_lacking(std::string_view beginning, std::string_view rest);

/// Returns how many different words of a story the model has neither learned nor been given with the wish, in any of
/// their forms: it has garbled them. 0 where it is not known what it has learned.
std::size_t words_garbled(std::string_view wish, std::string_view story);

/// Tells whether a text says some words, in small letters with a space between them, one after the other.
bool says(std::string_view text, std::string_view words);

/// Returns a text's small letters.
std::string lower(std::string_view text);

}  // namespace storybake::speech
