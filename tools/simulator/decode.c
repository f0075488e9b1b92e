#include "decode.h"

#include <stdbool.h>

static void decode_vector(struct operands* i, uint32_t word) {
    const unsigned f3 = word >> 12 & 7, f6 = word >> 26;
    const int rd = word >> 7 & 31, rs1 = word >> 15 & 31, rs2 = word >> 20 & 31;
    enum { OPIVV, OPFVV, OPMVV, OPIVI, OPIVX, OPFVF, OPMVX, OPCFG };
    if (f3 == OPCFG) {
        i->kind = VSET;
        i->rd = rd;
        /* vsetivli (11) has an immediate in rs1's place, vsetvl (10) a vtype that isn't known here. */
        i->rs1 = word >> 31 == 0 ? rs1 : -1;
        i->vtype = word >> 30 == 2 ? -1 : (int)(word >> 20 & 0xff);
        return;
    }
    i->kind = VARITH;
    i->vd = rd;
    i->vs2 = rs2;
    if (f3 <= OPMVV) {
        i->vs1 = rs1;
    } else if (f3 != OPIVI) {
        i->rs1 = f3 == OPFVF ? 32 + rs1 : rs1;
    }
    const bool integer = f3 == OPMVV || f3 == OPMVX, real = f3 == OPFVV || f3 == OPFVF;
    if ((integer || real) && f6 == 0x10) { /* between element 0 and a scalar register */
        i->kind = VMOVXS;
        if (f3 == OPMVV || f3 == OPFVV) {
            i->rd = f3 == OPFVV ? 32 + rd : rd;
            i->vd = i->vs1 = -1;
        }
    } else if (integer) {
        i->kind = f3 == OPMVV && f6 <= 7 ? VRED : f6 >= 0x30 ? VWIDEN : f6 >= 0x20 && f6 <= 0x23 ? VFDIV : VARITH;
    } else if (real) {
        if (f3 == OPFVV && (f6 == 1 || f6 == 3 || f6 == 5 || f6 == 7)) {
            i->kind = f6 == 3 ? VFREDO : VFRED;
        } else if (f6 == 0x12) { /* conversions */
            i->vs1 = -1;
            i->kind = rs1 >= 16 ? VNARROW : rs1 >= 8 ? VWIDEN : VARITH;
        } else if (f6 == 0x20 || f6 == 0x21 || (f6 == 0x13 && rs1 == 0)) { /* divisions and square roots */
            i->kind = VFDIV;
        } else if (f6 >= 0x30) {
            i->kind = VWIDEN;
        }
    } else {
        i->kind = f6 == 0x0c && f3 == OPIVV  ? VGATHER
                  : f6 >= 0x2c && f6 <= 0x2f ? VNARROW
                  : f6 == 0x30 || f6 == 0x31 ? VWRED
                                             : VARITH;
    }
}

static void decode_float(struct operands* i, uint32_t word) {
    const unsigned f5 = word >> 27;
    const int rd = word >> 7 & 31, rs1 = word >> 15 & 31;
    const bool to_integer = f5 == 0x14 || f5 == 0x18 || f5 == 0x1c; /* comparisons, fcvt.w.s, fmv.x.w */
    const bool from_integer = f5 == 0x1a || f5 == 0x1e;
    i->rd = to_integer ? rd : 32 + rd;
    i->rs1 = from_integer ? rs1 : 32 + rs1;
    i->rs2 = 32 + (int)(word >> 20 & 31);
    i->kind = f5 <= 1 ? FPADD : f5 == 2 ? FPMUL : f5 == 3 || f5 == 0x0b ? FPDIV : FPMISC;
}

struct operands decode(uint32_t word) {
    struct operands operands = {ALU, -1, -1, -1, -1, -1, -1, -1, -1}, *i = &operands;
    const unsigned f3 = word >> 12 & 7, f7 = word >> 25, opcode = word & 0x7f;
    const int rd = word >> 7 & 31, rs1 = word >> 15 & 31, rs2 = word >> 20 & 31;
    switch (opcode) {
        case 0x33:
        case 0x3b: /* op, op-32 */
            i->kind = f7 != 1 ? ALU : f3 < 4 ? MUL : DIV;
            i->rd = rd, i->rs1 = rs1, i->rs2 = rs2;
            break;
        case 0x13:
        case 0x1b:
            i->rd = rd, i->rs1 = rs1; /* op-imm, op-imm-32 */
            break;
        case 0x37:
        case 0x17:
            i->rd = rd; /* lui, auipc */
            break;
        case 0x03:
            i->kind = LOAD, i->rd = rd, i->rs1 = rs1;
            break;
        case 0x23:
            i->kind = STORE, i->rs1 = rs1, i->rs2 = rs2;
            break;
        case 0x63:
            i->kind = BRANCH, i->rs1 = rs1, i->rs2 = rs2;
            break;
        case 0x6f:
            i->kind = BRANCH, i->rd = rd;
            break;
        case 0x67:
            i->kind = BRANCH, i->rd = rd, i->rs1 = rs1;
            break;
        case 0x07:
        case 0x27: { /* of floats by width 1 to 4, else of vectors */
            const bool store = opcode == 0x27;
            i->rs1 = rs1;
            if (f3 >= 1 && f3 <= 4) {
                i->kind = store ? STORE : LOAD;
                *(store ? &i->rs2 : &i->rd) = 32 + (store ? rs2 : rd);
            } else {
                i->kind = (word >> 26 & 3) != 0 ? VSTRIDE : store ? VSTORE : VLOAD;
                i->vd = rd;
            }
            break;
        }
        case 0x43:
        case 0x47:
        case 0x4b:
        case 0x4f: /* fmadd and its kin */
            i->kind = FPMA, i->rd = 32 + rd, i->rs1 = 32 + rs1, i->rs2 = 32 + rs2, i->rs3 = 32 + (int)(word >> 27);
            break;
        case 0x53:
            decode_float(i, word);
            break;
        case 0x57:
            decode_vector(i, word);
            break;
        default:
            break;
    }
    return operands;
}
