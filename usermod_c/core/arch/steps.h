// Sums to int8 through one multiplication of 32 bits: sum * multiplier + offset is the output in units of 2^-24, and right to within a known error.
// Only where it comes that near to the next output is the exact and slow way asked; which is where the function stops. So what it writes is exact.
#ifndef MT_STEPS_H
#define MT_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "finish.h"

enum { // what becomes of sums beyond [low, high]
    MT_STEPS_CLAMP, // they are `below` and `above`
    MT_STEPS_MASK, // below: `below`, and the mask's bit is cleared; above: stop
    MT_STEPS_STOP, // stop
};

typedef struct {
    // where it stands: moves on
    const int32_t *sums;
    int8_t *out;
    const int32_t *row_end; // of sums
    uint8_t *mask; // its byte of the next output
    int32_t rows_left; // after this one
    // stays
    int32_t multiplier;
    uint32_t uncertain; // fractions below it are; in units of 2^-32
    int32_t offset, low, high;
    int32_t step; // bytes from output to output
    int32_t mask_bit, mask_step;
    int32_t below, above;
    int32_t gap, out_gap, row_bytes; // between two rows, in sums and outputs, and of a row of sums
} mt_steps_t;

// Writes outputs up to a sum that it cannot finish, at which it then stands: true; or all: false.
#if defined(__ARM_ARCH_6M__)
bool mt_steps_clamp(mt_steps_t *s);
bool mt_steps_mask(mt_steps_t *s);
bool mt_steps_stop(mt_steps_t *s);
#else
static inline bool mt_steps(mt_steps_t *s, int kind) {
    const int32_t step = s->step, multiplier = s->multiplier, offset = s->offset, low = s->low, below = s->below, above = s->above; // not read anew
    const uint32_t range = (uint32_t)s->high - (uint32_t)low, uncertain = s->uncertain;
    const int32_t *sums = s->sums, *end = s->row_end;
    int8_t *out = s->out;
    uint8_t *mask = s->mask;
    int32_t rows = s->rows_left;
    bool stopped = false;
    while (true) {
        for (; sums != end; sums++, out += step, mask = kind == MT_STEPS_MASK ? mask + s->mask_step : mask) {
            int32_t sum = *sums;
            if ((uint32_t)sum - (uint32_t)low <= range) {
                uint32_t v = (uint32_t)sum * (uint32_t)multiplier + (uint32_t)offset;
                stopped = v << 8 < uncertain;
                if (stopped) {
                    break;
                }
                *out = (int8_t)(v >> 24);
                continue;
            }
            stopped = kind == MT_STEPS_STOP || (kind == MT_STEPS_MASK && sum > low);
            if (stopped) {
                break;
            }
            *out = (int8_t)(sum < low ? below : above);
            if (kind == MT_STEPS_MASK) {
                *mask &= (uint8_t)~s->mask_bit;
            }
        }
        if (stopped || !rows) {
            break;
        }
        rows--;
        sums += s->gap / 4;
        out += s->out_gap;
        end = sums + s->row_bytes / 4;
    }
    s->sums = sums;
    s->row_end = end;
    s->out = out;
    s->mask = mask;
    s->rows_left = rows;
    return stopped;
}

static inline bool mt_steps_clamp(mt_steps_t *s) {
    return mt_steps(s, MT_STEPS_CLAMP);
}

static inline bool mt_steps_mask(mt_steps_t *s) {
    return mt_steps(s, MT_STEPS_MASK);
}

static inline bool mt_steps_stop(mt_steps_t *s) {
    return mt_steps(s, MT_STEPS_STOP);
}
#endif

// A way without exceptions for outputs clamped to int8 only and not masked. mt_finish_steps_of: whether a channel with sums of k products can go it, and
// sets it up in `multiplier`, `offset`, `low` and `high`.
#if MT_HIGH_PRODUCTS
bool mt_finish_steps_of(mt_steps_t *s, const mt_finish_t *f, const mt_finish_row_t *row, int32_t k);
bool mt_finish_steps_once(mt_steps_t *s);
bool mt_finish_steps_twice(mt_steps_t *s);
#endif

// Goes past the sum at which the function stopped.
static inline void mt_steps_skip(mt_steps_t *s) {
    s->sums++;
    s->out += s->step;
    s->mask = s->mask ? s->mask + s->mask_step : NULL;
}

#endif // MT_STEPS_H
