// Sums to int8 through one multiplication of 32 bits: sum * multiplier + offset is the output in units of 2^-24, and right to within a known error.
// Only where it comes that near to the next output is the exact and slow way asked; which is where the function stops. So what it writes is exact.
#ifndef MT_STEPS_H
#define MT_STEPS_H

#include <stdbool.h>
#include <stdint.h>

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
    while (true) {
        for (; s->sums != s->row_end; s->sums++, s->out += s->step, s->mask += kind == MT_STEPS_MASK ? s->mask_step : 0) {
            int32_t sum = *s->sums;
            uint32_t v = (uint32_t)sum * (uint32_t)s->multiplier + (uint32_t)s->offset;
            if (sum > s->high) {
                if (kind != MT_STEPS_CLAMP) {
                    return true;
                }
                *s->out = (int8_t)s->above;
            } else if (sum < s->low) {
                if (kind == MT_STEPS_STOP) {
                    return true;
                }
                *s->out = (int8_t)s->below;
                if (kind == MT_STEPS_MASK) {
                    *s->mask &= (uint8_t)~s->mask_bit;
                }
            } else {
                if (v << 8 < s->uncertain) {
                    return true;
                }
                *s->out = (int8_t)(v >> 24);
            }
        }
        if (!s->rows_left) {
            return false;
        }
        s->rows_left--;
        s->sums += s->gap / 4;
        s->out += s->out_gap;
        s->row_end = s->sums + s->row_bytes / 4;
    }
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

// Goes past the sum at which the function stopped.
static inline void mt_steps_skip(mt_steps_t *s) {
    s->sums++;
    s->out += s->step;
    s->mask += s->mask_step;
}

#endif // MT_STEPS_H
