#include "storyteller/watchdog.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "notices.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::steady_clock::duration kBetween = 1s;

}  // namespace

Result<std::unique_ptr<Watchdog>> Watchdog::open(const std::string& path) {
    Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!file) {
        return Failure{kExitIo, say(Message::kNoWatchdog, {path, std::strerror(errno)})};
    }
    std::unique_ptr<Watchdog> watchdog(new Watchdog(path, std::move(file)));
    watchdog->feed();
    return watchdog;
}

Watchdog::~Watchdog() {
    write("V\n");
}

void Watchdog::feed() {
    const Clock::rep now = Clock::now().time_since_epoch().count();
    Clock::rep last = fed_;
    if (last != 0 && now - last < kBetween.count()) {
        return;
    }
    if (fed_.compare_exchange_strong(last, now)) {  // no other thread does at this moment
        write(std::to_string(++count_) + "\n");
    }
}

/// Replaces what the file holds; a device takes it as it comes.
void Watchdog::write(const std::string& text) {
    ssize_t written = ::pwrite(file_.get(), text.data(), text.size(), 0);
    if (written >= 0) {
        written = ::ftruncate(file_.get(), written) == 0 || errno == EINVAL ? written : -1;  // /dev/null has no length
    } else if (errno == ESPIPE) {
        written = ::write(file_.get(), text.data(), text.size());
    }
    if (written < 0 && !told_.exchange(true)) {
        warn(say(Message::kNoWatchdog, {path_, std::strerror(errno)}));
    }
}

}  // namespace storybake::speech
