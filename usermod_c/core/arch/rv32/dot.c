// mt_dot4 (../generic/kernels.h) with a loop that needs more registers than compilers leave it.
#include "../hot.h"
#include "../kernels.h"

#if MT_RV32

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_dot4_fours"
#endif

// For n > 0, a multiple of four.
void mt_dot4_fours(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]);

// a0 x, a2 its end, a4-a7 weights, s0-s3 sums, t0-t3 values of x.
__asm__(
    ".macro mt_row w, a\n"
    "    lb t4, 0(\\w)\n"
    "    lb t5, 1(\\w)\n"
    "    mul t4, t4, t0\n"
    "    mul t5, t5, t1\n"
    "    add \\a, \\a, t4\n"
    "    add \\a, \\a, t5\n"
    "    lb t4, 2(\\w)\n"
    "    lb t5, 3(\\w)\n"
    "    mul t4, t4, t2\n"
    "    mul t5, t5, t3\n"
    "    addi \\w, \\w, 4\n"
    "    add \\a, \\a, t4\n"
    "    add \\a, \\a, t5\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", @progbits\n"
    ".balign 4\n"
    ".global mt_dot4_fours\n"
    ".type mt_dot4_fours, @function\n"
    "mt_dot4_fours:\n"
    "    addi sp, sp, -16\n"
    "    sw s0, 0(sp)\n"
    "    sw s1, 4(sp)\n"
    "    sw s2, 8(sp)\n"
    "    sw s3, 12(sp)\n"
    "    add a2, a2, a0\n"
    "    lw a4, 0(a1)\n"
    "    lw a5, 4(a1)\n"
    "    lw a6, 8(a1)\n"
    "    lw a7, 12(a1)\n"
    "    lw s0, 0(a3)\n"
    "    lw s1, 4(a3)\n"
    "    lw s2, 8(a3)\n"
    "    lw s3, 12(a3)\n"
    "1:  lb t0, 0(a0)\n"
    "    lb t1, 1(a0)\n"
    "    lb t2, 2(a0)\n"
    "    lb t3, 3(a0)\n"
    "    addi a0, a0, 4\n"
    "    mt_row a4, s0\n"
    "    mt_row a5, s1\n"
    "    mt_row a6, s2\n"
    "    mt_row a7, s3\n"
    "    bne a0, a2, 1b\n"
    "    sw s0, 0(a3)\n"
    "    sw s1, 4(a3)\n"
    "    sw s2, 8(a3)\n"
    "    sw s3, 12(a3)\n"
    "    lw s0, 0(sp)\n"
    "    lw s1, 4(sp)\n"
    "    lw s2, 8(sp)\n"
    "    lw s3, 12(sp)\n"
    "    addi sp, sp, 16\n"
    "    ret\n"
    ".size mt_dot4_fours, . - mt_dot4_fours\n"
    ".purgem mt_row\n"
    ".text\n");

void mt_dot4(const int8_t *x, const int8_t *const w[4], int32_t n, int32_t acc[4]) {
    int32_t fours = n & ~3;
    if (fours) {
        mt_dot4_fours(x, w, fours, acc);
    }
    for (int32_t j = 0; j < 4; j++) {
        for (int32_t i = fours; i < n; i++) {
            acc[j] += x[i] * w[j][i];
        }
    }
}

#endif
