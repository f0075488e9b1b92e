// Lists what the robot says beside its stories, in the language of its voice.
#pragma once

namespace storybake::speech {

inline constexpr const char* kThinkingWords = "Let me tell you a story.";
inline constexpr const char* kVolumeWords = "Like this.";
inline constexpr const char* kLongWords = "I will tell longer stories.";
inline constexpr const char* kShortWords = "I will tell shorter stories.";
inline constexpr const char* kUsualWords = "My stories will be as long as usual.";
inline constexpr const char* kTooLongWords = "That was too long for me. Please tell me again.";
inline constexpr const char* kHelpWords =
    "You can say: tell me a story. Or: a story about a dragon and a cat. Or: another one. That one again. What happens "
    "next. Longer. Shorter. Louder. Softer. What can you tell. Stop. And: good night.";
inline constexpr const char* kTopicsWords = "I can tell a story about ";                          // and five topics
inline constexpr const char* kNotAllowedWords = "I have no story about that. I can tell about ";  // and five topics
inline constexpr const char* kForbiddenWords = "I don't know stories about that. Here is another one.";
inline constexpr const char* kGoodNightWords = "Good night.";
inline constexpr const char* kAskAgainWords = "Sorry, I did not understand. Please tell me again.";
inline constexpr const char* kNothingHeardWords = "I can not hear you. What shall the story be about?";
inline constexpr const char* kOwnChoiceWords = "I will choose a story.";
inline constexpr const char* kSayWhichWords = " Say: the first one. Or: the second one.";
inline constexpr const char* kPressWhichWords = " Press once for the first one, twice for the second one.";
inline constexpr const char* kSleepWords = "It is time to sleep now. I will tell you a story in the morning.";
inline constexpr const char* kEnoughWords = "That was the last story for today. I will tell you another one tomorrow.";
inline constexpr const char* kRuleWords = "I did not understand line";  // and its number, or several
inline constexpr const char* kOfRulesWords = " of my rules.";

inline constexpr const char* kSpoken[] = {
    kThinkingWords,   kVolumeWords,   kLongWords,         kShortWords,      kUsualWords,
    kTooLongWords,    kHelpWords,     kTopicsWords,       kNotAllowedWords, kForbiddenWords,
    kGoodNightWords,  kAskAgainWords, kNothingHeardWords, kOwnChoiceWords,  kSayWhichWords,
    kPressWhichWords, kSleepWords,    kEnoughWords,       kRuleWords,       kOfRulesWords,
};

}  // namespace storybake::speech
