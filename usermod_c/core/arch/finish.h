// From accumulators to outputs: requantised, clamped, mask bits noted; one by one, or four output channels of many pixels at once.
#ifndef MT_ARCH_FINISH_H
#define MT_ARCH_FINISH_H

#include <stdbool.h>

#include "../fixed.h"

#ifndef MT_HIGH_PRODUCTS // whether the processor multiplies to the upper half of 64 bits quickly, for high_products/finish.c
#if defined(__ARM_FEATURE_DSP) || defined(__ARM_ARCH_7M__) || defined(__riscv_mul)
#define MT_HIGH_PRODUCTS 1
#else
#define MT_HIGH_PRODUCTS 0
#endif
#endif

// By value where it is not an assembly function's: a compiler that knows no better reads a structure anew after every int8 that is written.
typedef struct {
    int32_t step; // outputs from one pixel to the next
    int32_t low, high, zero; // the clamp is relative to the zero point
    int8_t *y;
    uint8_t *mask; // a bit an output, all set, to be cleared where it is clamped; or NULL
    int32_t once; // rounded once, not twice
} mt_finish_t;

// Output y[at].
static inline void mt_finish(const mt_finish_t f, int32_t at, int32_t acc, int32_t mult, int32_t shift) {
    int32_t v = f.once ? mt_requantize_once(acc, mult, shift) : mt_requantize(acc, mult, shift);
    int32_t clamped = mt_clamp(v, f.low, f.high);
    f.y[at] = (int8_t)(clamped + f.zero);
    if (f.mask && v != clamped) {
        f.mask[at / 8] &= (uint8_t) ~(1 << at % 8);
    }
}

typedef struct { // of an output channel
    int32_t start; // what its sums begin with
    int32_t mult_low, mult_high; // 16 bits, signed, and the rest
    int32_t shift; // positive: to the right
} mt_finish_row_t;

static inline void mt_finish_row(mt_finish_row_t *row, int32_t start, int32_t mult, int32_t shift) {
    int32_t low = (int16_t)mult;
    row->start = start;
    row->mult_low = low;
    row->mult_high = (int32_t)(((uint32_t)mult - (uint32_t)low) >> 16);
    row->shift = -shift;
}

static inline int32_t mt_finish_mult(const mt_finish_row_t *row) {
    return (int32_t)((uint32_t)row->mult_high * 65536u + (uint32_t)row->mult_low);
}

// Whether mt_finish_rows takes the channel, with sums of k products: it shifts right, and rounded once no accumulator ends at a tie, as the
// multiplier's last bits are not all zero. Cortex-M0+: of 17 bits; with upper halves of products: of what k
// products can give, below 30 bits.
static inline bool mt_finish_takes(int32_t once, const mt_finish_row_t *row, int32_t k) {
    int32_t s = row->shift;
#if MT_HIGH_PRODUCTS
    if (s < 2 || s > 20 || k >= 1 << 15 || mt_abs(row->start) >= 1 << 29) {
        return false;
    }
    return !once || row->mult_low & (mt_abs(row->start) + k * (127 * 128) < 1 << 24 ? 0x1FF : 7);
#else
    (void)k;
    return row->mult_low != INT16_MIN && (once ? s > 1 && row->mult_low : s > 0);
#endif
}

// Four channels of n pixels, n a multiple of 4: sums [channel][n] to y[at + pixel * step + channel].
#if defined(__ARM_ARCH_6M__) || MT_HIGH_PRODUCTS
void mt_finish_rows(const mt_finish_t *f, int32_t at, const mt_finish_row_t rows[4], const int32_t *sums, int32_t n);
#else
static inline void mt_finish_rows(const mt_finish_t *f, int32_t at, const mt_finish_row_t rows[4], const int32_t *sums, int32_t n) {
    for (int32_t row = 0; row < 4; row++) {
        const mt_finish_row_t *r = &rows[row];
        const int32_t start = r->start, mult = mt_finish_mult(r), shift = -r->shift;
        for (int32_t i = 0, to = at + row; i < n; i++, to += f->step) {
            mt_finish(*f, to, start + *sums++, mult, shift);
        }
    }
}
#endif

#endif // MT_ARCH_FINISH_H
