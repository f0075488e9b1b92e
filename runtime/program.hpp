// Prepares the process that a program around a baked model runs in: descriptors, memory and signals.
#pragma once

#include <csignal>

namespace storybake {

/// Holds the signal that asked for an end, 0 before. Set by SIGINT, SIGTERM and SIGHUP after catch_signals().
extern volatile std::sig_atomic_t stop_signal;

/// Lets a signal end the run in order, after the token or batch at hand: with what it took, and no partial file.
void catch_signals();

/// Prepares the process at the beginning of main(), with the program's name for its messages: running out of memory
/// ends the process with 71, losing a page of a mapped file with 74, and writing to a pipe that was closed, or beyond
/// the file size that the user may write, is an error instead of a signal. Whichever of the descriptors 0, 1 and 2 is
/// closed is taken by something that can't be read or written, so that no file is opened in its place.
void prepare_process(const char* name);

}  // namespace storybake
