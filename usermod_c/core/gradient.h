// Gradient tensors: int8 values (or 12 bits in an int16) with one power-of-two exponent, rounded to nearest, and the shift rule R7
// that picks the exponent.
#ifndef MT_GRADIENT_H
#define MT_GRADIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microtrain.h"

#define MT_FOLD_MAX 32767

typedef struct { // of an operator's output
    const void *data; // int8_t, or int16_t
    bool wide;
} mt_gradient_t;

static inline int32_t mt_gradient_at(mt_gradient_t g, int32_t i) {
    return g.wide ? ((const int16_t *)g.data)[i] : ((const int8_t *)g.data)[i];
}

// Bytes of an element of a gradient tensor, and its largest magnitude.
static inline uint32_t mt_gradient_bytes(uint32_t bits) {
    return bits > 8 ? 2 : 1;
}

static inline int32_t mt_gradient_max(uint32_t bits) {
    return ((int32_t)1 << (bits - 1)) - 1;
}

// Whether at most `zeros` of four of the n elements are zero, as far as some of them tell.
bool mt_gradient_is_dense(mt_gradient_t g, int32_t n, int32_t zeros);

typedef struct { // where an input gradient goes, and what the pass saw
    void *out; // int8_t, or int16_t where bits > 8
    const void *skip; // gradient from another consumer of the tensor, of the same type, or NULL
    void *scratch; // of the pass
    int32_t first, end; // what it covers, where it may be halved: pixels of a convolution, input channels of a depthwise one
    int bits;
    int skip_shift; // its exponent minus the accumulator's
    int pre_shift; // accumulators are shifted right by this first, so that the skip fits
    int shift;
    uint32_t seen_bits; // OR of all magnitudes
    uint32_t over; // accumulators >= 2^(bits - 1) << shift
    uint32_t saturated; // results clamped
} mt_gradient_out_t;

// Adds the waiting gradient to `acc[0..n)`, elements from `index`, and stores them.
void mt_gradient_store(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n);

typedef struct { // sums of `columns` elements of `rows` pixels
    const int32_t *sums;
    int32_t row_step, column_step; // from one to the next
    int32_t rows, columns;
} mt_gradient_sums_t;

// The same for a block of sums; elements of its rows begin at index, index + pitch and so on.
void mt_gradient_store_rows(mt_gradient_out_t *g, const mt_gradient_sums_t *s, size_t index, size_t pitch);

// Runs one input-gradient pass over the tensor; must be repeatable: its inputs stay as they are.
typedef void (*mt_gradient_pass_t)(const void *context, mt_gradient_out_t *out);

// Runs `pass` with the kept shift, again with the exact one where it fits badly (rule R7), and advances the kept shift.
// `acc_exponent` is the accumulators' exponent, `skip_exponent` that of the waiting gradient. Returns the exponent of the result.
int mt_gradient_run(mt_gradient_pass_t pass, const void *context, mt_gradient_out_t *out, size_t n, mt_shift_t *state, int acc_exponent,
    int skip_exponent, bool exact);

// mask = 1 where a gradient may pass: (not clamped below, if `low` stops) and (not above, if `high` stops).
typedef struct {
    int32_t act_min, act_max;
    bool low, high;
} mt_clamp_mask_t;

// All n bits set.
void mt_mask_set(uint8_t *bits, size_t n);
// Bit i of `bits` for element i.
void mt_mask_from_output(const mt_clamp_mask_t *m, const int8_t *y, uint8_t *bits, size_t n);
// to[i] = mask ? from[i] : 0; `bits`, or where NULL the kept output `y`, says the mask. from == to is allowed.
void mt_mask_apply(const mt_clamp_mask_t *m, const uint8_t *bits, const int8_t *y, mt_gradient_t from, void *to, size_t n);

// Terms a gradient's fold may be summed over, and what is shifted out so that the sum stays in int32: h = q * M >> (15 - extra).
int mt_fold_extra(uint32_t terms, int gradient_bits);

#endif // MT_GRADIENT_H
