#include "loss.h"

#include "../fixed.h"

#define LOG2_E_Q16 94548 // log2(e) * 2^16
#define LN_2_Q32 2977044472u // ln(2) * 2^32
#define ONE_BITS 24 // exp2_table[0] = 1.0

// round(2^24 * 2^(-k/64)), k = 0..64
static const uint32_t exp2_table[65] = {
    16777216, 16596492, 16417715, 16240863, 16065917, 15892855, 15721658, 15552304, 15384775, 15219050, 15055111,
    14892937, 14732511, 14573813, 14416824, 14261526, 14107901, 13955931, 13805598, 13656884, 13509772, 13364245,
    13220286, 13077877, 12937002, 12797645, 12659789, 12523418, 12388516, 12255067, 12123055, 11992466, 11863283,
    11735492, 11609078, 11484025, 11360319, 11237946, 11116891, 10997140, 10878679, 10761494, 10645571, 10530897,
    10417458, 10305242, 10194234, 10084422, 9975792, 9868333, 9762032, 9656875, 9552851, 9449948, 9348154,
    9247455, 9147842, 9049301, 8951823, 8855394, 8760003, 8665641, 8572295, 8479954, 8388608,
};

int mt_loss_bits(uint32_t n) {
    int bits = MT_LOSS_GRADIENT_BITS;
    for (uint32_t most = 516; n > most && bits > 1; most *= 2) {
        bits--;
    }
    return bits;
}

// e^(-d) in Q24 for d >= 0 in Q16; 0 below 2^-24.
static uint32_t exp_negative(uint32_t d) {
    uint64_t t = ((uint64_t)d * LOG2_E_Q16) >> 16;
    uint32_t whole = t >> 16 > 31 ? 31 : (uint32_t)(t >> 16), fraction = t & 0xFFFF, k = fraction >> 10;
    uint32_t u = exp2_table[k] - (((exp2_table[k] - exp2_table[k + 1]) * (fraction & 1023)) >> 10);
    return whole > ONE_BITS ? 0 : u >> whole;
}

// log2 in Q16 of x >= 1.
static uint32_t log2_q16(uint64_t x) {
    uint32_t whole = 63;
    while (!(x >> 63)) {
        x <<= 1;
        whole--;
    }
    uint64_t m = x >> 32; // Q31 in [1, 2)
    uint32_t result = whole;
    for (int i = 0; i < 16; i++) { // squaring doubles the logarithm
        m = (m * m) >> 31;
        result <<= 1;
        if (m >> 32) {
            m >>= 1;
            result |= 1;
        }
    }
    return result;
}

// g (any int32) to `bits` magnitude bits with the exponent that loses least.
static void quantize_gradient(const int32_t *g, uint32_t n, int bits, int exponent, int16_t *gradient, int *result_exponent) {
    uint32_t seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        seen |= (uint32_t)mt_abs(g[i]);
    }
    int shift = mt_bit_length(seen) - bits;
    int32_t most = (1 << bits) - 1;
    for (uint32_t i = 0; i < n; i++) {
        gradient[i] = (int16_t)mt_clamp64(mt_round_shift(g[i], shift), -most, most);
    }
    *result_exponent = exponent + shift;
}

uint32_t mt_cross_entropy(const int32_t *logits, uint32_t n, uint32_t label, int bits, int16_t *gradient, int *exponent, uint32_t *weights) {
    int32_t largest = logits[0];
    for (uint32_t i = 1; i < n; i++) {
        largest = logits[i] > largest ? logits[i] : largest;
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        weights[i] = exp_negative((uint32_t)largest - (uint32_t)logits[i]);
        sum += weights[i];
    }
    uint64_t reciprocal = ((uint64_t)1 << 54) / sum;
    int32_t others = 0;
    int32_t *g = (int32_t *)weights; // Q30, in place
    for (uint32_t i = 0; i < n; i++) {
        g[i] = (int32_t)((weights[i] * reciprocal) >> 24);
        others += i == label ? 0 : g[i];
    }
    g[label] = -others;
    quantize_gradient(g, n, bits, -30, gradient, exponent);
    uint64_t log_sum = (log2_q16(sum) - ((uint32_t)ONE_BITS << 16)) * (uint64_t)LN_2_Q32 >> 32;
    uint64_t loss = (uint32_t)largest - (uint32_t)logits[label] + log_sum;
    return loss > UINT32_MAX ? UINT32_MAX : (uint32_t)loss;
}

uint32_t mt_mean_squared_error(const int32_t *outputs, const int32_t *targets, uint32_t n, int bits, int16_t *gradient, int *exponent) {
    // 2 / n = factor * 2^(factor_exponent - 15), factor in [2^14, 2^15)
    int factor_exponent = 2 - mt_bit_length(n - 1);
    uint32_t factor = (uint32_t)((((uint64_t)1 << (31 - factor_exponent + 1)) / n + (1u << 15)) >> 16);
    uint64_t sum = 0;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < n; i++) {
        int32_t d = mt_clamp64((int64_t)outputs[i] - targets[i], -INT32_MAX, INT32_MAX);
        seen |= (uint32_t)mt_abs(d);
        sum += ((uint64_t)((int64_t)d * d) >> 16);
    }
    // d * factor spans bit_length(d) + 15 bits
    int shift = mt_bit_length(seen) + 15 - bits;
    int32_t most = (1 << bits) - 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t d = mt_clamp64((int64_t)outputs[i] - targets[i], -INT32_MAX, INT32_MAX);
        gradient[i] = (int16_t)mt_clamp64(mt_round_shift(d * factor, shift), -most, most);
    }
    *exponent = factor_exponent - 15 - 16 + shift;
    sum /= n;
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

void mt_softmax_forward(const int8_t *x, uint32_t n, float scale, int8_t *y, uint32_t *weights) {
    int32_t largest = x[0];
    for (uint32_t i = 1; i < n; i++) {
        largest = x[i] > largest ? x[i] : largest;
    }
    uint32_t unit = scale < 32768.0f ? (uint32_t)(scale * 65536.0f + 0.5f) : INT32_MAX; // Q16
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t d = (uint64_t)(largest - x[i]) * unit;
        weights[i] = exp_negative(d > UINT32_MAX ? UINT32_MAX : (uint32_t)d);
        sum += weights[i];
    }
    for (uint32_t i = 0; i < n; i++) {
        int32_t p = (int32_t)(((uint64_t)weights[i] * 256 + sum / 2) / sum);
        y[i] = (int8_t)mt_clamp(p - 128, -128, 127);
    }
}
