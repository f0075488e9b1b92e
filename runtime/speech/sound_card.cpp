#include "speech/sound_card.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "speech/messages.hpp"

namespace storybake::speech {

std::optional<SoundCard> find_card(const std::string& devices, char direction) {
    struct Close {
        void operator()(DIR* folder) const { ::closedir(folder); }
    };
    const std::unique_ptr<DIR, Close> folder(::opendir(devices.c_str()));
    std::optional<std::pair<unsigned, unsigned>> first;
    while (folder != nullptr) {
        const dirent* const entry = ::readdir(folder.get());
        if (entry == nullptr) {
            break;
        }
        std::pair<unsigned, unsigned> found;
        char kind = '\0';
        if (std::sscanf(entry->d_name, "pcmC%3uD%3u%c", &found.first, &found.second, &kind) == 3 && kind == direction &&
            (!first || found < *first)) {
            first = found;
        }
    }
    if (!first) {
        return std::nullopt;
    }
    return SoundCard{std::to_string(first->first), std::to_string(first->second)};
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
