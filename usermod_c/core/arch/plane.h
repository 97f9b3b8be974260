// One channel of an activation as a plane of words that hold two columns each, `half` windows apart: x[i] + (x[i + apart] << 16). A weight times
// such a word is two products, for outputs `half` columns apart, whatever the width of the kernel and the stride; and a word times a word with its
// columns swapped holds the sum of both columns' products in its upper half. Where they pay see panel.h. Two products fit a lane of 16 bits, as one
// operand (weights, gradients) keeps to [-127, 127].
#ifndef MT_PLANE_H
#define MT_PLANE_H

#include <stdint.h>

#include "rv32/kernels.h"
#include "xtensa/kernels.h"

#ifndef MT_PLANES // whether they pay
#if defined(__ARM_ARCH_6M__) || defined(__ARM_FEATURE_DSP) || MT_RV32 || MT_MAC16
#define MT_PLANES 1
#else
#define MT_PLANES 0
#endif
#endif

// Bytes from column to column of a row. Where it is 2, words hold two neighbours instead of what is said above.
#if defined(__ARM_FEATURE_DSP)
#define MT_PLANE_COLUMN 2
#include "armv7em/plane.h"
#else
#define MT_PLANE_COLUMN 4
// A product, or the sum of two, to the sums of whole words and of upper halves.
static inline void mt_take_lanes(int32_t product, uint32_t *whole, int32_t *high) {
    *whole += (uint32_t)product;
    *high += (product + 0x8000) >> 16;
}

// The upper half of a word is one less than its pixel where the lower is negative.
static inline int32_t mt_plane_word(int32_t low, int32_t high) {
    return low + high * 65536;
}

// Of both halves, gradients.
static inline int32_t mt_plane_sum(const int32_t *words, int32_t n) {
    int32_t sum = 0;
    for (const int32_t *end = words + n; words < end;) {
        const int32_t *stop = end - words > 256 ? words + 256 : end; // as many fit into a lane of 16 bits
        uint32_t whole = 0;
        while (words < stop) {
            whole += (uint32_t)*words++;
        }
        int32_t low = (int16_t)whole;
        sum += low + (((int32_t)whole - low) >> 16);
    }
    return sum;
}

typedef struct { // rows of pixels -> rows of a plane
    const int8_t *low, *high; // what goes to the lower and the upper halves of the first word
    int32_t *to;
    int32_t step, row_step; // bytes from pixel to pixel, from row to row
    int32_t pitch; // bytes from row to row of the plane
    int32_t rows;
    int32_t only_high, both, only_low; // words of a row, in this order; where there is no pixel, the half is `pad`
    int32_t pad;
} mt_plane_pack_t;
#endif

typedef struct {
    const void *plane; // [..][pitch]
    const int32_t *weights; // [kernel_h][kernel_w]
    int32_t *sums; // [rows][2 * half]
    int32_t pitch; // words
    int32_t half, rows; // half is even
    int32_t kernel_h, kernel_w, stride_h;
} mt_correlate_t;

typedef struct { // a[i] . b[i] over `rows` rows of `half` words
    const void *a; // column 0
    const int32_t *b; // has no gaps, and its halves swapped where MT_PLANE_COLUMN is 4
    int32_t *sums; // of a from column 0, 1, 2 on; these are added to
    int32_t rows, half; // half is even
    int32_t step, row_step; // bytes from window to window of a, from row to row
} mt_plane_dot_t;

#define MT_CORRELATE_WIDTH 8 // widest kernel

#if defined(__ARM_ARCH_6M__) || defined(__ARM_FEATURE_DSP)
void mt_plane_pack(const mt_plane_pack_t *p);
void mt_correlate_1(const mt_correlate_t *c);
void mt_correlate_2(const mt_correlate_t *c);
void mt_plane_dot_2(const mt_plane_dot_t *d);
void mt_plane_dot_3(const mt_plane_dot_t *d);
#else

static inline void mt_plane_pack(const mt_plane_pack_t *p) {
    for (int32_t row = 0; row < p->rows; row++) {
        int32_t *to = p->to + row * p->pitch / 4, at = row * p->row_step;
        for (int32_t i = 0; i < p->only_high + p->both + p->only_low; i++, at += p->step) {
            int32_t low = i < p->only_high ? p->pad : p->low[at], high = i < p->only_high + p->both ? p->high[at] : p->pad;
            to[i] = mt_plane_word(low, high);
        }
    }
}

static inline void mt_correlate_3x3(const mt_correlate_t *c, const int32_t stride_w) {
    const int32_t *w = c->weights, half = c->half, pitch = c->pitch;
    const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6], w7 = w[7], w8 = w[8];
    int32_t *to = c->sums;
    for (int32_t y = 0; y < c->rows; y++, to += half) {
        const int32_t *a = (const int32_t *)c->plane + y * c->stride_h * pitch, *b = a + pitch, *d = b + pitch;
        for (const int32_t *end = to + half; to < end; to++, a += stride_w, b += stride_w, d += stride_w) {
            uint32_t whole = 0;
            int32_t high = 0;
            mt_take_lanes(w0 * a[0] + w1 * a[1], &whole, &high);
            mt_take_lanes(w2 * a[2] + w3 * b[0], &whole, &high);
            mt_take_lanes(w4 * b[1] + w5 * b[2], &whole, &high);
            mt_take_lanes(w6 * d[0] + w7 * d[1], &whole, &high);
            mt_take_lanes(w8 * d[2], &whole, &high);
            to[0] = (int32_t)(whole - ((uint32_t)high << 16));
            to[half] = high;
        }
    }
}

static inline void mt_correlate(const mt_correlate_t *c, const int32_t stride_w) {
    if (c->kernel_h == 3 && c->kernel_w == 3) {
        mt_correlate_3x3(c, stride_w);
        return;
    }
    const int32_t half = c->half, kernel_h = c->kernel_h, kernel_w = c->kernel_w, pitch = c->pitch, rows = c->rows, row_step = c->stride_h * pitch;
    const int32_t *weights = c->weights, *first = c->plane;
    int32_t *to = c->sums;
    for (int32_t y = 0; y < rows; y++, to += half, first += row_step) {
        const int32_t *window = first;
        for (const int32_t *end = to + half; to < end; to++, window += stride_w) {
            const int32_t *row = window, *w = weights;
            uint32_t whole = 0;
            int32_t high = 0;
            for (int32_t ky = 0; ky < kernel_h; ky++, row += pitch, w += kernel_w) {
                int32_t kx = 0;
                for (; kx + 1 < kernel_w; kx += 2) {
                    mt_take_lanes(w[kx] * row[kx] + w[kx + 1] * row[kx + 1], &whole, &high);
                }
                if (kx < kernel_w) {
                    mt_take_lanes(w[kx] * row[kx], &whole, &high);
                }
            }
            to[0] = (int32_t)(whole - ((uint32_t)high << 16));
            to[half] = high;
        }
    }
}

static inline void mt_correlate_1(const mt_correlate_t *c) {
    mt_correlate(c, 1);
}

static inline void mt_correlate_2(const mt_correlate_t *c) {
    mt_correlate(c, 2);
}

static inline void mt_plane_dot(const mt_plane_dot_t *d, const int32_t taps) {
    int32_t sums[3] = {0};
    const int32_t *b = d->b;
    for (int32_t y = 0; y < d->rows; y++) {
        const int32_t *a = (const int32_t *)d->a + y * (d->row_step / 4);
        for (const int32_t *end = b + d->half; b < end; b++, a += d->step / 4) {
            for (int32_t t = 0; t < taps; t++) { // below the sum of both products is that of the lower halves, which 16 bits hold
                sums[t] += (int32_t)((uint32_t)a[t] * (uint32_t)*b + 0x8000) >> 16;
            }
        }
    }
    for (int32_t t = 0; t < taps; t++) {
        d->sums[t] += sums[t];
    }
}

static inline void mt_plane_dot_2(const mt_plane_dot_t *d) {
    mt_plane_dot(d, 2);
}

static inline void mt_plane_dot_3(const mt_plane_dot_t *d) {
    mt_plane_dot(d, 3);
}

#endif

#endif // MT_PLANE_H
