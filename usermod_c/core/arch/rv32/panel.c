// mt_panel_rows (../panel.h) for RV32 with multiplication: four rows and four pixels in registers. For every two values: a word times its weight and
// the next word times its own, added; the sum goes to that of whole words, and its upper half, rounded because the lower lane may be negative, to
// that of the high lanes. In the end the low lanes are the whole words less the high lanes.
#include "../hot.h"
#include "../panel.h"

#if MT_RV32

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_panel_block"
#endif
#define CHUNK 128 // weights of a row put beside those of the others at once

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
    ".macro mt_row at, whole0, high0, whole1, high1\n"
    "    lb t4, \\at(a0)\n"
    "    lb t5, \\at + 4(a0)\n"
    "    mt_lanes t0, t1, \\whole0, \\high0\n"
    "    mt_lanes t2, t3, \\whole1, \\high1\n"
    ".endm\n"
    ".macro mt_two_values at\n"
    "    lw t0, 2 * \\at(a1)\n"
    "    lw t1, 2 * \\at + 4(a1)\n"
    "    lw t2, 2 * \\at + 8(a1)\n"
    "    lw t3, 2 * \\at + 12(a1)\n"
    "    mt_row \\at + 0, s0, s8, s1, s9\n"
    "    mt_row \\at + 1, s2, s10, s3, s11\n"
    "    mt_row \\at + 2, s4, a6, s5, a7\n"
    "    mt_row \\at + 3, s6, ra, s7, a4\n"
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
    "    slli a2, a2, 2\n"
    "    add a2, a2, a0\n"
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
    "    sub t0, a2, a0\n"
    "    andi t0, t0, 16\n"
    "    beqz t0, 2f\n"
    "    addi a0, a0, -16\n" // an odd number of fours: the loop's second half first
    "    addi a1, a1, -32\n"
    "    j 4f\n"
    "2:  mt_two_values 0\n"
    "    mt_two_values 8\n"
    "4:  mt_two_values 16\n"
    "    mt_two_values 24\n"
    "    addi a0, a0, 32\n"
    "    addi a1, a1, 64\n"
    "    bne a0, a2, 2b\n"
    "    lw t0, 76(sp)\n"
    "    bgtz t0, 7f\n"
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
    "7:  mt_across mt_store\n"
    "    j 6b\n"
    "8:  mt_across mt_load\n"
    "    j 1b\n"
    ".size mt_panel_block, . - mt_panel_block\n"
    ".purgem mt_lanes\n"
    ".purgem mt_row\n"
    ".purgem mt_two_values\n"
    ".purgem mt_load\n"
    ".purgem mt_store\n"
    ".purgem mt_along\n"
    ".purgem mt_across\n"
    ".text\n");

// Four rows `pitch` apart, whole words, to [k][row].
static void interleave(const int8_t *rows, int32_t pitch, int32_t k, uint32_t *to) {
    const uint32_t even = 0x00FF00FF;
    for (int32_t i = 0; i < k; i += 4, to += 4) {
        const int8_t *at = rows + i;
        uint32_t a = *(const uint32_t *)at, b = *(const uint32_t *)(at + pitch);
        uint32_t c = *(const uint32_t *)(at + 2 * pitch), d = *(const uint32_t *)(at + 3 * pitch);
        uint32_t ab0 = (a & even) | (b & even) << 8, ab1 = (a >> 8 & even) | (b & ~even);
        uint32_t cd0 = (c & even) | (d & even) << 8, cd1 = (c >> 8 & even) | (d & ~even);
        to[0] = (ab0 & 0xFFFF) | cd0 << 16;
        to[1] = (ab1 & 0xFFFF) | cd1 << 16;
        to[2] = ab0 >> 16 | (cd0 & 0xFFFF0000);
        to[3] = ab1 >> 16 | (cd1 & 0xFFFF0000);
    }
}

MT_HOT void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out) {
    uint32_t beside[CHUNK];
    for (int32_t from = 0; from < k; from += CHUNK) {
        int32_t values = k - from < CHUNK ? k - from : CHUNK;
        interleave(weights + from, k, values, beside);
        mt_panel_block((const int8_t *)beside, panels + 2 * from, values, out, count, 8 * (k - values), from ? MT_PANEL_ADD : MT_PANEL_FIRST, 16 * count);
    }
}

#endif
