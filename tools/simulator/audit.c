/* Tells where the loads and stores of functions lie, call by call: a plugin of QEMU's user-mode emulation.
 *
 *   SIMULATOR_FUNCTIONS=functions.txt SIMULATOR_REGIONS=regions.txt SIMULATOR_OUT=report.txt qemu-aarch64 -plugin
 * ./libaudit.so PROGRAM
 *
 * Functions whose names begin with "-" end a call but are not watched themselves; those that are not listed count as
 * their caller's. Regions are lines of "begin end name", in hex, which don't overlap; besides, there are "stack" and
 * "outside". The report has a line "call FUNCTION" for each call, and behind it, for each region that was touched,
 *
 *   load|store REGION FIRST LAST BYTES MISALIGNED
 *
 * from the lowest address to the one behind the highest, in hex; how many bytes in all; and how many accesses were not
 * at a multiple of their size.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "functions.h"
#include "plugin_api.h"

#define EXPORTED __attribute__((visibility("default")))
EXPORTED extern int qemu_plugin_version;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc, char** argv);
int qemu_plugin_version = PLUGIN_API;

/* What loads, or stores, have touched of a region. */
struct touched {
    uint64_t first, last, bytes, misaligned;
};

struct region {
    uint64_t begin, end; /* addresses */
    char name[128];
    struct touched by[2]; /* loads, stores */
};

enum { kStack, kOutside, kGiven }; /* the first regions */
static const uint64_t kStackBytes = 1 << 20;

static struct region* regions;
static size_t n_regions;
static FILE* out;
static const struct function* current;

static void add_region(const struct region* region) {
    struct region* grown = realloc(regions, (n_regions + 1) * sizeof *regions);
    if (grown == NULL) {
        abort();
    }
    regions = grown;
    regions[n_regions++] = *region;
}

static bool read_regions(void) {
    add_region(&(struct region){.name = "stack"});
    add_region(&(struct region){.name = "outside"});
    const char* path = getenv("SIMULATOR_REGIONS");
    FILE* in = path != NULL ? fopen(path, "r") : NULL;
    if (in == NULL) {
        fprintf(stderr, "simulator: can't read the file that SIMULATOR_REGIONS names\n");
        return false;
    }
    struct region region = {0};
    while (fscanf(in, "%" SCNx64 " %" SCNx64 " %127s", &region.begin, &region.end, region.name) == 3) {
        add_region(&region);
    }
    fclose(in);
    return true;
}

/* The region that all of [begin, end) lies in. */
static struct region* region_of(uint64_t begin, uint64_t end) {
    static size_t last = kStack;
    for (size_t tried = 0; tried < n_regions; ++tried) {
        struct region* region = &regions[last];
        if (region->begin <= begin && end <= region->end) {
            return region;
        }
        last = (last + 1) % n_regions;
    }
    return &regions[kOutside];
}

static void end_call(void) {
    for (size_t k = 0; k < n_regions; ++k) {
        for (int store = 0; store < 2; ++store) {
            struct touched* t = &regions[k].by[store];
            if (t->bytes != 0) {
                fprintf(out, "%s %s %" PRIx64 " %" PRIx64 " %" PRIu64 " %" PRIu64 "\n", store ? "store" : "load",
                        regions[k].name, t->first, t->last, t->bytes, t->misaligned);
            }
            *t = (struct touched){0};
        }
    }
}

static void on_entry(unsigned cpu, void* user) {
    (void)cpu;
    const struct function* function = user;
    end_call();
    current = function;
    if (function->name[0] != '-') {
        fprintf(out, "call %s\n", function->name);
    }
}

/* A function goes on behind a call of one that is listed as well. */
static void on_return(unsigned cpu, void* user) {
    (void)cpu;
    if (current != user) {
        on_entry(cpu, user);
    }
}

static void on_access(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void* user) {
    (void)cpu, (void)user;
    const uint64_t size = UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    if (regions[kStack].end == 0) { /* the program's first load is what lies at the end of its stack */
        regions[kStack].begin = address - kStackBytes;
        regions[kStack].end = address;
    }
    if (current == NULL || current->name[0] == '-') {
        return;
    }
    struct touched* t = &region_of(address, address + size)->by[qemu_plugin_mem_is_store(info)];
    t->first = t->bytes == 0 || address < t->first ? address : t->first;
    t->last = address + size > t->last ? address + size : t->last;
    t->bytes += size;
    t->misaligned += address % size != 0;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    const struct function* before = NULL;
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(block); ++k) {
        struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, k);
        const uint64_t pc = qemu_plugin_insn_vaddr(instruction);
        struct function* function = function_at(pc);
        if (function != NULL && function->begin == pc) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_entry, kNoRegisters, function);
        } else if (function != NULL && function != before) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_return, kNoRegisters, function);
        }
        before = function;
        qemu_plugin_register_vcpu_mem_cb(instruction, on_access, kNoRegisters, kLoadsAndStores, NULL);
    }
}

static void at_exit(qemu_plugin_id_t id, void* user) {
    (void)id, (void)user;
    end_call();
    close_report(out);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc, char** argv) {
    (void)info, (void)argc, (void)argv;
    if (!read_functions() || !read_regions() || (out = open_report()) == NULL) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
