// Says what can be wished for: the topics of the baked model, how to ask for one, and the commands.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace storybake::speech {

enum class Command { kAgain, kNext, kLouder, kSofter, kStop };

struct CommandWords {
    const char* words;
    Command command;
};

/// Gives the phones of a word, of the CMU dictionary's kind ("D R AE G AH N"); none for a word that the dictionary
/// lacked. A word that is said in several ways follows as "read(2)".
struct Pronunciation {
    const char* word;
    const char* phones;
};

/// Holds what is generated from the model's topics (storyteller/wishes.py). All words are small English letters.
struct WishFacts {
    std::span<const char* const> topics;
    std::span<const char* const> requests;  // say how a wish may begin, the longer of two first
    std::span<const CommandWords> commands;
    std::span<const Pronunciation> pronunciations;  // cover every word of the grammar; none without PocketSphinx
    const char* prompt_before;                      // begins the model's prompt, before the topic
    const char* prompt_after;                       // ends the prompt, after the topic
    bool prompt_is_told;                            // tells whether the prompt is the beginning of the story
    const char* grammar;                            // JSGF
};
extern const WishFacts kWishes;

/// Says what somebody wants: a command, or else a story about a topic.
struct Wish {
    std::optional<Command> command;
    std::string topic;
};

/// Reads a wish, recognised or typed: a command, or a request, a topic, or both ("Tell me a story about a dragon."). A
/// topic that was typed need not be one of the model's. Returns nothing for a text without letters.
std::optional<Wish> understand(std::string_view text);

}  // namespace storybake::speech
