// The functions of ../plane.h with MAC16. There is one accumulator: the sums of the lower halves come first, then those of the upper ones.
#include <stdbool.h>
#include <stddef.h>

#include "../hot.h"
#include "../plane.h"
#include "assembly.h"

#if MT_MAC16

#define MOST_ROWS 8
#define WEIGHTS(width) ((width) <= 2 ? 2 : (width) <= 4 ? 4 : 8) // of a kernel's row, in memory

// One row of windows: sums[i] and sums[half + i], i < half, of windows `step` bytes apart.
typedef struct {
    const int32_t *window;
    const int16_t *weights; // [kernel_h][WEIGHTS]
    int32_t *sums;
    int32_t half, kernel_h, pitch, step; // bytes
} row_t;

// a2 row_t, a3 window, a4 weights less a word, a5 sums, a6 windows left, a7 rows of the kernel, a8 pitch, a9 step, a10 row of the window, a11 of the weights,
// a12 a pixel, a13 zero, a14 bytes from lower to upper sums; weights in m2, m3, a15, a2.
// No register of MAC16 is loaded anew after it was read, but by the next round of a loop: QEMU would multiply what was in it.
#define MT_ROW_OF_WINDOWS(name, low_taps, high_taps) \
    MT_FUNCTION(name, \
        "    entry a1, 32\n" \
        "    l32i a3, a2, 0\n" \
        "    l32i a4, a2, 4\n" \
        "    l32i a5, a2, 8\n" \
        "    l32i a6, a2, 12\n" \
        "    l32i a7, a2, 16\n" \
        "    l32i a8, a2, 20\n" \
        "    l32i a9, a2, 24\n" \
        "    addi a4, a4, -4\n" \
        "    slli a14, a6, 2\n" \
        "    movi a13, 0\n" \
        "1:  mov a10, a3\n" \
        "    mov a11, a4\n" \
        "    wsr a13, acclo\n" \
        "    loop a7, 2f\n" \
        low_taps \
        "    add a10, a10, a8\n" \
        "2:  rsr a12, acclo\n" \
        "    s32i a12, a5, 0\n" \
        "    mov a10, a3\n" \
        "    mov a11, a4\n" \
        "    wsr a13, acclo\n" \
        "    loop a7, 3f\n" \
        high_taps \
        "    add a10, a10, a8\n" \
        "3:  rsr a12, acclo\n" \
        "    add a15, a5, a14\n" \
        "    s32i a12, a15, 0\n" \
        "    addi a5, a5, 4\n" \
        "    add a3, a3, a9\n" \
        "    addi a6, a6, -1\n" \
        "    bnez a6, 1b\n" \
        "    retw\n"); \
    void name(const row_t *r)

#define TAP(at, multiply, w) "    l32i a12, a10, " at "\n    mula." multiply " a12, " w "\n"
#define TAPS_2(half) "    ldinc m2, a11\n" TAP("0", "ad." half "l", "m2") TAP("4", "ad." half "h", "m2")
#define TAPS_3(half) TAPS_2(half) "    ldinc m3, a11\n" TAP("8", "ad." half "l", "m3")
#define TAPS_4(half) TAPS_3(half) TAP("12", "ad." half "h", "m3")
#define TAPS_5(half) TAPS_4(half) "    l32i a15, a11, 4\n    addi a11, a11, 8\n" TAP("16", "aa." half "l", "a15")
#define TAPS_7(half) TAPS_5(half) "    l32i a2, a11, 0\n" TAP("20", "aa." half "h", "a15") TAP("24", "aa." half "l", "a2")
#define TAPS_8(half) TAPS_7(half) TAP("28", "aa." half "h", "a2")

MT_ROW_OF_WINDOWS(mt_row_of_2, TAPS_2("l"), TAPS_2("h"));
MT_ROW_OF_WINDOWS(mt_row_of_3, TAPS_3("l"), TAPS_3("h"));
MT_ROW_OF_WINDOWS(mt_row_of_4, TAPS_4("l"), TAPS_4("h"));
MT_ROW_OF_WINDOWS(mt_row_of_5, TAPS_5("l"), TAPS_5("h"));
MT_ROW_OF_WINDOWS(mt_row_of_7, TAPS_7("l"), TAPS_7("h"));
MT_ROW_OF_WINDOWS(mt_row_of_8, TAPS_8("l"), TAPS_8("h"));

// The same for 3x3, whose weights stay in registers, m0 to m3 and a12: a3 to a11 the window, a13 where its row is, a14 pitch, a15 sums, a2 bytes from lower
// to upper ones, a0 a sum; on the stack a0, step.
void mt_row_of_3x3(const row_t *r); // weights [3][3]
__asm__(
    ".macro mt_window half, first\n"
    "    mul.da.l\\half m0, a3\n"
    "    mula.da.h\\half m0, a4\n"
    "    mula.da.l\\half m1, a5\n"
    "    mula.da.h\\half m1, a6\n"
    "    mula.ad.\\half\\()l a7, m2\n"
    "    mula.ad.\\half\\()h a8, m2\n"
    "    mula.ad.\\half\\()l a9, m3\n"
    "    mula.ad.\\half\\()h a10, m3\n"
    "    mula.aa.\\half\\()l a11, a12\n"
    "    rsr a0, acclo\n"
    ".endm\n");
MT_FUNCTION(mt_row_of_3x3,
    "    entry a1, 48\n"
    "    s32i a0, a1, 0\n"
    "    l32i a3, a2, 20\n"
    "    l32i a4, a2, 4\n"
    "    l32i a5, a2, 24\n"
    "    slli a6, a3, 1\n"
    "    sub a5, a5, a6\n"
    "    s32i a5, a1, 4\n" // from a window's last row to the next window
    "    addi a4, a4, -4\n"
    "    ldinc m0, a4\n"
    "    ldinc m1, a4\n"
    "    ldinc m2, a4\n"
    "    ldinc m3, a4\n"
    "    l16si a12, a4, 4\n"
    "    l32i a13, a2, 0\n"
    "    mov a14, a3\n"
    "    l32i a15, a2, 8\n"
    "    l32i a0, a2, 12\n"
    "    slli a2, a0, 2\n"
    "    loop a0, 1f\n"
    "    l32i a3, a13, 0\n"
    "    l32i a4, a13, 4\n"
    "    l32i a5, a13, 8\n"
    "    add a13, a13, a14\n"
    "    l32i a6, a13, 0\n"
    "    l32i a7, a13, 4\n"
    "    l32i a8, a13, 8\n"
    "    add a13, a13, a14\n"
    "    l32i a9, a13, 0\n"
    "    l32i a10, a13, 4\n"
    "    l32i a11, a13, 8\n"
    "    mt_window l\n"
    "    s32i a0, a15, 0\n"
    "    mt_window h\n"
    "    add a3, a15, a2\n"
    "    s32i a0, a3, 0\n"
    "    l32i a4, a1, 4\n"
    "    addi a15, a15, 4\n"
    "    add a13, a13, a4\n"
    "1:  l32i a0, a1, 0\n"
    "    retw\n");

// Of higher kernels.
static __attribute__((noinline)) void correlate_plainly(const mt_correlate_t *c, int32_t stride) {
    for (int32_t y = 0; y < c->rows; y++) {
        for (int32_t i = 0; i < c->half; i++) {
            const int32_t *x = (const int32_t *)c->plane + y * c->stride_h * c->pitch + i * stride, *w = c->weights;
            int32_t low = 0, high = 0;
            for (int32_t ky = 0; ky < c->kernel_h; ky++, x += c->pitch - c->kernel_w) {
                for (int32_t kx = 0; kx < c->kernel_w; kx++, x++, w++) {
                    low += *w * (int16_t)*x;
                    high += *w * (*x >> 16);
                }
            }
            c->sums[y * 2 * c->half + i] = low;
            c->sums[(y * 2 + 1) * c->half + i] = high;
        }
    }
}

// Rows of weights as `columns` values of 16 bits.
static void narrow_weights(const mt_correlate_t *c, int32_t columns, int16_t *to) {
    const int32_t *from = c->weights;
    for (int32_t y = 0; y < c->kernel_h; y++) {
        for (int32_t x = 0; x < columns; x++) {
            *to++ = x < c->kernel_w ? (int16_t)*from++ : 0;
        }
    }
}

static MT_HOT void correlate(const mt_correlate_t *c, int32_t stride) {
    // By the width of the kernel. A column too many, of weight 0, is there (ops/planes.c).
    static void (*const of_width[])(const row_t *) = {
        NULL, mt_row_of_2, mt_row_of_2, mt_row_of_3, mt_row_of_4, mt_row_of_5, mt_row_of_7, mt_row_of_7, mt_row_of_8,
    };
    const bool square = c->kernel_h == 3 && c->kernel_w == 3;
    int16_t weights[MOST_ROWS * MT_CORRELATE_WIDTH] __attribute__((aligned(4)));
    if (c->kernel_h > MOST_ROWS) {
        correlate_plainly(c, stride);
        return;
    }
    narrow_weights(c, square ? 3 : WEIGHTS(c->kernel_w), weights);
    row_t row = {c->plane, weights, c->sums, c->half, c->kernel_h, 4 * c->pitch, 4 * stride};
    for (int32_t y = 0; y < c->rows; y++, row.window += c->stride_h * c->pitch, row.sums += 2 * c->half) {
        if (square) {
            mt_row_of_3x3(&row);
        } else {
            of_width[c->kernel_w](&row);
        }
    }
}

void mt_correlate_1(const mt_correlate_t *c) {
    correlate(c, 1);
}

void mt_correlate_2(const mt_correlate_t *c) {
    correlate(c, 2);
}

// a2 mt_plane_dot_t, a3 row of a less a word, a4 b less a word, a5 a sum's place, a6 pairs of words less one, a7 rows, a8 bytes to the next row of a, a9
// taps left, a10 a, a11 b, a12 rows left, a13 a's row; b's halves are swapped.
#define MT_PLANE_DOT(name, taps, skip) \
    MT_FUNCTION(name, \
        "    entry a1, 32\n" \
        "    l32i a3, a2, 0\n" \
        "    l32i a4, a2, 4\n" \
        "    l32i a5, a2, 8\n" \
        "    l32i a7, a2, 12\n" \
        "    l32i a6, a2, 16\n" \
        "    l32i a8, a2, 24\n" \
        "    srli a6, a6, 1\n" \
        "    addi a6, a6, -1\n" \
        "    addi a3, a3, -4\n" \
        "    addi a4, a4, -4\n" \
        "    movi a9, " #taps "\n" \
        "1:  l32i a10, a5, 0\n" \
        "    mov a13, a3\n" \
        "    mov a11, a4\n" \
        "    mov a12, a7\n" \
        "    wsr a10, acclo\n" \
        "2:  mov a10, a13\n" \
        "    ldinc m0, a10\n" \
        "    ldinc m2, a11\n" \
        "    loopgtz a6, 3f\n" \
        skip \
        "    mula.dd.lh.ldinc m1, a10, m0, m2\n" \
        "    mula.dd.hl.ldinc m3, a11, m0, m2\n" \
        skip \
        "    mula.dd.lh.ldinc m0, a10, m1, m3\n" \
        "    mula.dd.hl.ldinc m2, a11, m1, m3\n" \
        "3:\n" \
        skip \
        "    mula.dd.lh.ldinc m1, a10, m0, m2\n" \
        "    mula.dd.hl.ldinc m3, a11, m0, m2\n" \
        "    mula.dd.lh m1, m3\n" \
        "    mula.dd.hl m1, m3\n" \
        "    add a13, a13, a8\n" \
        "    addi a12, a12, -1\n" \
        "    bnez a12, 2b\n" \
        "    rsr a10, acclo\n" \
        "    s32i a10, a5, 0\n" \
        "    addi a5, a5, 4\n" \
        "    addi a3, a3, 4\n" \
        "    addi a9, a9, -1\n" \
        "    bnez a9, 1b\n" \
        "    retw\n")

MT_PLANE_DOT(mt_dot_2_near, 2, "");
MT_PLANE_DOT(mt_dot_3_near, 3, "");
MT_PLANE_DOT(mt_dot_2_apart, 2, "    addi a10, a10, 4\n");
MT_PLANE_DOT(mt_dot_3_apart, 3, "    addi a10, a10, 4\n");
void mt_dot_2_near(const mt_plane_dot_t *d);
void mt_dot_3_near(const mt_plane_dot_t *d);
void mt_dot_2_apart(const mt_plane_dot_t *d);
void mt_dot_3_apart(const mt_plane_dot_t *d);

void mt_plane_dot_2(const mt_plane_dot_t *d) {
    (d->step == MT_PLANE_COLUMN ? mt_dot_2_near : mt_dot_2_apart)(d);
}

void mt_plane_dot_3(const mt_plane_dot_t *d) {
    (d->step == MT_PLANE_COLUMN ? mt_dot_3_near : mt_dot_3_apart)(d);
}

#endif
