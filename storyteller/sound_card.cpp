#include "storyteller/sound_card.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>
#include <tuple>
#include <vector>

#include "files.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {

namespace {

// Names the Duo's own codec, a card that records and one that plays: on most boards no pin leads to them.
constexpr const char* kOwnCodec = "cv182xa";

bool is_own_codec(const std::string& cards, unsigned number) {
    const Result<std::vector<std::byte>> id = read_file(cards + "/card" + std::to_string(number) + "/id", "card", 256);
    return id && std::string_view(reinterpret_cast<const char*>(id->data()), id->size()).starts_with(kOwnCodec);
}

}  // namespace

std::optional<SoundCard> find_card(const std::string& devices, char direction, const std::string& cards) {
    struct Close {
        void operator()(DIR* folder) const { ::closedir(folder); }
    };
    const std::unique_ptr<DIR, Close> folder(::opendir(devices.c_str()));
    std::optional<std::tuple<bool, unsigned, unsigned>> first;
    while (folder != nullptr) {
        const dirent* const entry = ::readdir(folder.get());
        if (entry == nullptr) {
            break;
        }
        unsigned card = 0;
        unsigned device = 0;
        char kind = '\0';
        if (std::sscanf(entry->d_name, "pcmC%3uD%3u%c", &card, &device, &kind) == 3 && kind == direction) {
            const std::tuple found(is_own_codec(cards, card), card, device);
            first = first ? std::min(*first, found) : found;
        }
    }
    if (!first) {
        return std::nullopt;
    }
    return SoundCard{std::to_string(std::get<1>(*first)), std::to_string(std::get<2>(*first))};
}

Result<Fd> lock_sound() {
    Fd file(::open(kSoundDevices, O_RDONLY | O_CLOEXEC));
    if (!file) {
        file = Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    }
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return Failure{kExitUnavailable, say(Message::kDeviceTaken)};
    }
    return file;
}

}  // namespace storybake::speech
