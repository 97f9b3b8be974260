#include "optim.h"

#include "arch/hot.h"
#include "fixed.h"
#include "momentum.h"
#include "scale.h"

#define MASTER_MAX ((int32_t)1 << 30)

// The step multiplier times the learning rate. A power of two as the rate leaves the mantissa untouched.
static mt_q31_t with_rate(const mt_session_t *s, double multiplier) {
    mt_q31_t step = mt_q31(multiplier);
    int64_t m = ((int64_t)step.mantissa * s->lr_mantissa + ((int64_t)1 << 29)) >> 30;
    if (m > INT32_MAX) {
        m = (m + 1) >> 1;
        step.exponent++;
        if (m > INT32_MAX) {
            m >>= 1;
            step.exponent++;
        }
    }
    step.mantissa = (int32_t)m;
    step.exponent += s->lr_exponent;
    return step;
}

// Of a real gradient in `factor` units, without the rate: a parameter q stands for q * unit, the gradient of q is unit times that of the real
// parameter, and quantisation-aware scaling divides it by unit^2. The samples that are summed count with their mean.
static double step_multiplier(const mt_update_t *u, double unit, double factor) {
    double multiplier = u->qas ? factor / unit : factor * unit;
    return u->session->accumulate > 1 ? multiplier / u->session->accumulate : multiplier;
}

// What momentum.h does to a row's gradient. Returns whether there is to be an update.
static MT_COLD bool apply_rule(const mt_update_t *u, const mt_velocity_t *v, uint32_t row, double multiplier, const mt_parameters_t *p, int32_t *g,
    int32_t n, int *exponent) {
    const mt_session_t *s = u->session;
    bool last = mt_is_last_sample(s);
    if (last && s->weight_decay > 0.0f) {
        mt_add_decay(s, (double)s->weight_decay / multiplier, p, g, n, exponent);
    }
    if (s->momentum || s->accumulate > 1) {
        uint32_t bytes = u->velocity_bytes;
        mt_add_to_velocity(s, v->mantissas + row * (uint32_t)n * bytes, &v->exponents[row], bytes, g, n, exponent);
    }
    return last;
}

#define STEP_MAX ((int32_t)1 << 30) // moves any weight to its clamp

static MT_HOT bool move_weights(uint32_t *rng, mt_q31_t step, int exponent, const int32_t *g, int8_t *w, int8_t *fraction, int32_t n, int32_t *moved) {
    const int bits = fraction ? MT_WEIGHT_FRACTION : 0;
    const int32_t half = fraction ? 1 << (MT_WEIGHT_FRACTION - 1) : 0, most = fraction ? (MT_WEIGHT_MAX << bits) + half - 1 : MT_WEIGHT_MAX;
    int shift = 31 - step.exponent - exponent - bits;
    if (shift > 62) {
        return false;
    }
    if (shift < 1) {
        shift = 1;
    }
    bool clamped = false;
    int32_t sum = 0;
    uint32_t random = *rng;
    for (int32_t i = 0; i < n; i++) {
        if (!g[i]) {
            continue;
        }
        int32_t d;
        if (shift >= 32) {
            mt_xorshift32(&random);
            d = mt_stochastic_product(g[i], -step.mantissa, shift, random);
        } else {
            d = mt_clamp64(mt_stochastic_shift(-(int64_t)g[i] * step.mantissa, shift, &random), -STEP_MAX, STEP_MAX);
        }
        if (!d) {
            continue;
        }
        int32_t next = w[i] * (1 << bits) + (fraction ? fraction[i] : 0) + d;
        if (next > most || next < -most) {
            next = next > 0 ? most : -most;
            clamped = true;
        }
        int32_t whole = (next + half) >> bits;
        if (fraction) {
            fraction[i] = (int8_t)(next - whole * (1 << bits));
        }
        sum += whole - w[i];
        w[i] = (int8_t)whole;
    }
    *rng = random;
    *moved = sum;
    return clamped;
}

bool mt_update_weights(const mt_update_t *u, uint32_t row, float weight_scale, int32_t *g, int8_t *w, int8_t *fraction, int32_t n,
    int32_t *moved) {
    const mt_session_t *s = u->session;
    int exponent = u->exponent;
    *moved = 0;
    if (mt_channel_is_dead(weight_scale, u->largest_scale) || (s->plain && !s->lr_mantissa)) {
        return false;
    }
    double multiplier = step_multiplier(u, (double)weight_scale, (double)u->in_scale);
    mt_parameters_t p = {w, fraction, NULL};
    if (!s->plain && (!apply_rule(u, &u->weights, row, multiplier, &p, g, n, &exponent) || !s->lr_mantissa)) {
        return false;
    }
    return move_weights(s->rng, with_rate(s, multiplier), exponent, g, w, fraction, n, moved);
}

void mt_update_bias(const mt_update_t *u, uint32_t row, float weight_scale, int32_t g, int32_t *master) {
    const mt_session_t *s = u->session;
    int exponent = u->exponent;
    if (*master == MT_BIAS_FROZEN || (s->plain && (!g || !s->lr_mantissa))) {
        return;
    }
    double multiplier = step_multiplier(u, (double)u->in_scale * (double)weight_scale, 1.0);
    mt_parameters_t p = {NULL, NULL, master};
    if (!s->plain && (!apply_rule(u, &u->biases, row, multiplier, &p, &g, 1, &exponent) || !s->lr_mantissa || !g)) {
        return;
    }
    mt_q31_t step = with_rate(s, multiplier);
    int shift = 31 - step.exponent - exponent - MT_BIAS_FRACTION;
    if (shift > 62) {
        return;
    }
    int64_t d, v = -(int64_t)g * step.mantissa;
    if (shift > 0) {
        d = mt_stochastic_shift(v, shift, s->rng);
    } else { // |v| >= 2^30: any shift left ends at the clamp
        d = v > 0 ? (int64_t)1 << 32 : -((int64_t)1 << 32);
    }
    *master = mt_clamp64(*master + d, -MASTER_MAX, MASTER_MAX);
}

void mt_update_observe(const mt_update_t *u, int kind, uint32_t channel, const int32_t *g, uint32_t n) {
    const mt_session_t *s = u->session;
    if (s->tap) {
        s->tap(s->tap_context, u->op, kind, channel, g, n, u->exponent);
    }
}

int32_t mt_bias_master(int32_t bias, float weight_scale, float largest_scale) {
    const int32_t most = MASTER_MAX >> MT_BIAS_FRACTION;
    if (bias > most || bias < -most || mt_channel_is_dead(weight_scale, largest_scale)) {
        return MT_BIAS_FROZEN;
    }
    return bias * (1 << MT_BIAS_FRACTION);
}
