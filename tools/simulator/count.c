/* Counts the instructions that a program executes, of any processor that QEMU emulates: a plugin of its user-mode
 * emulation. Those of functions that SIMULATOR_FUNCTIONS does not list count as their caller's.
 *
 *   SIMULATOR_OUT=report.txt qemu-aarch64 -plugin ./libcount.so PROGRAM
 */
#include <inttypes.h>
#include <stdlib.h>

#include "functions.h"
#include "plugin_api.h"

#define EXPORTED __attribute__((visibility("default")))
EXPORTED extern int qemu_plugin_version;
EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc, char** argv);
int qemu_plugin_version = PLUGIN_API;

/* Holds instructions that are executed one after the other, all of one function. */
struct run {
    struct function* function; /* or NULL */
    uint64_t length;
    bool enters; /* begins where the function does */
};

static uint64_t total;

static void on_run(unsigned cpu, void* user) {
    (void)cpu;
    static struct function* current;
    const struct run* run = user;
    if (run->function != NULL) {
        current = run->function;
        current->calls += run->enters;
    }
    if (current != NULL) {
        current->spent += run->length;
    }
    total += run->length;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
    (void)id;
    struct run* run = NULL;
    for (size_t k = 0; k < qemu_plugin_tb_n_insns(block); ++k) {
        struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, k);
        const uint64_t pc = qemu_plugin_insn_vaddr(instruction);
        struct function* function = function_at(pc);
        if (run == NULL || run->function != function) {
            run = malloc(sizeof *run); /* kept: a block may run at any time later */
            if (run == NULL) {
                abort();
            }
            *run = (struct run){function, 0, function != NULL && function->begin == pc};
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_run, kNoRegisters, run);
        }
        ++run->length;
    }
}

static void at_exit(qemu_plugin_id_t id, void* user) {
    (void)id, (void)user;
    FILE* out = open_report();
    if (out != NULL) {
        fprintf(out, "instructions %" PRIu64 "\n", total);
        close_report(out);
    }
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t* info, int argc, char** argv) {
    (void)info, (void)argc, (void)argv;
    if (!read_functions()) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
