// Prints what a program has to say beside its story: why it failed, warnings, and whether all of it was printed.
#pragma once

#include <string>
#include <vector>

#include "fail.hpp"

namespace storybake {

/// Gives messages the program's name, which stands in front of each. "storybake" before.
void name_program(const char* name);

/// Returns the program's name.
const char* program_name();

/// Prints "program: message" as one line on standard error.
void print_message(const std::string& message);

/// Prints why it failed; returns the exit code.
int report_failure(const Failure& failed);

/// Says what becomes of warnings: printed when they occur, kept for take_warnings(), or dropped.
enum class Warnings { kPrint, kKeep, kDrop };
void set_warnings(Warnings how);

/// Prints a warning, or does what set_warnings() said; unless it is empty.
void warn(const std::string& message);

/// Returns the warnings that were kept, and forgets them.
std::vector<std::string> take_warnings();

/// Returns the exit code after everything has been printed to stdout: 0 or 74.
int finish_stdout();

}  // namespace storybake
