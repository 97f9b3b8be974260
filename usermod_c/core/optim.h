// Update rules: real-valued SGD in quantised units with stochastic rounding, in place, one output channel at a time.
#ifndef MT_OPTIM_H
#define MT_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

#include "microtrain.h"

#define MT_WEIGHT_MAX 127
#define MT_WEIGHT_FRACTION 8
#define MT_BIAS_FRACTION 8 // bits of a trained bias below the accumulator's unit
#define MT_BIAS_FROZEN INT32_MIN // master value of a bias that is not trained: the image's is used

typedef struct { // sums of gradients, in rows with one exponent each
    uint8_t *mantissas; // i8 or i16
    int8_t *exponents;
} mt_velocity_t;

typedef struct { // what one operator's update needs besides its gradient
    const mt_session_t *session;
    uint32_t op;
    float in_scale;
    float largest_scale; // of the operator's channels
    int exponent; // of the gradient
    bool qas; // quantisation-aware scaling; else SGD on the quantised parameters as they are
    uint8_t velocity_bytes; // of a mantissa
    mt_velocity_t weights, biases;
} mt_update_t;

// w[i] -= lr * g[i] * 2^exponent * in_scale / weight_scale (without QAS: * weight_scale), rounded stochastically, clamped to +-127.
// `fraction`, where not NULL, holds 8 more bits of each weight, which is then w * 256 + fraction in units of 1/256.
// g becomes what it is with weight decay and momentum (momentum.h); `row` counts the rows of n weights.
// `*moved` receives the sum of all changes. Returns whether a weight met the clamp.
bool mt_update_weights(const mt_update_t *u, uint32_t row, float weight_scale, int32_t *g, int8_t *w, int8_t *fraction, int32_t n,
    int32_t *moved);
// *master -= lr * g * 2^exponent / (in_scale * weight_scale) * 2^MT_BIAS_FRACTION (without QAS: * in_scale * weight_scale).
void mt_update_bias(const mt_update_t *u, uint32_t row, float weight_scale, int32_t g, int32_t *master);
void mt_update_observe(const mt_update_t *u, int kind, uint32_t channel, const int32_t *g, uint32_t n);

// A bias in the accumulator's unit as its master holds it, or MT_BIAS_FROZEN where it cannot be trained.
int32_t mt_bias_master(int32_t bias, float weight_scale, float largest_scale);
static inline int32_t mt_bias_value(int32_t master, int32_t frozen) {
    return master == MT_BIAS_FROZEN ? frozen : (master + (1 << (MT_BIAS_FRACTION - 1))) >> MT_BIAS_FRACTION;
}

#endif // MT_OPTIM_H
