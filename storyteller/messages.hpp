// Lists what the storyteller says on standard error, in the languages of its users. (The story's language is the
// model's.)
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace storybake::speech {

enum class Language { kEnglish, kChinese };

enum class Message {
    kListening,
    kPushToTalk,
    kWaiting,
    kTypeWish,
    kHeard,
    kStoryAbout,
    kStoryOfOwnChoice,
    kNotUnderstood,
    kNothingHeard,
    kTooLong,
    kTopics,
    kHelp,
    kLongStories,
    kShortStories,
    kUsualStories,
    kLine,
    kNoClock,
    kQuietHours,
    kStoriesTold,
    kNotAllowed,
    kForbidden,
    kLeftOut,
    kMemoryUnread,
    kMemoryUnwritten,
    kVolume,
    kAsleep,
    kFirstSound,
    kNoSpeaker,
    kSpeakerEnded,
    kSpeakerNotStarted,
    kPlayerDied,
    kPlayerEnded,
    kNoMicrophone,
    kMicrophoneEnded,
    kNoRecogniser,
    kNoAcousticModel,
    kBadAcousticModel,
    kOtherPhones,
    kDeviceTaken,
    kPlayerHangs,
    kRestUnheard,
    kNotStarted,
    kNoPipe,
    kHookFailed,
    kNoEspeak,
    kEspeakHangs,
    kEspeakEnded,
    kEspeakGave,
    kPitchKept,
    kUnspeakable,
    kNoButton,
    kNoGpioChip,
    kNoGpioLine,
    kGpioLineRefused,
    kButtonLost,
    kNoWatchdog,
    kToldWakeWord,
    kChoice,
    kChosen,
    kCount,
};

/// Finds "en" or "zh"; nothing for another name.
std::optional<Language> find_language(std::string_view name);

/// Finds the language of the environment: LC_ALL, else LC_MESSAGES, else LANG.
Language environment_language();

/// Sets the language for the rest of the process, before other threads are started.
void set_language(Language language);

/// Returns the message in the user's language, its {} replaced by the values, one after the other.
std::string say(Message message, std::initializer_list<std::string_view> values = {});

/// Shows a line to whoever looks on, on standard error; nothing in it steers a terminal.
void show(const std::string& line);

}  // namespace storybake::speech
