// What may come between a gradient and its update: weight decay, and a velocity in 8 or 16 bits, which is momentum and also the sum of the
// gradients of several samples. Rows of parameters (an output channel's weights, or one bias) have one exponent.
#ifndef MT_MOMENTUM_H
#define MT_MOMENTUM_H

#include <stdbool.h>
#include <stdint.h>

#include "microtrain.h"

// The sample that updates, of those that are summed; and the next one's turn.
static inline bool mt_is_last_sample(const mt_session_t *s) {
    return s->rng[1] >= s->accumulate - 1u;
}

static inline void mt_next_sample(mt_session_t *s) {
    s->rng[1] = mt_is_last_sample(s) ? 0 : s->rng[1] + 1;
}

typedef struct { // values with 8 fraction bits: weights with or without their fractions, or else one bias
    const int8_t *w, *fraction;
    const int32_t *master;
} mt_parameters_t;

// g[i] * 2^exponent += factor * parameter i. The exponent grows where the sum would not fit.
void mt_add_decay(const mt_session_t *s, double factor, const mt_parameters_t *p, int32_t *g, int32_t n, int *exponent);

// velocity = momentum * velocity + g, which then becomes g: `n` values of `bytes` bytes times 2^velocity_exponent, rounded stochastically.
// Samples after the first of those that are summed have a momentum of 1.
void mt_add_to_velocity(const mt_session_t *s, void *velocity, int8_t *velocity_exponent, uint32_t bytes, int32_t *g, int32_t n, int *exponent);

#endif // MT_MOMENTUM_H
