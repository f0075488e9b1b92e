#include "notices.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "text_output.hpp"

namespace storybake {
namespace {

const char* named = "storybake";

Warnings warnings = Warnings::kPrint;
std::vector<std::string> kept_warnings;

}  // namespace

void name_program(const char* name) {
    named = name;
}

const char* program_name() {
    return named;
}

void print_message(const std::string& message) {
    std::fprintf(stderr, "%s: %s\n", named, printable(message).c_str());
}

int report_failure(const Failure& failed) {
    print_message(failed.message);
    return failed.exit_code;
}

void warn(const std::string& message) {
    if (message.empty() || warnings == Warnings::kDrop) {
        return;
    }
    if (warnings == Warnings::kKeep) {
        kept_warnings.push_back(message);
    } else {
        print_message("warning: " + message);
    }
}

void set_warnings(Warnings how) {
    warnings = how;
}

std::vector<std::string> take_warnings() {
    return std::exchange(kept_warnings, {});
}

int finish_stdout() {
    const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
    if (!failed || errno == EPIPE) {
        return kExitOk;
    }
    return report_failure(failure(kExitIo, "standard output: writing failed: %s", std::strerror(errno)));
}

}  // namespace storybake
