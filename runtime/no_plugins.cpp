// Keeps libgomp from loading plugins in programs that are linked statically, with -Wl,--wrap=dlopen: it would load the
// plugins of accelerators, which nothing here asks for, and couldn't without the shared libraries of the C library that
// it was linked with, of which the linker would warn.

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's --wrap asks for this name.
extern "C" void* __wrap_dlopen(const char* file, int mode);

extern "C" void* __wrap_dlopen(const char* /*file*/, int /*mode*/) {
    return nullptr;
}
// NOLINTEND(bugprone-reserved-identifier)
