// mt_panel_rows (../panel.h) for RV32 with multiplication: four rows and four pixels in registers. For every two values: a word times its weight and
// the next word times its own, added; the sum goes to that of whole words, and its upper half, rounded because the lower lane may be negative, to
// that of the high lanes. In the end the low lanes are the whole words less the high lanes.
#include "../hot.h"
#include "../panel.h"

#if MT_RV32

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_panel_block"
#endif
#define CHUNK 128 // weights of a row that are multiplied at once; the assembly below has it, too

// a0 weights, a1 panels, a2 end of the weights, a3 half of a lane, t0-t3 words, t4 t5 weights, t6 a5 products; the sums of whole words in s0-s7, of
// high lanes in s8-s11 a6 a7 ra a4.
__asm__(
    ".macro mt_lanes w0, w1, whole, high\n"
    "    mul t6, \\w0, t4\n"
    "    mul a5, \\w1, t5\n"
    "    add t6, t6, a5\n"
    "    add \\whole, \\whole, t6\n"
    "    add t6, t6, a3\n"
    "    srai t6, t6, 16\n"
    "    add \\high, \\high, t6\n"
    ".endm\n"
    ".macro mt_row at, step, whole0, high0, whole1, high1\n"
    "    lb t4, \\at(a0)\n"
    "    lb t5, \\at + \\step(a0)\n"
    "    mt_lanes t0, t1, \\whole0, \\high0\n"
    "    mt_lanes t2, t3, \\whole1, \\high1\n"
    ".endm\n"
    ".macro mt_two_values at, step, row\n" // bytes from value to value of weights, from row to row
    "    lw t0, 8 * \\at(a1)\n"
    "    lw t1, 8 * \\at + 4(a1)\n"
    "    lw t2, 8 * \\at + 8(a1)\n"
    "    lw t3, 8 * \\at + 12(a1)\n"
    "    mt_row \\at * \\step, \\step, s0, s8, s1, s9\n"
    "    mt_row \\at * \\step + \\row, \\step, s2, s10, s3, s11\n"
    "    mt_row \\at * \\step + 2 * \\row, \\step, s4, a6, s5, a7\n"
    "    mt_row \\at * \\step + 3 * \\row, \\step, s6, ra, s7, a4\n"
    ".endm\n"
    ".macro mt_all_values step, row\n"
    "    sub t0, a2, a0\n"
    "    andi t0, t0, 4 * \\step\n"
    "    beqz t0, 21f\n"
    "    addi a0, a0, -4 * \\step\n" // an odd number of fours: the loop's second half first
    "    addi a1, a1, -32\n"
    "    j 22f\n"
    "21: mt_two_values 0, \\step, \\row\n"
    "    mt_two_values 2, \\step, \\row\n"
    "22: mt_two_values 4, \\step, \\row\n"
    "    mt_two_values 6, \\step, \\row\n"
    "    addi a0, a0, 8 * \\step\n"
    "    addi a1, a1, 64\n"
    "    bne a0, a2, 21b\n"
    ".endm\n"
    ".macro mt_load low, high, whole, lane\n" // sums that are there
    "    lw \\lane, \\high\n"
    "    lw \\whole, \\low\n"
    "    slli t1, \\lane, 16\n"
    "    add \\whole, \\whole, t1\n"
    ".endm\n"
    ".macro mt_store low, high, whole, lane\n"
    "    slli t1, \\lane, 16\n"
    "    sub t1, \\whole, t1\n"
    "    sw t1, \\low\n"
    "    sw \\lane, \\high\n"
    ".endm\n"
    ".macro mt_along do\n" // out[row][panel][pixel]
    "    lw t0, 52(sp)\n"
    "    lw t2, 64(sp)\n"
    "    \\do 0(t0), 8(t0), s0, s8\n"
    "    \\do 4(t0), 12(t0), s1, s9\n"
    "    add t0, t0, t2\n"
    "    \\do 0(t0), 8(t0), s2, s10\n"
    "    \\do 4(t0), 12(t0), s3, s11\n"
    "    add t0, t0, t2\n"
    "    \\do 0(t0), 8(t0), s4, a6\n"
    "    \\do 4(t0), 12(t0), s5, a7\n"
    "    add t0, t0, t2\n"
    "    \\do 0(t0), 8(t0), s6, ra\n"
    "    \\do 4(t0), 12(t0), s7, a4\n"
    ".endm\n"
    ".macro mt_across do\n" // out[panel][pixel][row]
    "    lw t0, 52(sp)\n"
    "    lw t4, 64(sp)\n"
    "    add t2, t0, t4\n"
    "    add t3, t2, t4\n"
    "    add t4, t3, t4\n"
    "    \\do 0(t0), 0(t3), s0, s8\n"
    "    \\do 0(t2), 0(t4), s1, s9\n"
    "    \\do 4(t0), 4(t3), s2, s10\n"
    "    \\do 4(t2), 4(t4), s3, s11\n"
    "    \\do 8(t0), 8(t3), s4, a6\n"
    "    \\do 8(t2), 8(t4), s5, a7\n"
    "    \\do 12(t0), 12(t3), s6, ra\n"
    "    \\do 12(t2), 12(t4), s7, a4\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", @progbits\n"
    ".balign 4\n"
    ".global mt_panel_block\n"
    ".type mt_panel_block, @function\n"
    "mt_panel_block:\n"
    "    addi sp, sp, -80\n"
    "    sw ra, 0(sp)\n"
    "    sw s0, 4(sp)\n"
    "    sw s1, 8(sp)\n"
    "    sw s2, 12(sp)\n"
    "    sw s3, 16(sp)\n"
    "    sw s4, 20(sp)\n"
    "    sw s5, 24(sp)\n"
    "    sw s6, 28(sp)\n"
    "    sw s7, 32(sp)\n"
    "    sw s8, 36(sp)\n"
    "    sw s9, 40(sp)\n"
    "    sw s10, 44(sp)\n"
    "    sw s11, 48(sp)\n"
    "    sw a3, 52(sp)\n" // out
    "    sw a0, 56(sp)\n" // weights
    "    li t0, 16\n"
    "    blez a6, 5f\n"
    "    slli t0, a7, 2\n"
    "5:  sw t0, 60(sp)\n" // bytes of out from panel to panel
    "    sw a7, 64(sp)\n" // pitch
    "    sw a4, 68(sp)\n" // panels left
    "    sw a5, 72(sp)\n" // skip
    "    sw a6, 76(sp)\n" // kind
    "    blez a6, 4f\n"
    "    slli a2, a2, 2\n"
    "4:  add a2, a2, a0\n"
    "0:  lw a0, 76(sp)\n"
    "    bnez a0, 3f\n"
    "    li s0, 0\n"
    "    li s1, 0\n"
    "    li s2, 0\n"
    "    li s3, 0\n"
    "    li s4, 0\n"
    "    li s5, 0\n"
    "    li s6, 0\n"
    "    li s7, 0\n"
    "    li s8, 0\n"
    "    li s9, 0\n"
    "    li s10, 0\n"
    "    li s11, 0\n"
    "    li a6, 0\n"
    "    li a7, 0\n"
    "    li ra, 0\n"
    "    li a4, 0\n"
    "1:  lw a0, 56(sp)\n"
    "    li a3, 0x8000\n"
    "    mt_all_values 1, 128\n"
    "    mt_along mt_store\n"
    "6:  lw t0, 52(sp)\n"
    "    lw t1, 60(sp)\n"
    "    add t0, t0, t1\n"
    "    sw t0, 52(sp)\n"
    "    lw t0, 72(sp)\n"
    "    add a1, a1, t0\n"
    "    lw t0, 68(sp)\n"
    "    addi t0, t0, -1\n"
    "    sw t0, 68(sp)\n"
    "    bnez t0, 0b\n"
    "    lw ra, 0(sp)\n"
    "    lw s0, 4(sp)\n"
    "    lw s1, 8(sp)\n"
    "    lw s2, 12(sp)\n"
    "    lw s3, 16(sp)\n"
    "    lw s4, 20(sp)\n"
    "    lw s5, 24(sp)\n"
    "    lw s6, 28(sp)\n"
    "    lw s7, 32(sp)\n"
    "    lw s8, 36(sp)\n"
    "    lw s9, 40(sp)\n"
    "    lw s10, 44(sp)\n"
    "    lw s11, 48(sp)\n"
    "    addi sp, sp, 80\n"
    "    ret\n"
    "3:  bgtz a0, 8f\n"
    "    mt_along mt_load\n"
    "    j 1b\n"
    "8:  mt_across mt_load\n"
    "    lw a0, 56(sp)\n"
    "    li a3, 0x8000\n"
    "    mt_all_values 4, 1\n"
    "    mt_across mt_store\n"
    "    j 6b\n"
    ".size mt_panel_block, . - mt_panel_block\n"
    ".purgem mt_lanes\n"
    ".purgem mt_row\n"
    ".purgem mt_two_values\n"
    ".purgem mt_all_values\n"
    ".purgem mt_load\n"
    ".purgem mt_store\n"
    ".purgem mt_along\n"
    ".purgem mt_across\n"
    ".text\n");

// Words of a row to CHUNK bytes; loops, not memcpy, which takes longer.
static void copy_row(const int8_t *row, int32_t k, uint32_t *to) {
    const uint32_t *from = (const uint32_t *)(const void *)row, *end = from + k / 4;
    for (; from + 4 <= end; from += 4, to += 4) {
        uint32_t a = from[0], b = from[1], c = from[2], d = from[3];
        to[0] = a;
        to[1] = b;
        to[2] = c;
        to[3] = d;
        __asm__ volatile ("");
    }
    while (from < end) {
        *to++ = *from++;
        __asm__ volatile ("");
    }
}

MT_HOT void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out) {
    uint32_t rows[CHUNK];
    for (int32_t from = 0; from < k; from += CHUNK) {
        int32_t values = k - from < CHUNK ? k - from : CHUNK;
        for (int32_t row = 0; row < 4; row++) {
            copy_row(weights + row * k + from, values, rows + row * (CHUNK / 4));
        }
        mt_panel_block((const int8_t *)rows, panels + 2 * from, values, out, count, 8 * (k - values), from ? MT_PANEL_ADD : MT_PANEL_FIRST, 16 * count);
    }
}

#endif
