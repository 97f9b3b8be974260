// One channel of an activation as a plane of words that hold two columns each, `half` windows apart: x[i] + (x[i + apart] << 16). A weight times
// such a word is two products, for outputs `half` columns apart, whatever the width of the kernel and the stride; and a word times a word with its
// columns swapped holds the sum of both columns' products in its upper half. Two products fit a lane of 16 bits, as one
// operand (weights, gradients) keeps to [-127, 127].
#ifndef MT_PLANE_H
#define MT_PLANE_H

#include <stdint.h>

#ifndef MT_PLANES // whether they pay
#if defined(__ARM_ARCH_6M__)
#define MT_PLANES 1
#else
#define MT_PLANES 0
#endif
#endif

typedef struct { // rows of pixels -> rows of a plane
    const int8_t *low, *high; // what goes to the lower and the upper halves of the first word
    int32_t *to;
    int32_t step, row_step; // bytes from pixel to pixel, from row to row
    int32_t pitch; // bytes from row to row of the plane
    int32_t rows;
    int32_t only_high, both, only_low; // words of a row, in this order; where there is no pixel, the half is `pad`
    int32_t pad;
} mt_plane_pack_t;

typedef struct {
    const int32_t *plane, *weights; // [..][pitch], [kernel_h][kernel_w]
    int32_t *sums; // [rows][2][half]
    int32_t pitch; // words
    int32_t half, rows; // half is even
    int32_t kernel_h, kernel_w, stride_h;
} mt_correlate_t;

typedef struct { // a[i] . b[i] over `rows` rows of `half` words
    const int32_t *a, *b; // b has its halves swapped and no gaps
    int32_t *sums; // of a from column 0, 1, 2 on; these are added to
    int32_t rows, half; // half is even
    int32_t step, row_step; // bytes from word to word of a, from row to row
} mt_plane_dot_t;

#define MT_CORRELATE_WIDTH 8 // widest kernel

#if defined(__ARM_ARCH_6M__)
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
            to[i] = low + high * 65536;
        }
    }
}

static inline void mt_correlate(const mt_correlate_t *c, int32_t stride_w) {
    for (int32_t y = 0; y < c->rows; y++) {
        for (int32_t x = 0; x < c->half; x++) {
            int32_t low_sum = 0, high_sum = 0;
            for (int32_t t = 0; t < c->kernel_h * c->kernel_w; t++) {
                int32_t word = c->plane[(y * c->stride_h + t / c->kernel_w) * c->pitch + x * stride_w + t % c->kernel_w], low = (int16_t)word;
                low_sum += c->weights[t] * low;
                high_sum += c->weights[t] * ((word - low) / 65536);
            }
            c->sums[2 * y * c->half + x] = low_sum;
            c->sums[(2 * y + 1) * c->half + x] = high_sum;
        }
    }
}

static inline void mt_correlate_1(const mt_correlate_t *c) {
    mt_correlate(c, 1);
}

static inline void mt_correlate_2(const mt_correlate_t *c) {
    mt_correlate(c, 2);
}

static inline void mt_plane_dot(const mt_plane_dot_t *d, int32_t taps) {
    for (int32_t y = 0; y < d->rows; y++) {
        for (int32_t x = 0; x < d->half; x++) {
            int32_t b = d->b[y * d->half + x], b_low = (int16_t)b, b_high = (b - b_low) / 65536;
            for (int32_t t = 0; t < taps; t++) {
                int32_t a = d->a[(y * d->row_step + x * d->step) / 4 + t], a_low = (int16_t)a;
                d->sums[t] += a_low * b_high + (a - a_low) / 65536 * b_low;
            }
        }
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
