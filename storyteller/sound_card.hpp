// Chooses the sound card to use where nobody said: boards number what only records before what plays.
#pragma once

#include <optional>
#include <string>

#include "fail.hpp"
#include "storyteller/process.hpp"

namespace storybake::speech {

/// Says where the kernel lists the devices of sound cards.
constexpr const char* kSoundDevices = "/dev/snd";

/// Says where the kernel names each sound card.
constexpr const char* kSoundCards = "/proc/asound";

/// Names a device of a sound card, by its numbers.
struct SoundCard {
    std::string number;
    std::string device;
};

/// Finds the first card with a device that plays ('p') or records ('c'), of those that the kernel lists in a folder as
/// pcmC<card>D<device><p or c>; the Duo's own codec comes last. Nothing when there is none, or no such folder.
std::optional<SoundCard> find_card(const std::string& devices, char direction, const std::string& cards = kSoundCards);

/// Locks the sound: nobody else plays or records while the lock is held. It lies on the folder of the sound devices, or
/// without any on this very program; no file is made for it. Fails with 69 when another storyteller has it.
Result<Fd> lock_sound();

}  // namespace storybake::speech
