// Dot products with MAC16: a multiplication, its addition to the accumulator and a load of the next operands are one instruction.
#include "../dot.h"
#include "../hot.h"
#include "../panel.h"
#include "assembly.h"

#if MT_MAC16

#define CHUNK 128 // weights of a row that are widened at once

// a2 mt_dots_t, a3 row of a, a5 out, a6 groups of four values less one, a7 rows of a left, a8 rows of b left, a9 bytes from the end of a row of b to the
// next row, a10 a11 where the next operands lie, a12 a sum, a13 zero, a14 bytes from row to row of a, a15 from the end of a row of sums to the next.
#define MT_DOTS(name, begin) \
    MT_FUNCTION(name, \
        "    entry a1, 32\n" \
        "    l32i a3, a2, 0\n" \
        "    l32i a5, a2, 8\n" \
        "    l32i a6, a2, 12\n" \
        "    l32i a7, a2, 16\n" \
        "    l32i a14, a2, 24\n" \
        "    l32i a9, a2, 28\n" \
        "    l32i a15, a2, 32\n" \
        "    slli a10, a6, 1\n" \
        "    sub a9, a9, a10\n" \
        "    l32i a8, a2, 20\n" \
        "    slli a10, a8, 2\n" \
        "    sub a15, a15, a10\n" \
        "    srli a6, a6, 2\n" \
        "    addi a6, a6, -1\n" \
        "    addi a3, a3, -4\n" /* operands are loaded from four bytes behind the last ones */ \
        "    movi a13, 0\n" \
        "1:  l32i a11, a2, 4\n" \
        "    l32i a8, a2, 20\n" \
        "    addi a11, a11, -4\n" \
        "2:  mov a10, a3\n" \
        begin \
        "    ldinc m0, a10\n" \
        "    ldinc m2, a11\n" \
        "    loopgtz a6, 3f\n" \
        "    mula.dd.ll.ldinc m1, a10, m0, m2\n" \
        "    mula.dd.hh.ldinc m3, a11, m0, m2\n" \
        "    mula.dd.ll.ldinc m0, a10, m1, m3\n" \
        "    mula.dd.hh.ldinc m2, a11, m1, m3\n" \
        "3:  mula.dd.ll.ldinc m1, a10, m0, m2\n" \
        "    mula.dd.hh.ldinc m3, a11, m0, m2\n" \
        "    mula.dd.ll m1, m3\n" \
        "    mula.dd.hh m1, m3\n" \
        "    add a11, a11, a9\n" \
        "    rsr a12, acclo\n" \
        "    s32i a12, a5, 0\n" \
        "    addi a5, a5, 4\n" \
        "    addi a8, a8, -1\n" \
        "    bnez a8, 2b\n" \
        "    add a3, a3, a14\n" \
        "    add a5, a5, a15\n" \
        "    addi a7, a7, -1\n" \
        "    bnez a7, 1b\n" \
        "    retw\n")

// No register of MAC16 is loaded anew after it was read, but by the next round of a loop: QEMU would multiply what was in it.
// Only the accumulator's lower 32 of 40 bits matter.
MT_DOTS(mt_dots, "    wsr a13, acclo\n");
MT_DOTS(mt_dots_add, "    l32i a12, a5, 0\n    wsr a12, acclo\n");

// mt_dot_packed (../dot.h), bytes taken out of words: a2 row, a3 values, a4 groups of eight less one, a6 a7 words, a8 to a11 bytes.
__asm__(
    ".macro mt_bytes word\n"
    "    sext a8, \\word, 7\n"
    "    slli a9, \\word, 16\n"
    "    slli a10, \\word, 8\n"
    "    srai a9, a9, 24\n"
    "    srai a10, a10, 24\n"
    "    srai a11, \\word, 24\n"
    ".endm\n"
    ".macro mt_eight next\n"
    "    l32i a6, a2, 0\n"
    "    l32i a7, a2, 4\n"
    "    addi a2, a2, 8\n"
    "    mt_bytes a6\n"
    "    mula.da.ll.ldinc m1, a3, m0, a8\n"
    "    mula.da.hl m0, a9\n"
    "    mula.da.ll.ldinc m2, a3, m1, a10\n"
    "    mula.da.hl.ldinc m3, a3, m1, a11\n"
    "    mt_bytes a7\n"
    "    mula.ad.ll a8, m2\n"
    "    mula.ad.lh a9, m2\n"
    "    mula.ad.ll a10, m3\n"
    "    mula.ad.lh a11, m3\n"
    "    \\next\n"
    ".endm\n");
MT_FUNCTION(mt_dot_packed,
    "    entry a1, 32\n"
    "    movi a5, 0\n"
    "    wsr a5, acclo\n"
    "    srli a4, a4, 3\n"
    "    addi a4, a4, -1\n"
    "    addi a3, a3, -4\n"
    "    ldinc m0, a3\n"
    "    loopgtz a4, 1f\n"
    "    mt_eight \"ldinc m0, a3\"\n"
    "1:  mt_eight\n"
    "    rsr a2, acclo\n"
    "    retw\n");

MT_HOT void mt_panel_rows(const int8_t *weights, const int32_t *panels, int32_t k, int32_t count, int32_t *out) {
    int32_t wide[4 * CHUNK / 2];
    for (int32_t from = 0; from < k; from += CHUNK) {
        int32_t n = k - from < CHUNK ? k - from : CHUNK;
        int16_t *a = (int16_t *)(void *)wide;
        const int16_t *b = (const int16_t *)(const void *)panels + from;
        for (int32_t row = 0; row < 4; row++) {
            mt_widen(weights + row * k + from, n, a + row * n);
        }
        const mt_dots_t dots = {a, b, out, n, 4, 4 * count, 2 * n, 2 * k, 16 * count};
        if (from) {
            mt_dots_add(&dots);
        } else {
            mt_dots(&dots);
        }
    }
}

#endif
