// The functions of ../plane.h with multiplications of pairs.
#if defined(__ARM_FEATURE_DSP)

#include <stdbool.h>

#include "../hot.h"
#include "../plane.h"

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_correlate_rows_3x3"
#endif

typedef struct {
    int32_t rows, row_step; // bytes from row to row of windows
    const int32_t *weights; // 0 and 1, 1 and 2 of every row of the kernel
} rows_3x3_t;

// Rows of windows of a 3x3 kernel with stride 1; bytes from row to row of the plane, and of a row of sums.
void mt_correlate_rows_3x3(const void *plane, int32_t pitch, int32_t *sums, int32_t row_bytes, const rows_3x3_t *rows);

// Four windows side by side. r0-r2 rows of the plane, r3 sums, r12 end of their row, r4-r7 sums, r8-r10 six columns, r11 lr weights; sp: weights, row of
// windows, bytes to the next, pitch, bytes of a row of sums, rows left.
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".macro mt_load_row row, weights\n"
    "    ldrd r8, r9, [\\row], #8\n"
    "    ldr r10, [\\row]\n"
    "    ldrd r11, lr, [sp, #\\weights]\n"
    ".endm\n"
    ".macro mt_third_taps\n" // and for odd windows the second and third
    "    smlabt r4, r9, lr, r4\n"
    "    smlad r5, r9, lr, r5\n"
    "    smlabt r6, r10, lr, r6\n"
    "    smlad r7, r10, lr, r7\n"
    ".endm\n"
    ".macro mt_row row, weights\n"
    "    mt_load_row \\row, \\weights\n"
    "    smlad r4, r8, r11, r4\n"
    "    smlatb r5, r8, r11, r5\n"
    "    smlad r6, r9, r11, r6\n"
    "    smlatb r7, r9, r11, r7\n"
    "    mt_third_taps\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_correlate_rows_3x3\n"
    ".type mt_correlate_rows_3x3, %function\n"
    ".thumb_func\n"
    "mt_correlate_rows_3x3:\n"
    "    push {r4-r11, lr}\n"
    "    ldr r12, [sp, #36]\n"
    "    ldm r12, {r4, r5, r6}\n"
    "    push {r0, r1, r3, r4, r5}\n" // row of windows, pitch, bytes of sums, rows left, to the next row
    "    ldm r6, {r4-r9}\n"
    "    push {r4-r9}\n"
    "    mov r3, r2\n"
    "1:  ldrd r0, r1, [sp, #24]\n"
    "    ldr r4, [sp, #40]\n"
    "    add r4, r0\n"
    "    str r4, [sp, #24]\n"
    "    ldr r12, [sp, #32]\n"
    "    add r12, r3\n"
    "    add r2, r0, r1, lsl #1\n"
    "    add r1, r0\n"
    "2:  mt_load_row r0, 0\n"
    "    smuad r4, r8, r11\n"
    "    smultb r5, r8, r11\n"
    "    smuad r6, r9, r11\n"
    "    smultb r7, r9, r11\n"
    "    mt_third_taps\n"
    "    mt_row r1, 8\n"
    "    mt_row r2, 16\n"
    "    stm r3!, {r4-r7}\n"
    "    cmp r3, r12\n"
    "    bne 2b\n"
    "    ldr r4, [sp, #36]\n"
    "    subs r4, #1\n"
    "    str r4, [sp, #36]\n"
    "    bne 1b\n"
    "    add sp, #44\n"
    "    pop {r4-r11, pc}\n"
    ".size mt_correlate_rows_3x3, . - mt_correlate_rows_3x3\n"
    ".purgem mt_load_row\n"
    ".purgem mt_third_taps\n"
    ".purgem mt_row\n"
    ".text\n");

MT_HOT void mt_plane_pack(const mt_plane_pack_t *p) {
    const int32_t step = p->step, row_step = p->row_step, pitch = p->pitch / 4, pad = p->pad, words = p->words, odd = p->lead & 1, columns = p->columns;
    const int8_t *row = p->from;
    int32_t *to_row = p->to + p->lead / 2;
    for (int32_t rows = p->rows; rows > 0; rows--, row += row_step, to_row += pitch) {
        const int8_t *x = row;
        int32_t *to = to_row, left = columns;
        if (odd) {
            *to++ = mt_plane_word(pad, *x);
            x += step;
            left--;
        }
        for (int32_t fours = left >> 2; fours > 0; fours--, x += 4 * step) {
            int32_t a = x[0], b = x[step], c = x[2 * step], d = x[3 * step];
            to = (int32_t *)mt_store_pair((uint32_t *)to, (uint32_t)mt_plane_word(a, b), (uint32_t)mt_plane_word(c, d));
        }
        if (left & 2) {
            *to++ = mt_plane_word(x[0], x[step]);
            x += 2 * step;
        }
        if (left & 1) {
            *to++ = mt_plane_word(*x, pad);
        }
#pragma GCC unroll 1
        for (; to < to_row + words; to++) {
            *to = mt_plane_word(pad, pad);
        }
    }
}


// What one row of a kernel gives to n windows, four at once: weights of taps 0 and 1, 2 and 3 and so on, and for odd windows with stride 1 those of
// taps -1 and 0, 1 and 2 and so on.
static inline void correlate_kernel_row(const int16_t *x, int32_t *to, int32_t n, const uint32_t *even, const uint32_t *odd, int32_t pairs,
    const int32_t stride, bool first) {
    for (const int32_t *end = to + n; to < end; to += 4, x += 4 * stride) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        uint32_t a = mt_load4(x), b = mt_load4(x + 2), c = stride == 2 ? mt_load4(x + 4) : 0;
        if (!first) {
            s0 = to[0];
            s1 = to[1];
            s2 = to[2];
            s3 = to[3];
        }
        const int16_t *next = x + (stride == 2 ? 6 : 4);
        for (int32_t m = 0; m < pairs; m++, next += 2) {
            const uint32_t w = even[m];
            if (stride == 1) {
                s0 = mt_smlad(a, w, s0);
                s2 = mt_smlad(b, w, s2);
                s1 = mt_smlad(a, odd[m], s1);
                s3 = mt_smlad(b, odd[m], s3);
                a = b;
                b = m + 1 < pairs ? mt_load4(next) : 0;
            } else {
                uint32_t d = mt_load4(next);
                s0 = mt_smlad(a, w, s0);
                s1 = mt_smlad(b, w, s1);
                s2 = mt_smlad(c, w, s2);
                s3 = mt_smlad(d, w, s3);
                a = b;
                b = c;
                c = d;
            }
        }
        to[0] = s0;
        to[1] = s1;
        to[2] = s2;
        to[3] = s3;
    }
}

static inline int32_t tap(const int32_t *weights, int32_t i, int32_t n) {
    return i >= 0 && i < n ? weights[i] : 0;
}

static inline void correlate(const mt_correlate_t *c, const int32_t stride) {
    const int32_t width = c->kernel_w, pairs = stride == 1 ? width / 2 + 1 : (width + 1) / 2, n = 2 * c->half;
    for (int32_t ky = 0; ky < c->kernel_h; ky++) {
        uint32_t even[MT_CORRELATE_WIDTH / 2 + 1], odd[MT_CORRELATE_WIDTH / 2 + 1];
        const int32_t *w = c->weights + ky * width;
        for (int32_t m = 0; m < pairs; m++) {
            even[m] = (uint32_t)mt_plane_word(tap(w, 2 * m, width), tap(w, 2 * m + 1, width));
            odd[m] = (uint32_t)mt_plane_word(tap(w, 2 * m - 1, width), tap(w, 2 * m, width));
        }
        for (int32_t y = 0; y < c->rows; y++) {
            const int16_t *x = (const int16_t *)c->plane + 2 * (y * c->stride_h + ky) * c->pitch;
            correlate_kernel_row(x, c->sums + y * n, n, even, odd, pairs, stride, ky == 0);
        }
    }
}

MT_HOT void mt_correlate_1(const mt_correlate_t *c) {
    if (c->kernel_h != 3 || c->kernel_w != 3 || (uintptr_t)c->plane & 3) {
        correlate(c, 1);
        return;
    }
    const int32_t *w = c->weights;
    int32_t pairs[6];
    for (int32_t i = 0; i < 3; i++, w += 3) {
        pairs[2 * i] = mt_plane_word(w[0], w[1]);
        pairs[2 * i + 1] = mt_plane_word(w[1], w[2]);
    }
    const rows_3x3_t rows = {c->rows, 4 * c->stride_h * c->pitch, pairs};
    mt_correlate_rows_3x3(c->plane, 4 * c->pitch, c->sums, 8 * c->half, &rows);
}

MT_HOT void mt_correlate_2(const mt_correlate_t *c) {
    correlate(c, 2);
}

// Of two outputs' gradients at once.
static inline void plane_dot(const mt_plane_dot_t *d, const int32_t taps, const int32_t stride) {
    int32_t s0 = d->sums[0], s1 = d->sums[1], s2 = taps == 3 ? d->sums[2] : 0;
    const int32_t *q = d->b;
    for (int32_t y = 0; y < d->rows; y++) {
        const int16_t *x = (const int16_t *)d->a + y * (d->row_step / 2);
        uint32_t a = mt_load4(x);
#pragma GCC unroll 2
        for (int32_t i = d->half; i > 0; i--, x += 2 * stride) {
            const uint32_t g = (uint32_t)*q++, b = mt_load4(x + 2);
            if (stride == 1) {
                s0 = mt_smlad(g, a, s0);
                s1 = mt_smlatb(g, b, mt_smlabt(g, a, s1));
                s2 = taps == 3 ? mt_smlad(g, b, s2) : 0;
                a = b;
            } else {
                const uint32_t c = mt_load4(x + 4);
                s0 = mt_smlatb(g, b, mt_smlabb(g, a, s0));
                s1 = mt_smlatt(g, b, mt_smlabt(g, a, s1));
                s2 = taps == 3 ? mt_smlatb(g, c, mt_smlabb(g, b, s2)) : 0;
                a = c;
            }
        }
    }
    d->sums[0] = s0;
    d->sums[1] = s1;
    if (taps == 3) {
        d->sums[2] = s2;
    }
}

MT_HOT void mt_plane_dot_2(const mt_plane_dot_t *d) {
    if (d->step == MT_PLANE_COLUMN) {
        plane_dot(d, 2, 1);
    } else {
        plane_dot(d, 2, 2);
    }
}

MT_HOT void mt_plane_dot_3(const mt_plane_dot_t *d) {
    if (d->step == MT_PLANE_COLUMN) {
        plane_dot(d, 3, 1);
    } else {
        plane_dot(d, 3, 2);
    }
}

#endif
