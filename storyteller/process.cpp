#include "storyteller/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "storyteller/messages.hpp"

extern "C" char** environ;

namespace storybake::speech {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 300ms;  // passes between SIGTERM and SIGKILL

struct Pipe {
    Fd read;
    Fd write;
};

std::optional<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) {
        return std::nullopt;
    }
    return Pipe{Fd(fds[0]), Fd(fds[1])};
}

/// Owns posix_spawn's two objects.
struct SpawnPlan {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    SpawnPlan() {
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
};

/// Points to words as posix_spawn wants them, by its type: it changes nothing.
std::vector<char*> pointers(const Words& words) {
    std::vector<char*> list;
    for (const std::string& word : words) {
        list.push_back(const_cast<char*>(word.c_str()));
    }
    list.push_back(nullptr);
    return list;
}

}  // namespace

Result<Words> split_words(const char* what, std::string_view text) {
    Words words;
    bool in_word = false;
    char quote = '\0';
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool escapes = c == '\\' && quote != '\'' && i + 1 < text.size() &&
                             (quote == '\0' || text[i + 1] == '"' || text[i + 1] == '\\');
        if (quote == '\0' && (c == ' ' || c == '\t' || c == '\n')) {
            in_word = false;
            continue;
        }
        if (!in_word) {
            words.emplace_back();
            in_word = true;
        }
        if (escapes) {
            words.back() += text[++i];
        } else if (c == quote) {
            quote = '\0';
        } else if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
        } else {
            words.back() += c;
        }
    }
    if (quote != '\0') {
        return failure(kExitUsage, "%s \"%s\": the quote %c is not closed", what, std::string(text).c_str(), quote);
    }
    if (words.empty() || words.front().empty()) {
        return failure(kExitUsage, "%s \"%s\": expected a command", what, std::string(text).c_str());
    }
    return words;
}

bool in_path(const char* program) {
    const char* const path = std::getenv("PATH");
    std::string_view folders = path != nullptr ? path : "/usr/bin:/bin";
    while (true) {
        const std::size_t end = folders.find(':');
        const std::string file = std::string(folders.substr(0, end)) + "/" + program;
        if (::access(file.c_str(), X_OK) == 0) {
            return true;
        }
        if (end == std::string_view::npos) {
            return false;
        }
        folders.remove_prefix(end + 1);
    }
}

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = other.release();
    }
    return *this;
}

int Fd::release() {
    return std::exchange(fd_, -1);
}

void Fd::close() {
    if (fd_ >= 0) {
        ::close(release());
    }
}

Result<Process> Process::start(const char* what, const Words& words, Pipes pipes, const Words& more) {
    std::optional<Pipe> in;
    std::optional<Pipe> out;
    const bool wants_in = pipes == Pipes::kInput || pipes == Pipes::kBoth;
    const bool wants_out = pipes == Pipes::kOutput || pipes == Pipes::kBoth;
    if ((wants_in && !(in = make_pipe())) || (wants_out && !(out = make_pipe()))) {
        return Failure{kExitUnavailable, say(Message::kNoPipe, {what, std::strerror(errno)})};
    }
    SpawnPlan plan;
    if (in) {
        posix_spawn_file_actions_adddup2(&plan.actions, in->read.get(), STDIN_FILENO);
    } else {
        posix_spawn_file_actions_addopen(&plan.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&plan.actions, out ? out->write.get() : STDERR_FILENO, STDOUT_FILENO);
    // Put it in a group of its own: an interruption from the keyboard is for this program alone, which ends its
    // children.
    sigset_t defaults;
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigemptyset(&defaults);
    for (const int signal : {SIGPIPE, SIGXFSZ, SIGINT, SIGTERM, SIGHUP}) {
        sigaddset(&defaults, signal);
    }
    posix_spawnattr_setsigdefault(&plan.attributes, &defaults);
    posix_spawnattr_setsigmask(&plan.attributes, &unblocked);
    posix_spawnattr_setpgroup(&plan.attributes, 0);
    posix_spawnattr_setflags(&plan.attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    std::vector<char*> argv = pointers(words);
    std::vector<char*> environment = pointers(more);
    environment.pop_back();
    for (char** variable = environ; *variable != nullptr; ++variable) {
        environment.push_back(*variable);
    }
    environment.push_back(nullptr);
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, argv[0], &plan.actions, &plan.attributes, argv.data(), environment.data());
    if (error != 0) {
        return Failure{kExitUnavailable, say(Message::kNotStarted, {what, argv[0], std::strerror(error)})};
    }
    Process process(pid, in ? std::move(in->write) : Fd(), out ? std::move(out->read) : Fd());
    for (const Fd* end : {&process.input_, &process.output_}) {
        if (*end) {
            ::fcntl(end->get(), F_SETFL, O_NONBLOCK);
        }
    }
    return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)) {}

std::optional<int> Process::wait(std::chrono::milliseconds most) {
    const auto until = std::chrono::steady_clock::now() + most;
    while (pid_ >= 0) {
        int status = 0;
        const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
        if (ended == pid_ || (ended < 0 && errno == ECHILD)) {
            pid_ = -1;
            status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            break;
        }
        if (std::chrono::steady_clock::now() >= until) {
            return std::nullopt;
        }
        std::this_thread::sleep_for(5ms);
    }
    return status_;
}

void Process::end() {
    input_.close();
    output_.close();
    if (pid_ < 0) {
        return;
    }
    ::kill(-pid_, SIGTERM);
    if (!wait(kPatience)) {
        ::kill(-pid_, SIGKILL);
        wait(10s);
    }
}

Moved write_some(int fd, std::span<const std::byte>& bytes, std::chrono::milliseconds most) {
    pollfd ready = {fd, POLLOUT, 0};
    if (::poll(&ready, 1, static_cast<int>(most.count())) <= 0) {
        return Moved::kTimeout;
    }
    const ssize_t size = ::write(fd, bytes.data(), bytes.size());
    if (size < 0) {
        return errno == EAGAIN || errno == EINTR ? Moved::kTimeout : Moved::kEnd;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(size));
    return Moved::kSome;
}

Moved read_some(int fd, std::vector<std::byte>& into, std::chrono::milliseconds most) {
    pollfd ready = {fd, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(most.count())) <= 0) {
        return Moved::kTimeout;
    }
    std::byte block[8192];
    const ssize_t size = ::read(fd, block, sizeof block);
    if (size < 0) {
        return errno == EAGAIN || errno == EINTR ? Moved::kTimeout : Moved::kEnd;
    }
    into.insert(into.end(), block, block + size);
    return size > 0 ? Moved::kSome : Moved::kEnd;
}

}  // namespace storybake::speech
