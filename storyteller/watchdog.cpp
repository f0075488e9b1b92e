#include "storyteller/watchdog.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "notices.hpp"
#include "storyteller/messages.hpp"

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::steady_clock::duration kBetween = 1s;

/// Returns where systemd wants signs of life, as sd_watchdog_enabled(3) has it; empty when it wants none of this
/// process.
std::string systemds_socket() {
    const char* const where = std::getenv("NOTIFY_SOCKET");
    const char* const microseconds = std::getenv("WATCHDOG_USEC");
    const char* const process = std::getenv("WATCHDOG_PID");
    const bool wanted =
        where != nullptr && microseconds != nullptr && (process == nullptr || std::to_string(::getpid()) == process);
    return wanted ? where : "";
}

std::string named(const std::string& path) {
    return "--watchdog " + path;
}

}  // namespace

Result<std::unique_ptr<Watchdog>> Watchdog::open(const std::string& path) {
    Fd file;
    if (!path.empty()) {
        // Refuses a pipe that nobody reads, on which a robot would wait forever.
        file = Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644));
        if (!file) {
            return Failure{kExitIo, say(Message::kNoWatchdog, {named(path), std::strerror(errno)})};
        }
    }
    std::unique_ptr<Watchdog> watchdog(new Watchdog(path, std::move(file)));
    watchdog->notified_ = systemds_socket();
    if (!watchdog->notified_.empty()) {
        watchdog->socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    }
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
        notify();
    }
}

/// Replaces what the file holds, if there is one; a device takes it as it comes.
void Watchdog::write(const std::string& text) {
    if (!file_) {
        return;
    }
    ssize_t written = ::pwrite(file_.get(), text.data(), text.size(), 0);
    if (written >= 0) {
        written = ::ftruncate(file_.get(), written) == 0 || errno == EINVAL ? written : -1;  // /dev/null has no length
    } else if (errno == ESPIPE) {
        written = ::write(file_.get(), text.data(), text.size());
    }
    if (written < 0) {
        tell_failure(named(path_));
    }
}

/// Sends a datagram to systemd, if it wants one: to a socket of this machine, which nothing leaves.
void Watchdog::notify() {
    if (notified_.empty()) {
        return;
    }
    constexpr std::string_view kAlive = "WATCHDOG=1";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::min(notified_.size(), sizeof address.sun_path - 1);
    std::copy_n(notified_.begin(), length, std::begin(address.sun_path));
    if (address.sun_path[0] == '@') {
        address.sun_path[0] = '\0';  // a name that is no file's
    }
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    const auto* const where = reinterpret_cast<const sockaddr*>(&address);
    if (::sendto(socket_.get(), kAlive.data(), kAlive.size(), MSG_DONTWAIT | MSG_NOSIGNAL, where, size) < 0) {
        tell_failure("NOTIFY_SOCKET=" + notified_);
    }
}

void Watchdog::tell_failure(const std::string& what) {
    const int error = errno;
    if (!told_.exchange(true)) {
        warn(say(Message::kNoWatchdog, {what, std::strerror(error)}));
    }
}

}  // namespace storybake::speech
