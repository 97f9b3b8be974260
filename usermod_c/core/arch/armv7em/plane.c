// The functions of ../plane.h with multiplications of halves of words.
#if defined(__ARM_FEATURE_DSP)

#include "../hot.h"
#include "../plane.h"

#ifndef MT_HOT_SECTION
#define MT_HOT_SECTION ".text.mt_correlate_row_3x3"
#endif

// One row of windows of a 3x3 kernel with stride 1: weights 0 and 1, 3 and 4, 6 and 7, 2 and 5, 8 in the halves of five words. `half` and `pitch` in
// bytes.
void mt_correlate_row_3x3(const int32_t *plane, int32_t pitch, int32_t *sums, int32_t half, const int32_t weights[5]);

// Two windows side by side, each of both halves. r0-r2 rows of the plane, r3 r4 sums of lower halves, r5 r6 of upper ones, r7-r11 weights, r12 lr words;
// sp: sums, half, end of the sums.
__asm__(
    ".syntax unified\n"
    ".thumb\n"
    ".macro mt_window_row row, w01, w2, side\n"
    "    smlabt r3, lr, \\w01, r3\n"
    "    smlatt r5, lr, \\w01, r5\n"
    "    ldrd r12, lr, [\\row]\n"
    "    smlab\\side r3, r12, \\w2, r3\n"
    "    smlat\\side r5, r12, \\w2, r5\n"
    "    smlabt r4, r12, \\w01, r4\n"
    "    smlatt r6, r12, \\w01, r6\n"
    "    smlab\\side r4, lr, \\w2, r4\n"
    "    smlat\\side r6, lr, \\w2, r6\n"
    ".endm\n"
    ".macro mt_window_add row, w01, w2, side\n"
    "    ldrd r12, lr, [\\row], #8\n"
    "    smlabb r3, r12, \\w01, r3\n"
    "    smlatb r5, r12, \\w01, r5\n"
    "    smlabb r4, lr, \\w01, r4\n"
    "    smlatb r6, lr, \\w01, r6\n"
    "    mt_window_row \\row, \\w01, \\w2, \\side\n"
    ".endm\n"
    ".section " MT_HOT_SECTION ", \"ax\", %progbits\n"
    ".balign 4\n"
    ".global mt_correlate_row_3x3\n"
    ".type mt_correlate_row_3x3, %function\n"
    ".thumb_func\n"
    "mt_correlate_row_3x3:\n"
    "    push {r4-r11, lr}\n"
    "    ldr r12, [sp, #36]\n"
    "    ldm r12, {r7-r11}\n"
    "    add lr, r2, r3\n"
    "    push {r2, r3, lr}\n"
    "    add r1, r0\n"
    "    sub r2, r1, r0\n"
    "    add r2, r1\n"
    "1:  ldrd r12, lr, [r0], #8\n"
    "    smulbb r3, r12, r7\n"
    "    smultb r5, r12, r7\n"
    "    smulbb r4, lr, r7\n"
    "    smultb r6, lr, r7\n"
    "    mt_window_row r0, r7, r10, b\n"
    "    mt_window_add r1, r8, r10, t\n"
    "    mt_window_add r2, r9, r11, b\n"
    "    ldrd r12, lr, [sp]\n"
    "    add lr, r12\n"
    "    strd r5, r6, [lr]\n"
    "    strd r3, r4, [r12], #8\n"
    "    str r12, [sp]\n"
    "    ldr lr, [sp, #8]\n"
    "    cmp r12, lr\n"
    "    bne 1b\n"
    "    add sp, #12\n"
    "    pop {r4-r11, pc}\n"
    ".size mt_correlate_row_3x3, . - mt_correlate_row_3x3\n"
    ".purgem mt_window_row\n"
    ".purgem mt_window_add\n"
    ".text\n");

MT_HOT void mt_plane_pack(const mt_plane_pack_t *p) {
    const int32_t step = p->step, pad = p->pad, only_high = p->only_high, both = p->both, only_low = p->only_low, rows = p->rows;
    const int32_t row_step = p->row_step - step * (only_high + both + only_low), pitch = p->pitch / 4 - (only_high + both + only_low);
    const int8_t *low = p->low, *high = p->high;
    int32_t *to = p->to;
    for (int32_t row = 0; row < rows; row++, low += row_step, high += row_step, to += pitch) {
#pragma GCC unroll 1
        for (int32_t i = only_high; i > 0; i--, low += step, high += step) {
            *to++ = mt_plane_word(pad, *high);
        }
        int32_t i = both;
        if (i & 1) {
            *to++ = mt_plane_word(*low, *high);
            low += step;
            high += step;
        }
#pragma GCC unroll 1
        for (i >>= 1; i > 0; i--) {
            int32_t a = *low, b = *high;
            low += step;
            high += step;
            int32_t c = *low, d = *high;
            low += step;
            high += step;
            to = (int32_t *)mt_store_pair((uint32_t *)to, (uint32_t)mt_plane_word(a, b), (uint32_t)mt_plane_word(c, d));
        }
#pragma GCC unroll 1
        for (i = only_low; i > 0; i--, low += step, high += step) {
            *to++ = mt_plane_word(*low, pad);
        }
    }
}

// Windows at two neighbouring columns, each of both halves: sums[4] of (column, half).
typedef struct {
    int32_t low0, high0, low1, high1;
} four_t;

static inline void store_four(const four_t s, int32_t *to, int32_t half) {
    to[0] = s.low0;
    to[1] = s.low1;
    to[half] = s.high0;
    to[half + 1] = s.high1;
}

// One row of a kernel of three columns: weights w01 (two) and w2.
static inline four_t add_three(four_t s, const int32_t *plane, const int32_t stride, uint32_t w01, uint32_t w2) {
    uint32_t a = (uint32_t)plane[0], b = (uint32_t)plane[1], c = (uint32_t)plane[2], d = (uint32_t)plane[3];
    s.low0 = mt_smlabb(a, w01, s.low0);
    s.high0 = mt_smlatb(a, w01, s.high0);
    s.low0 = mt_smlabt(b, w01, s.low0);
    s.high0 = mt_smlatt(b, w01, s.high0);
    s.low0 = mt_smlabb(c, w2, s.low0);
    s.high0 = mt_smlatb(c, w2, s.high0);
    if (stride == 2) {
        uint32_t e = (uint32_t)plane[4];
        b = c;
        c = d;
        d = e;
    }
    s.low1 = mt_smlabb(b, w01, s.low1);
    s.high1 = mt_smlatb(b, w01, s.high1);
    s.low1 = mt_smlabt(c, w01, s.low1);
    s.high1 = mt_smlatt(c, w01, s.high1);
    s.low1 = mt_smlabb(d, w2, s.low1);
    s.high1 = mt_smlatb(d, w2, s.high1);
    return s;
}

static inline void correlate_3x3(const mt_correlate_t *c, const int32_t stride) {
    const int32_t pitch = c->pitch, half = c->half;
    const int32_t *w = c->weights;
    const uint32_t w01 = (uint32_t)mt_plane_word(w[0], w[1]), w2 = (uint32_t)w[2], w34 = (uint32_t)mt_plane_word(w[3], w[4]), w5 = (uint32_t)w[5];
    const uint32_t w67 = (uint32_t)mt_plane_word(w[6], w[7]), w8 = (uint32_t)w[8];
    int32_t *to = c->sums;
    for (int32_t y = 0; y < c->rows; y++, to += half) {
        const int32_t *plane = c->plane + y * c->stride_h * pitch;
        for (const int32_t *end = to + half; to < end; to += 2, plane += 2 * stride) {
            four_t s = {0};
            s = add_three(s, plane, stride, w01, w2);
            s = add_three(s, plane + pitch, stride, w34, w5);
            s = add_three(s, plane + 2 * pitch, stride, w67, w8);
            store_four(s, to, half);
        }
    }
}

static inline void correlate_rows(const mt_correlate_t *c) {
    const int32_t *w = c->weights, weights[5] = {
        mt_plane_word(w[0], w[1]), mt_plane_word(w[3], w[4]), mt_plane_word(w[6], w[7]), mt_plane_word(w[2], w[5]), w[8],
    };
    for (int32_t y = 0; y < c->rows; y++) {
        mt_correlate_row_3x3(c->plane + y * c->stride_h * c->pitch, 4 * c->pitch, c->sums + 2 * y * c->half, 4 * c->half, weights);
    }
}

static inline void correlate(const mt_correlate_t *c, const int32_t stride) {
    if (c->kernel_h == 3 && c->kernel_w == 3) {
        if (stride == 1) {
            correlate_rows(c);
        } else {
            correlate_3x3(c, stride);
        }
        return;
    }
    int32_t *to = c->sums;
    for (int32_t y = 0; y < c->rows; y++, to += c->half) {
        const int32_t *plane = c->plane + y * c->stride_h * c->pitch;
        for (const int32_t *end = to + c->half; to < end; to += 2, plane += 2 * stride) {
            four_t s = {0};
            const int32_t *row = plane, *w = c->weights;
            for (int32_t ky = c->kernel_h; ky > 0; ky--, row += c->pitch) {
                for (const int32_t *at = row, *stop = row + c->kernel_w; at < stop; at++) {
                    uint32_t a = (uint32_t)at[0], b = (uint32_t)at[stride], weight = (uint32_t)*w++;
                    s.low0 = mt_smlabb(a, weight, s.low0);
                    s.high0 = mt_smlatb(a, weight, s.high0);
                    s.low1 = mt_smlabb(b, weight, s.low1);
                    s.high1 = mt_smlatb(b, weight, s.high1);
                }
            }
            store_four(s, to, c->half);
        }
    }
}

MT_HOT void mt_correlate_1(const mt_correlate_t *c) {
    correlate(c, 1);
}

MT_HOT void mt_correlate_2(const mt_correlate_t *c) {
    correlate(c, 2);
}

MT_HOT void mt_plane_dot_2(const mt_plane_dot_t *d) {
    int32_t s0 = d->sums[0], s1 = d->sums[1];
    const int32_t step = d->step / 4, *b = d->b;
    for (int32_t y = 0; y < d->rows; y++) {
        const int32_t *a = d->a + y * (d->row_step / 4);
        for (const int32_t *end = b + d->half; b < end; b++, a += step) {
            s0 = mt_smladx((uint32_t)a[0], (uint32_t)*b, s0);
            s1 = mt_smladx((uint32_t)a[1], (uint32_t)*b, s1);
        }
    }
    d->sums[0] = s0;
    d->sums[1] = s1;
}

MT_HOT void mt_plane_dot_3(const mt_plane_dot_t *d) {
    int32_t s0 = d->sums[0], s1 = d->sums[1], s2 = d->sums[2];
    const int32_t step = d->step / 4, *b = d->b;
    for (int32_t y = 0; y < d->rows; y++) {
        const int32_t *a = d->a + y * (d->row_step / 4);
        for (const int32_t *end = b + d->half; b < end; b += 2, a += 2 * step) {
            uint32_t first = (uint32_t)b[0], second = (uint32_t)b[1];
            s0 = mt_smladx((uint32_t)a[0], first, s0);
            s1 = mt_smladx((uint32_t)a[1], first, s1);
            s2 = mt_smladx((uint32_t)a[2], first, s2);
            s0 = mt_smladx((uint32_t)a[step], second, s0);
            s1 = mt_smladx((uint32_t)a[step + 1], second, s1);
            s2 = mt_smladx((uint32_t)a[step + 2], second, s2);
        }
    }
    d->sums[0] = s0;
    d->sums[1] = s1;
    d->sums[2] = s2;
}

#endif
