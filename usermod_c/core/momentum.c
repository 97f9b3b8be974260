#include "momentum.h"

#include "arch/hot.h"
#include "fixed.h"
#include "scale.h"

#define VALUE_FRACTION 8
#define KEEP_BITS 15 // of the momentum

MT_COLD void mt_add_decay(const mt_session_t *s, double factor, const mt_parameters_t *p, int32_t *g, int32_t n, int *exponent) {
    mt_q31_t f = mt_q31(factor);
    int shift = 31 - f.exponent + VALUE_FRACTION + *exponent;
    int coarser = (p->master ? 31 : 16) - shift; // values have 30 or 15 bits: less than 2^30 remains
    coarser = coarser < 0 ? 0 : coarser;
    shift += coarser;
    *exponent += coarser;
    for (int32_t i = 0; i < n; i++) {
        if (coarser && g[i]) {
            g[i] = coarser > 62 ? 0 : (int32_t)mt_stochastic_shift(g[i], coarser, s->rng);
        }
        int32_t value = p->master ? *p->master : p->w[i] * (1 << VALUE_FRACTION) + (p->fraction ? p->fraction[i] : 0);
        if (value && shift <= 62) {
            int64_t decay = mt_stochastic_shift((int64_t)value * f.mantissa, shift, s->rng);
            g[i] = mt_clamp64(g[i] + decay, -INT32_MAX, INT32_MAX);
        }
    }
}

typedef struct { // the two terms of a row's sum, moved to one unit: fewer than 62 bits each
    const void *velocity;
    const int32_t *g;
    uint32_t bytes;
    int32_t keep; // Q15
    int kept_down, g_down; // shifts; negative is up, by 31 at most
} blend_t;

static int32_t velocity_at(const void *velocity, uint32_t bytes, int32_t i) {
    return bytes == 1 ? ((const int8_t *)velocity)[i] : ((const int16_t *)velocity)[i];
}

static MT_COLD int64_t blend_at(const blend_t *b, int32_t i) {
    return mt_round_shift(velocity_at(b->velocity, b->bytes, i) * b->keep, b->kept_down) + mt_round_shift(b->g[i], b->g_down);
}

// The exponent of the sum, which resolves the larger term to 31 more bits at most.
static MT_COLD int find_unit(blend_t *b, int32_t n, int kept_exponent, int g_exponent) {
    int32_t kept_any = 0, g_any = 0;
    for (int32_t i = 0; i < n; i++) {
        kept_any |= velocity_at(b->velocity, b->bytes, i) * b->keep;
        g_any |= b->g[i];
    }
    kept_exponent = kept_any ? kept_exponent : g_exponent;
    g_exponent = g_any ? g_exponent : kept_exponent;
    int high = kept_exponent > g_exponent ? kept_exponent : g_exponent, low = kept_exponent + g_exponent - high;
    int unit = low > high - 31 ? low : high - 31;
    b->kept_down = mt_clamp(unit - kept_exponent, -31, 62);
    b->g_down = mt_clamp(unit - g_exponent, -31, 62);
    return unit;
}

MT_COLD void mt_add_to_velocity(const mt_session_t *s, void *velocity, int8_t *velocity_exponent, uint32_t bytes, int32_t *g, int32_t n, int *exponent) {
    blend_t b = {.velocity = velocity, .g = g, .bytes = bytes, .keep = s->rng[1] ? 1 << KEEP_BITS : s->momentum};
    int unit = find_unit(&b, n, *velocity_exponent - KEEP_BITS, *exponent);
    uint64_t any = 0;
    for (int32_t i = 0; i < n; i++) {
        int64_t sum = blend_at(&b, i);
        any |= (uint64_t)(sum < 0 ? -sum : sum);
    }
    int used = any >> 32 ? 32 + mt_bit_length((uint32_t)(any >> 32)) : mt_bit_length((uint32_t)any), bits = (int)bytes * 8 - 1;
    *exponent = mt_clamp(unit + (used > bits ? used - bits : 0), INT8_MIN, INT8_MAX);
    int shift = *exponent - unit; // more than 60 where all is below the least exponent; negative, and everything saturates, above the largest
    const int32_t most = (1 << bits) - 1;
    for (int32_t i = 0; i < n; i++) {
        int64_t sum = shift > 60 ? 0 : blend_at(&b, i);
        if (sum && shift > 0) {
            sum = mt_stochastic_shift(sum, shift, s->rng);
        }
        g[i] = mt_clamp64(sum, -most, most);
        if (bytes == 1) {
            ((int8_t *)velocity)[i] = (int8_t)g[i];
        } else {
            ((int16_t *)velocity)[i] = (int16_t)g[i];
        }
    }
    *velocity_exponent = (int8_t)*exponent;
}
