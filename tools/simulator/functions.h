/* Reads the functions of an emulated program, and tells what each was found to take. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct function {
    uint64_t begin, end; /* addresses */
    char name[512];
    uint64_t calls, spent; /* cycles or instructions */
};

/* Reads those of the file that SIMULATOR_FUNCTIONS names, if it does: lines of "address size name" in hex, as from nm.
 * Returns whether it could be read. */
bool read_functions(void);

/* Finds the function that an address belongs to, or NULL. */
struct function* function_at(uint64_t pc);

/* Opens the report, the file that SIMULATOR_OUT names, else stderr; NULL when it can't be written. */
FILE* open_report(void);

/* Tells of the functions that took something, and closes the report. */
void close_report(FILE* out);
