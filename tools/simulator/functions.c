#include "functions.h"

#include <inttypes.h>
#include <stdlib.h>

static struct function* functions;
static size_t n_functions;

static int by_address(const void* a, const void* b) {
    const struct function *f = a, *g = b;
    return f->begin < g->begin ? -1 : f->begin > g->begin;
}

bool read_functions(void) {
    const char* path = getenv("SIMULATOR_FUNCTIONS");
    if (path == NULL) {
        return true;
    }
    FILE* in = fopen(path, "r");
    if (in == NULL) {
        fprintf(stderr, "simulator: can't read %s\n", path);
        return false;
    }
    struct function f = {0};
    uint64_t size = 0;
    while (fscanf(in, "%" SCNx64 " %" SCNx64 " %511s", &f.begin, &size, f.name) == 3) {
        f.end = f.begin + size;
        struct function* grown = realloc(functions, (n_functions + 1) * sizeof *functions);
        if (grown == NULL) {
            abort();
        }
        functions = grown;
        functions[n_functions++] = f;
    }
    fclose(in);
    if (n_functions != 0) {
        qsort(functions, n_functions, sizeof *functions, by_address);
    }
    return true;
}

struct function* function_at(uint64_t pc) {
    size_t low = 0, high = n_functions;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (functions[middle].end <= pc) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n_functions && functions[low].begin <= pc ? &functions[low] : NULL;
}

FILE* open_report(void) {
    const char* path = getenv("SIMULATOR_OUT");
    FILE* out = path != NULL ? fopen(path, "w") : stderr;
    if (out == NULL) {
        fprintf(stderr, "simulator: can't write %s\n", path);
    }
    return out;
}

void close_report(FILE* out) {
    for (size_t k = 0; k < n_functions; ++k) {
        if (functions[k].spent != 0) {
            fprintf(out, "function %s %" PRIu64 " %" PRIu64 "\n", functions[k].name, functions[k].calls,
                    functions[k].spent);
        }
    }
    if (out != stderr) {
        fclose(out);
    }
}
