// Finds where sentences end, and what of them a voice can say. Pure functions on UTF-8 text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace storybake::speech {

/// Limits the bytes that are spoken at once: about twelve seconds. A longer sentence is split at its last comma, or
/// else at its last space.
constexpr std::size_t kMaxSentence = 200;

/// Returns the length of the first sentence of a text in bytes, with the white space before it; 0 while its end is not
/// yet to be seen. With `complete` there is no more text to come, and what is left is a sentence; 0 then for white
/// space alone.
///
/// A sentence ends at . ! ? or an ellipsis and the quotes and brackets that close after it, if white space and no
/// small letter follow; not after a title (Mr.) or an initial; and at an empty line.
std::size_t first_sentence(std::string_view text, bool complete);

/// Tells whether a text ends where a sentence does, white space after it aside.
bool ends_sentence(std::string_view text);

/// Returns a letter of Latin-1 or Latin Extended-A without its accent, ASCII; \0 for any other character.
char plain_letter(std::uint32_t code);

/// Makes a sentence fit for an English voice: ASCII, accents left off, quotes and dashes plain, marks that would be
/// read out by their names dropped. Empty when no letter or digit is left to say.
std::string speakable(std::string_view sentence);

}  // namespace storybake::speech
