/* c906sim: estimates how long a static riscv64 program would take on a XuanTie C906, the core of the Milk-V Duo's
 * CV1800B. A plugin of QEMU's user-mode emulation; README.md beside it has the model, its sources and its limits.
 *
 *   SIMULATOR_OUT=report.txt qemu-riscv64 -cpu rv64,v=true,vlen=128,vext_spec=v1.0 -plugin ./libc906sim.so,bw=1.3
 * PROGRAM
 *
 * It takes ghz (clock), l1kb (data cache), bw (GB/s of memory reads), lat (ns of a miss that no prefetch saw coming),
 * and begin and end (hex addresses: what runs between them is counted alone). With SIMULATOR_FUNCTIONS=FILE
 * (functions.h) the cycles of each function are told as well, those of unlisted ones as its caller's.
 *
 * Only RVV 1.0 is seen, QEMU from 7.0 on knows no other: the program is a twin of the Duo's,
 * built from the same kernels.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "functions.h"
#include "plugin_api.h"

#define EXPORTED __attribute__((visibility("default")))
EXPORTED extern int qemu_plugin_version;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc, char** argv);
int qemu_plugin_version = PLUGIN_API;

/* ---- Instructions ---- */

struct instruction {
    uint64_t pc;
    struct operands o;
    struct function* function; /* is the one that it belongs to, or NULL */
};

/* An instruction on a group of n registers holds its unit for each * n + extra cycles (wider: with elements that have
 * not 32 bits); its result can be read `after` cycles later, and after `least` at the earliest. */
static const struct cost {
    const char* name;
    int each, wider, extra, after, least;
} costs[KINDS] = {
    [ALU] = {"int alu", 0, 0, 0, 0, 1},
    [MUL] = {"int mul", 0, 0, 0, 0, 4},
    [DIV] = {"int div", 0, 0, 0, 0, 20},
    [LOAD] = {"load", 0, 0, 0, 0, 3},
    [STORE] = {"store", 0, 0, 0, 0, 1},
    [BRANCH] = {"branch/jump", 0, 0, 0, 0, 1},
    [FPADD] = {"fp add", 0, 0, 0, 0, 4},
    [FPMUL] = {"fp mul", 0, 0, 0, 0, 4},
    [FPMA] = {"fp fma", 0, 0, 0, 0, 5},
    [FPDIV] = {"fp div/sqrt", 0, 0, 0, 0, 12},
    [FPMISC] = {"fp other", 0, 0, 0, 0, 3},
    [VSET] = {"vsetvl", 0, 0, 0, 0, 2},
    [COMPRESSED] = {"compressed", 0, 0, 0, 0, 1},
    [VARITH] = {"vector arith", 2, 2, 0, 0, 4},
    [VWIDEN] = {"vector widening", 4, 4, 0, 0, 4},
    [VNARROW] = {"vector narrowing", 4, 4, 0, 0, 4},
    [VRED] = {"vector int reduction", 2, 2, 1, 0, 5},
    [VWRED] = {"vector widening reduction", 2, 2, 1, 0, 5},
    [VFRED] = {"vector fp reduction", 4, 4, 6, 0, 0},
    [VFREDO] = {"vector ordered fp reduction", 12, 24, -1, 0, 0},
    [VGATHER] = {"vector gather", 4, 4, 0, 0, 0}, /* each of n registers from all of n */
    [VFDIV] = {"vector fp divide", 36, 12, 0, 0, 0},
    [VMOVXS] = {"vector to scalar move", 0, 0, 2, 3, 5},
    [VLOAD] = {"vector load", 2, 2, 0, 3, 0},
    [VSTORE] = {"vector store", 2, 2, 0, 3, 0},
    [VSTRIDE] = {"vector strided/indexed", 0, 0, 0, 4, 0}, /* a cycle an element */
};

/* ---- The machine ---- */

static double ghz = 0.85, bandwidth = 1.3 /* GB/s */, miss_ns = 130, l1kb = 64;

static uint64_t now;                    /* the cycle in which the next instruction is issued at the earliest */
static uint64_t ready[64], vready[32];  /* the cycle from which a register can be read */
static uint64_t vector_free, port_free; /* ... the vector unit and the load/store port take the next instruction */
static unsigned sew = 8, lmul_x8 = 8;   /* bits of an element; LMUL in eighths */
static double memory_free;              /* the cycle from which the memory channel is free */

static uint64_t pc_begin, pc_end, begin_cycle, counted_cycles, regions;
static bool counting = true;
static uint64_t count[KINDS], stall[KINDS], load_bytes, store_bytes, misses, streams, memory_bytes, memory_stalls;

static void at_least(uint64_t* cycle, uint64_t other) {
    if (*cycle < other) {
        *cycle = other;
    }
}

/* ---- The data cache: four ways, the least recently used line gives way ---- */

enum { WAYS = 4, LINE = 64, STREAMS = 16, LINES_AHEAD = 4 };
static unsigned sets;
static uint64_t* tags; /* [set][way]: line + 1, 0 where there is none */
static uint8_t* age;   /* [set][way] */
static uint64_t recent[STREAMS];
static unsigned next_recent;

/* Looks whether the line follows one that was missed recently: then the prefetcher has asked for it already. */
static bool in_stream(uint64_t line) {
    for (unsigned k = 0; k < STREAMS; ++k) {
        if (recent[k] + 1 == line) {
            recent[k] = line;
            return true;
        }
    }
    recent[next_recent] = line;
    next_recent = (next_recent + 1) % STREAMS;
    return false;
}

/* Accesses the cache; returns after how many cycles more the data is there. Stores wait for nothing. */
static uint64_t access_cache(uint64_t address, bool store) {
    const uint64_t line = address / LINE;
    const size_t set = (line & (sets - 1)) * WAYS;
    unsigned victim = 0;
    for (unsigned way = 0; way < WAYS; ++way) {
        if (tags[set + way] == line + 1) {
            for (unsigned k = 0; k < WAYS; ++k) {
                ++age[set + k];
            }
            age[set + way] = 0;
            return 0;
        }
        if (age[set + way] > age[set + victim]) {
            victim = way;
        }
    }
    for (unsigned k = 0; k < WAYS; ++k) {
        if (age[set + k] < 250) {
            ++age[set + k];
        }
    }
    tags[set + victim] = line + 1;
    age[set + victim] = 0;
    ++misses;
    memory_bytes += LINE;
    const double at = (double)now, cycles_a_line = LINE / bandwidth * ghz;
    if (in_stream(line)) {
        const double earliest = at - LINES_AHEAD * cycles_a_line;
        memory_free = memory_free + cycles_a_line < earliest ? earliest : memory_free + cycles_a_line;
        ++streams;
        return store || memory_free <= at ? 0 : (uint64_t)(memory_free - at);
    }
    const double start = memory_free > at ? memory_free : at;
    memory_free = start + cycles_a_line;
    return store ? 0 : (uint64_t)(start - at + miss_ns * ghz);
}

/* ---- One instruction after the other ---- */

static int registers_of_group(void) {
    return lmul_x8 <= 8 ? 1 : (int)(lmul_x8 / 8);
}

static void wait_for_vectors(uint64_t* cycle, int first, int registers) {
    for (int r = first; first >= 0 && r < first + registers && r < 32; ++r) {
        at_least(cycle, vready[r]);
    }
}

static uint64_t slowest_access;          /* of the current instruction: the cycles that its data comes later */
static const struct operands* accessing; /* the instruction that it belongs to */

/* Moves the result of the last load to when its data is there, now that all of its accesses are known. */
static void finish_load(void) {
    const struct operands* i = accessing;
    if (i != NULL && slowest_access > 0) {
        if (i->kind == LOAD && i->rd > 0) {
            ready[i->rd] += slowest_access;
        }
        if (i->vd >= 0 && (i->kind == VLOAD || i->kind == VSTRIDE)) {
            for (int r = i->vd; r < i->vd + registers_of_group() && r < 32; ++r) {
                vready[r] += slowest_access;
            }
            port_free += slowest_access;
        }
        memory_stalls += slowest_access;
    }
    accessing = NULL;
    slowest_access = 0;
}

static void on_memory(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void* instruction) {
    (void)cpu;
    const bool store = qemu_plugin_mem_is_store(info);
    *(store ? &store_bytes : &load_bytes) += UINT64_C(1) << qemu_plugin_mem_size_shift(info);
    at_least(&slowest_access, access_cache(address, store));
    accessing = &((const struct instruction*)instruction)->o;
}

/* Counts between the two addresses, where they are given. */
static void enter_and_leave(uint64_t pc) {
    if (pc_begin != 0 && pc == pc_begin) {
        counting = true;
        begin_cycle = now;
        ++regions;
    }
    if (pc_end != 0 && pc == pc_end && counting) {
        counting = false;
        counted_cycles += now - begin_cycle;
    }
}

/* Counts the cycles for which an instruction holds its unit. */
static int occupied_cycles(enum kind kind) {
    const struct cost* cost = &costs[kind];
    const int n = registers_of_group(), elements = (int)(128 * lmul_x8 / 8 / sew);
    if (kind == VSTRIDE) {
        return elements < 1 ? 1 : elements;
    }
    return (sew == 32 ? cost->each : cost->wider) * (kind == VGATHER ? n * n : n) + cost->extra;
}

static void on_instruction(unsigned cpu, void* user) {
    (void)cpu;
    static struct function* current;
    static uint64_t previous_cycle;
    const struct instruction* i = user;
    const struct operands* o = &i->o;
    finish_load();
    if (current != NULL) {
        current->spent += now - previous_cycle;
    }
    if (i->function != NULL) { /* what is in no function of the list is the work of the last that was */
        current = i->function;
        current->calls += current->begin == i->pc;
    }
    previous_cycle = now;
    enter_and_leave(i->pc);

    uint64_t issue = now;
    const int scalars[] = {o->rs1, o->rs2, o->rs3};
    for (unsigned k = 0; k < 3; ++k) {
        if (scalars[k] > 0) {
            at_least(&issue, ready[scalars[k]]);
        }
    }
    const int n = registers_of_group(); /* are those before it, where this is a vsetvl */
    const bool vector = o->kind >= VARITH && o->kind <= VSTRIDE;
    const bool reduction = o->kind >= VRED && o->kind <= VFREDO;
    if (vector) {
        wait_for_vectors(&issue, o->vs2, o->kind == VNARROW ? 2 * n : n);
        wait_for_vectors(&issue, o->vs1, n);
        wait_for_vectors(&issue, o->vd, o->kind == VWIDEN ? 2 * n : n);
    }
    if (o->kind == VSET && o->vtype >= 0) {
        static const unsigned eighths[8] = {8, 16, 32, 64, 0, 1, 2, 4};
        lmul_x8 = eighths[o->vtype & 7];
        sew = 8U << (o->vtype >> 3 & 7);
    }
    const int occupied = occupied_cycles(o->kind), after = occupied + costs[o->kind].after;
    const uint64_t latency = (uint64_t)(after > costs[o->kind].least ? after : costs[o->kind].least);
    if (o->kind >= VLOAD && o->kind <= VSTRIDE) {
        at_least(&issue, port_free);
        port_free = issue + (uint64_t)occupied;
    } else if (vector) {
        at_least(&issue, vector_free);
        vector_free = issue + (uint64_t)occupied;
    } else if (o->kind == LOAD || o->kind == STORE) {
        at_least(&issue, port_free);
        port_free = issue + 1;
    }
    if (counting) {
        ++count[o->kind];
        stall[o->kind] += issue - now;
    }
    if (o->rd > 0) {
        ready[o->rd] = issue + latency;
    }
    if (vector && o->kind != VSTORE) {
        const int written = o->kind == VWIDEN ? 2 * n : reduction ? 1 : n;
        for (int r = o->vd; o->vd >= 0 && r < o->vd + written && r < 32; ++r) {
            vready[r] = issue + latency;
        }
    }
    now = issue + 1;
}

/* ---- Translation ---- */

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(block); ++k) {
        struct qemu_plugin_insn* q = qemu_plugin_tb_get_insn(block, k);
        struct instruction* i = malloc(sizeof *i); /* kept: a block may run at any time later */
        if (i == NULL) {
            abort();
        }
        const uint64_t pc = qemu_plugin_insn_vaddr(q);
        *i = (struct instruction){pc, {COMPRESSED, -1, -1, -1, -1, -1, -1, -1, -1}, function_at(pc)};
        if (qemu_plugin_insn_size(q) == 4) {
            uint32_t word = 0;
#if PLUGIN_API >= 3
            qemu_plugin_insn_data(q, &word, sizeof word);
#else
            memcpy(&word, qemu_plugin_insn_data(q), sizeof word);
#endif
            i->o = decode(word);
        }
        qemu_plugin_register_vcpu_insn_exec_cb(q, on_instruction, kNoRegisters, i);
        qemu_plugin_register_vcpu_mem_cb(q, on_memory, kNoRegisters, kLoadsAndStores, i);
    }
}

/* ---- The report, and the beginning ---- */

static void at_exit(qemu_plugin_id_t id, void* user) {
    (void)id, (void)user;
    FILE* out = open_report();
    if (out == NULL) {
        return;
    }
    uint64_t total = 0;
    fprintf(out, "%-30s %15s %15s\n", "kind", "instructions", "stall cycles");
    for (unsigned kind = 0; kind < KINDS; ++kind) {
        if (count[kind] != 0) {
            fprintf(out, "%-30s %15" PRIu64 " %15" PRIu64 "\n", costs[kind].name, count[kind], stall[kind]);
            total += count[kind];
        }
    }
    const uint64_t cycles = pc_begin != 0 ? counted_cycles : now;
    fprintf(out, "instructions %" PRIu64 "\ncycles %" PRIu64 "\nseconds %.9f\n", total, cycles,
            (double)cycles / ghz * 1e-9);
    fprintf(out, "load_bytes %" PRIu64 "\nstore_bytes %" PRIu64 "\n", load_bytes, store_bytes);
    fprintf(out, "l1_misses %" PRIu64 "\nof_them_streamed %" PRIu64 "\n", misses, streams);
    fprintf(out, "dram_bytes %" PRIu64 "\nmemory_stall_cycles %" PRIu64 "\n", memory_bytes, memory_stalls);
    fprintf(out, "regions %" PRIu64 "\n", regions);
    close_report(out);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc, char** argv) {
    (void)info;
    const struct {
        const char* name;
        double* value;
    } numbers[] = {{"ghz=", &ghz}, {"bw=", &bandwidth}, {"lat=", &miss_ns}, {"l1kb=", &l1kb}};
    for (int a = 0; a < argc; ++a) {
        bool ok = false;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; ++k) {
            const size_t length = strlen(numbers[k].name);
            char* end = NULL;
            if (strncmp(argv[a], numbers[k].name, length) == 0) {
                *numbers[k].value = strtod(argv[a] + length, &end);
                ok = argv[a][length] != '\0' && *end == '\0' && *numbers[k].value > 0 && *numbers[k].value < 1e6;
            }
        }
        if (strncmp(argv[a], "begin=", 6) == 0) {
            pc_begin = strtoull(argv[a] + 6, NULL, 16);
            counting = false;
            ok = true;
        } else if (strncmp(argv[a], "end=", 4) == 0) {
            pc_end = strtoull(argv[a] + 4, NULL, 16);
            ok = true;
        }
        if (!ok) {
            fprintf(stderr, "c906sim: expected ghz=, bw=, lat= or l1kb= with a number above 0, found %s\n", argv[a]);
            return 1;
        }
    }
    if (!read_functions()) {
        return 1;
    }
    for (sets = 1; sets * 2 * LINE * WAYS <= l1kb * 1024; sets *= 2) {
    }
    tags = calloc((size_t)sets * WAYS, sizeof *tags);
    age = calloc((size_t)sets * WAYS, sizeof *age);
    if (tags == NULL || age == NULL) {
        fprintf(stderr, "c906sim: no memory for a cache of %.0f KB\n", l1kb);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
