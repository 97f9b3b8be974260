#include "optim.h"

#include "arch/hot.h"
#include "fixed.h"
#include "scale.h"

#define MASTER_MAX ((int32_t)1 << 30)

// Step multiplier times learning rate. A power of two as the rate leaves the mantissa untouched.
static mt_q31_t with_rate(const mt_update_t *u, mt_q31_t step) {
    int64_t m = ((int64_t)step.mantissa * u->lr_mantissa + ((int64_t)1 << 29)) >> 30;
    if (m > INT32_MAX) {
        m = (m + 1) >> 1;
        step.exponent++;
        if (m > INT32_MAX) {
            m >>= 1;
            step.exponent++;
        }
    }
    step.mantissa = (int32_t)m;
    step.exponent += u->lr_exponent;
    return step;
}

// Of a real gradient of an operator's weights, at the present rate. A parameter q stands for q * unit, the gradient of q is unit times that of
// the real parameter, and quantisation-aware scaling divides it by unit^2; in_scale is a factor of a weight's gradient only.
static mt_q31_t step_of(const mt_update_t *u, double unit, double factor) {
    return with_rate(u, mt_q31(u->qas ? factor / unit : factor * unit));
}

// v * 2^-shift, rounded up with the probability of what is cut off.
static int64_t stochastic_shift(int64_t v, int shift, uint32_t *rng) {
    uint32_t r = mt_xorshift32(rng);
    int64_t noise = shift > 32 ? (int64_t)r << (shift - 32) : r >> (32 - shift);
    return (v + noise) >> shift;
}

MT_HOT bool mt_update_weights(const mt_update_t *u, float weight_scale, const int32_t *g, int8_t *w, int8_t *fraction, int32_t n, int32_t *moved) {
    *moved = 0;
    if (!u->lr_mantissa || mt_channel_is_dead(weight_scale, u->largest_scale)) {
        return false;
    }
    mt_q31_t step = step_of(u, (double)weight_scale, (double)u->in_scale);
    const int bits = fraction ? MT_WEIGHT_FRACTION : 0;
    const int64_t most = fraction ? (MT_WEIGHT_MAX << bits) + (1 << (bits - 1)) - 1 : MT_WEIGHT_MAX;
    int shift = 31 - step.exponent - u->exponent - bits;
    if (shift > 62) {
        return false;
    }
    if (shift < 1) {
        shift = 1;
    }
    bool clamped = false;
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!g[i]) {
            continue;
        }
        int64_t d = stochastic_shift(-(int64_t)g[i] * step.mantissa, shift, u->rng);
        if (!d) {
            continue;
        }
        int64_t next = w[i] * (1 << bits) + (fraction ? fraction[i] : 0) + d;
        if (next > most || next < -most) {
            next = next > 0 ? most : -most;
            clamped = true;
        }
        int32_t whole = (int32_t)mt_round_shift(next, bits);
        if (fraction) {
            fraction[i] = (int8_t)(next - whole * (1 << bits));
        }
        sum += whole - w[i];
        w[i] = (int8_t)whole;
    }
    *moved = sum;
    return clamped;
}

void mt_update_bias(const mt_update_t *u, float weight_scale, int32_t g, int32_t *master) {
    if (!u->lr_mantissa || !g || *master == MT_BIAS_FROZEN) {
        return;
    }
    mt_q31_t step = step_of(u, (double)u->in_scale * (double)weight_scale, 1.0);
    int shift = 31 - step.exponent - u->exponent - MT_BIAS_FRACTION;
    if (shift > 62) {
        return;
    }
    int64_t d, v = -(int64_t)g * step.mantissa;
    if (shift > 0) {
        d = stochastic_shift(v, shift, u->rng);
    } else { // |v| >= 2^30: any shift left ends at the clamp
        d = v > 0 ? (int64_t)1 << 32 : -((int64_t)1 << 32);
    }
    *master = mt_clamp64(*master + d, -MASTER_MAX, MASTER_MAX);
}

void mt_update_observe(const mt_update_t *u, int kind, uint32_t channel, const int32_t *g, uint32_t n) {
    if (u->tap) {
        u->tap(u->tap_context, u->op, kind, channel, g, n, u->exponent);
    }
}

int32_t mt_bias_master(int32_t bias, float weight_scale, float largest_scale) {
    const int32_t most = MASTER_MAX >> MT_BIAS_FRACTION;
    if (bias > most || bias < -most || mt_channel_is_dead(weight_scale, largest_scale)) {
        return MT_BIAS_FROZEN;
    }
    return bias * (1 << MT_BIAS_FRACTION);
}
