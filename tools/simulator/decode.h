/* Describes the instructions of RISC-V as the simulator sees them: which unit they take, and which registers. */
#pragma once

#include <stdint.h>

enum kind {
    ALU,
    MUL,
    DIV,
    LOAD,
    STORE,
    BRANCH,
    FPADD,
    FPMUL,
    FPMA,
    FPDIV,
    FPMISC,
    VSET,
    COMPRESSED,
    VARITH, /* begins the vector instructions */
    VWIDEN,
    VNARROW,
    VRED,
    VWRED,
    VFRED,
    VFREDO,
    VGATHER,
    VFDIV,
    VMOVXS,
    VLOAD,
    VSTORE,
    VSTRIDE,
    KINDS
};

struct operands {
    enum kind kind;
    int rd, rs1, rs2, rs3; /* 0 to 31 integer, 32 to 63 float, -1 none */
    int vd, vs1, vs2;      /* 0 to 31 vector, -1 none */
    int vtype;             /* what a vsetvl sets, or -1 */
};

/* Decodes an instruction of 32 bits, of RV64IMFD or of vectors. */
struct operands decode(uint32_t word);
