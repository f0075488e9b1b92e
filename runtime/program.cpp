#include "program.hpp"

#include <cxxabi.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <typeinfo>

#include "fail.hpp"
#include "files.hpp"
#include "notices.hpp"

namespace storybake {
namespace {

/// Handles SIGBUS: a page of a mapped file is no longer there, or the card doesn't give it any more. Any other cause is
/// a defect of the program, which dies of it.
void lost_page(int signal, siginfo_t* info, void* /*context*/) {
    if (info->si_code != BUS_ADRERR) {
        std::signal(signal, SIG_DFL);
        return;
    }
    discard_unfinished_files();
    for (const char* text : {program_name(),
                             ": weights: a page is gone from their file: it was cut short, or the card fails: "
                             "copy it again, or use --load read\n"}) {
        static_cast<void>(write_all(STDERR_FILENO, std::as_bytes(std::span(text, std::strlen(text)))));
    }
    std::_Exit(kExitIo);
}

/// Ends the process without memory: there is nothing to undo but files, for everything is allocated before the first
/// token.
[[noreturn]] void out_of_memory() {
    discard_unfinished_files();
    std::fprintf(stderr, "%s: out of memory: close other programs\n", program_name());
    std::_Exit(kExitNoMemory);
}

std::terminate_handler usual_end = nullptr;  // tells what the exception was

/// Ends the process for an exception: a thread can't be started, which the library tells in no other way. Any other is
/// a defect of the program, which dies of it.
[[noreturn]] void no_thread() {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    if (type == nullptr || *type != typeid(std::system_error)) {
        usual_end();
        std::abort();
    }
    discard_unfinished_files();
    std::fprintf(stderr, "%s: no thread can be started: close other programs, or allow more (ulimit -u, -v)\n",
                 program_name());
    std::_Exit(kExitNoMemory);
}

/// Takes the descriptors 0 to 2 that are closed: the next file would get them, and the story or the messages with it.
/// Each is opened the wrong way round, so that reading and writing fail as they do on a closed one.
void fill_standard_descriptors() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) == -1 && ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            print_message(std::string("/dev/null: cannot be opened: ") + std::strerror(errno));
            std::_Exit(kExitIo);
        }
    }
}

}  // namespace

volatile std::sig_atomic_t stop_signal = 0;

void catch_signals() {
    struct sigaction action {};
    action.sa_handler = [](int signal) { stop_signal = signal; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        sigaction(signal, &action, nullptr);
    }
}

void prepare_process(const char* name) {
    name_program(name);
    fill_standard_descriptors();
    std::atexit(discard_unfinished_files);  // or a library that ends the process, as Flite does, would leave them
    std::set_new_handler(out_of_memory);
    usual_end = std::set_terminate(no_thread);
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    struct sigaction action {};
    action.sa_sigaction = lost_page;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, nullptr);
}

}  // namespace storybake
