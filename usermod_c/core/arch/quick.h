// A quick way from sums to outputs: one multiplication, whose result is right to within a known error; where it comes that near to the next output,
// mt_finish has the last word. It takes a while to set up.
#ifndef MT_QUICK_H
#define MT_QUICK_H

#include "finish.h"
#include "xtensa/kernels.h"

#ifndef MT_QUICK // fewest pixels of a channel for which that pays; 0: none do
#if defined(__ARM_ARCH_6M__) || MT_MAC16
#define MT_QUICK 32
#else
#define MT_QUICK 0
#endif
#endif

// ((sum + minus_low) * multiplier + offset) >> 24 is an output, and right where its fraction is not below `uncertain`. Sums below -minus_low are
// clamped; what lies more than `range` above it becomes the largest output, clamped or not.
typedef struct {
    int32_t minus_low;
    uint32_t range, offset;
    uint32_t uncertain; // in units of 2^-32
    uint32_t multiplier;
} mt_quick_t;

// Of `count` channels whose products give sums of `most_sum` at most. False where one has none.
bool mt_quick_of(mt_quick_t *quick, const mt_finish_row_t *rows, int32_t count, const mt_finish_t *f, uint32_t most_sum);

// The same as mt_finish_rows.
#if defined(__ARM_ARCH_6M__)
void mt_quick_rows(const mt_finish_t *f, int32_t at, const mt_finish_row_t rows[4], const mt_quick_t quick[4], const int32_t *sums, int32_t n);
#else
static inline void mt_quick_rows(const mt_finish_t *f, int32_t at, const mt_finish_row_t rows[4], const mt_quick_t quick[4], const int32_t *sums,
    int32_t n) {
    const int32_t step = f->step;
    for (int32_t row = 0; row < 4; row++) {
        const mt_quick_t q = quick[row];
        int8_t *to = f->y + at + row;
        for (const int32_t *end = sums + n; sums < end; sums++, to += step) {
            const uint32_t sum = (uint32_t)*sums + (uint32_t)q.minus_low, v = sum * q.multiplier + q.offset;
            if (sum <= q.range && v << 8 >= q.uncertain) {
                *to = (int8_t)(v >> 24);
            } else {
                const mt_finish_row_t *r = &rows[row];
                mt_finish(*f, (int32_t)(to - f->y), r->start + *sums, mt_finish_mult(r), -r->shift);
            }
        }
    }
}
#endif

#endif // MT_QUICK_H
