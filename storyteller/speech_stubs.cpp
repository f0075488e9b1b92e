// Defines what the static libraries of Flite and PocketSphinx refer to and the storyteller never calls. All of it is
// weak: where the libraries have them, theirs are taken.
//
// Flite is configured for ALSA, which needs ALSA's library and its plugins; the storyteller plays through a command.
// Without Flite's sockets there is no network code in the program. PocketSphinx's matrices (for transforms of features
// that its English model has none of) want LAPACK.

#include <cstdio>
#include <cstdlib>

namespace {

[[noreturn]] int never(const char* function) {
    std::fprintf(stderr, "storyteller: %s is not part of this program\n", function);
    std::abort();
}

}  // namespace

#define STORYBAKE_STUB(function)              \
    extern "C" [[gnu::weak]] int function();  \
    extern "C" [[gnu::weak]] int function() { \
        never(#function);                     \
    }

STORYBAKE_STUB(audio_open_alsa)
STORYBAKE_STUB(audio_close_alsa)
STORYBAKE_STUB(audio_write_alsa)
STORYBAKE_STUB(audio_drain_alsa)
STORYBAKE_STUB(audio_flush_alsa)
STORYBAKE_STUB(cst_socket_open)
STORYBAKE_STUB(cst_socket_close)
STORYBAKE_STUB(cst_socket_server)
STORYBAKE_STUB(sposv_)
STORYBAKE_STUB(spotrf_)
STORYBAKE_STUB(ssymm_)
