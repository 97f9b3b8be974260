// mt_finish_rows (../finish.h) with the upper half of a product: rounding is an addition to it and a shift, and the zero point is in what is added.
#include "../finish.h"
#include "../rv32/kernels.h"
#include "../steps.h"

#if MT_HIGH_PRODUCTS

#include "../hot.h"
#if defined(__ARM_FEATURE_DSP)
#include "../armv7em/dsp.h"
#else
static inline int32_t mt_top_add(int32_t a, int32_t b, int32_t sum) {
    return sum + (int32_t)((int64_t)a * b >> 32);
}

#if !MT_RV32
static inline int32_t mt_rounded_top_add(int32_t a, int32_t b, int32_t sum) {
    int64_t product = (int64_t)a * b;
    return sum + (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
}
#endif

static inline int32_t mt_saturate8(int32_t a) {
    return mt_clamp(a, INT8_MIN, INT8_MAX);
}

static inline int8_t *mt_store_four(int8_t *to, int32_t step, int32_t a, int32_t b, int32_t c, int32_t d) {
    to[0] = (int8_t)a;
    to[step] = (int8_t)b;
    to[2 * step] = (int8_t)c;
    to[3 * step] = (int8_t)d;
    return to + 4 * step;
}

static inline const int32_t *mt_load_four(const int32_t *from, int32_t *a, int32_t *b, int32_t *c, int32_t *d) {
    *a = from[0];
    *b = from[1];
    *c = from[2];
    *d = from[3];
    return from + 4;
}
#endif

typedef struct { // of a channel
    int32_t start, mult, add, shift;
} channel_t;

static inline channel_t channel_of(const mt_finish_t *f, const mt_finish_row_t *row) {
    int32_t shift = row->shift - (f->once != 0);
    return (channel_t) {row->start, mt_finish_mult(row), (1 << (shift - 1)) + f->zero * (1 << shift), shift};
}

// Rounded, not clamped, with the zero point.
static inline int32_t rounded(const channel_t c, int32_t sum, const bool once) {
    int32_t acc = c.start + sum;
    if (once) { // there are no ties: mt_finish_takes
        return mt_top_add(acc, c.mult, c.add) >> c.shift;
    }
    // ties away from zero; an accumulator below zero whose first rounding gives 0 ends at 0 as well
#if MT_RV32 // twice the multiplier, which is not negative, has 32 bits
    int64_t product = (int64_t)acc * (int64_t)(2 * (uint32_t)c.mult);
    int32_t top = c.add + (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
#else
    int32_t top = mt_rounded_top_add(2 * acc, c.mult, c.add);
#endif
    return (top + (acc >> 31)) >> c.shift;
}

// One channel, clamped to int8 only.
static inline void finish(const mt_finish_t *f, int8_t *y, const mt_finish_row_t *row, const int32_t *sums, int32_t n, const bool once) {
    const channel_t c = channel_of(f, row);
    const int32_t step = f->step;
    for (const int32_t *end = sums + n; sums < end;) {
        int32_t s0, s1, s2, s3;
        sums = mt_load_four(sums, &s0, &s1, &s2, &s3);
        s0 = mt_saturate8(rounded(c, s0, once));
        s1 = mt_saturate8(rounded(c, s1, once));
        s2 = mt_saturate8(rounded(c, s2, once));
        s3 = mt_saturate8(rounded(c, s3, once));
        y = mt_store_four(y, step, s0, s1, s2, s3);
    }
}

// One channel from y[at] on, clamped to less than int8 or with a mask.
static void finish_clamped(const mt_finish_t *f, int32_t at, const mt_finish_row_t *row, const int32_t *sums, int32_t n) {
    const channel_t c = channel_of(f, row);
    const int32_t low = f->low + f->zero, high = f->high + f->zero;
    for (int32_t i = 0; i < n; i++, at += f->step) {
        int32_t v = f->once ? rounded(c, sums[i], true) : rounded(c, sums[i], false);
        if (v < low || v > high) {
            v = v < low ? low : high;
            if (f->mask) {
                f->mask[at / 8] &= (uint8_t) ~(1 << at % 8);
            }
        }
        f->y[at] = (int8_t)v;
    }
}

static inline bool finish_steps(mt_steps_t *s, const bool once) {
    const channel_t c = {s->low, s->multiplier, s->offset, s->high};
    const int32_t step = s->step, gap = s->gap / 4, out_gap = s->out_gap, row = s->row_bytes / 4;
    const int32_t *sums = s->sums, *end = s->row_end;
    int8_t *out = s->out;
    for (int32_t left = s->rows_left; left >= 0; left--, sums += gap, out += out_gap, end = sums + row) {
        if ((end - sums) & 1) {
            *out = (int8_t)mt_saturate8(rounded(c, *sums++, once));
            out += step;
        }
        for (; sums < end; sums += 2, out += 2 * step) {
            int32_t a = sums[0], b = sums[1];
            out[0] = (int8_t)mt_saturate8(rounded(c, a, once));
            out[step] = (int8_t)mt_saturate8(rounded(c, b, once));
        }
    }
    return false;
}

MT_HOT bool mt_finish_steps_once(mt_steps_t *s) {
    return finish_steps(s, true);
}

MT_HOT bool mt_finish_steps_twice(mt_steps_t *s) {
    return finish_steps(s, false);
}

bool mt_finish_steps_of(mt_steps_t *s, const mt_finish_t *f, const mt_finish_row_t *row, int32_t k) {
    if (f->mask || f->low + f->zero > INT8_MIN || f->high + f->zero < INT8_MAX || !mt_finish_takes(f->once, row, k)) {
        return false;
    }
    const channel_t c = channel_of(f, row);
    s->low = c.start;
    s->multiplier = c.mult;
    s->offset = c.add;
    s->high = c.shift;
    return true;
}

MT_HOT void mt_finish_rows(const mt_finish_t *f, int32_t at, const mt_finish_row_t rows[4], const int32_t *sums, int32_t n) {
    bool clamps = f->mask || f->low + f->zero > INT8_MIN || f->high + f->zero < INT8_MAX;
    for (int32_t row = 0; clamps && row < 4; row++) {
        finish_clamped(f, at + row, &rows[row], sums + row * n, n);
    }
    for (int32_t row = 0; !clamps && row < 4; row++) {
        if (f->once) {
            finish(f, f->y + at + row, &rows[row], sums + row * n, n, true);
        } else {
            finish(f, f->y + at + row, &rows[row], sums + row * n, n, false);
        }
    }
}

#endif
