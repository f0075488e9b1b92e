// Which sound card to use where nobody said: boards number what only records before what plays.
#pragma once

#include <optional>
#include <string>

#include "fail.hpp"
#include "storyteller/process.hpp"

namespace storybake::speech {

/// Where the kernel lists the devices of sound cards.
constexpr const char* kSoundDevices = "/dev/snd";

/// And where it names each.
constexpr const char* kSoundCards = "/proc/asound";

/// A device of a sound card, by its numbers.
struct SoundCard {
    std::string number;
    std::string device;
};

/// The first card with a device that plays ('p') or records ('c'), of those that the kernel lists in a folder as
/// pcmC<card>D<device><p or c>; the Duo's own codec comes last. Nothing when there is none, or no such folder.
std::optional<SoundCard> find_card(const std::string& devices, char direction, const std::string& cards = kSoundCards);

/// Nobody else plays or records while this is held: the folder of the sound devices, or without any this very program.
/// No file is made for it. Fails with 69 when another storyteller has it.
Result<Fd> lock_sound();

}  // namespace storybake::speech
