#include "gradient.h"

#include <string.h>

#include "arch/hot.h"
#include "fixed.h"

// NUMERICS: an int8 skip shifted further than this could leave int32, so the accumulators give way.
#define MAX_SKIP_SHIFT 23
#define DECAY_AFTER 8 // passes with an unused top bit before the shift goes down

static inline void store(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n, const bool wide) {
    const int shift = g->shift;
    const int32_t most = mt_gradient_max((uint32_t)g->bits);
    const int64_t full = (int64_t)(most + 1) << shift;
    const int64_t half = shift > 0 ? (int64_t)1 << (shift - 1) : 0;
    const mt_gradient_t skip = {g->skip, wide};
    uint32_t seen = 0, over = 0, saturated = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t a = acc[i] >> g->pre_shift;
        if (skip.data) {
            int32_t q = mt_gradient_at(skip, (int32_t)(index + i));
            a += g->skip_shift >= 0 ? (int64_t)q * ((int32_t)1 << g->skip_shift) : q >> -g->skip_shift;
        }
        a = mt_clamp64(a, -INT32_MAX, INT32_MAX);
        uint32_t magnitude = (uint32_t)(a < 0 ? -a : a);
        seen |= magnitude;
        over += (int64_t)magnitude >= full;
        int64_t q = (a + half) >> shift;
        saturated += q > most || q < -most;
        int32_t rounded = mt_clamp64(q, -most, most);
        if (wide) {
            ((int16_t *)g->out)[index + i] = (int16_t)rounded;
        } else {
            ((int8_t *)g->out)[index + i] = (int8_t)rounded;
        }
    }
    g->seen_bits |= seen;
    g->over += over;
    g->saturated += saturated;
}

MT_HOT void mt_gradient_store(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n) {
    if (g->bits > 8) {
        store(g, acc, index, n, true);
    } else {
        store(g, acc, index, n, false);
    }
}

static int run_once(mt_gradient_pass_t pass, const void *context, mt_gradient_out_t *out, int shift) {
    out->shift = shift;
    out->seen_bits = out->over = out->saturated = 0;
    pass(context, out);
    int need = mt_bit_length(out->seen_bits) - (out->bits - 1);
    return need > 0 ? need : 0;
}

int mt_gradient_run(mt_gradient_pass_t pass, const void *context, mt_gradient_out_t *out, size_t n, mt_shift_t *state, int acc_exponent,
    int skip_exponent, bool exact) {
    out->pre_shift = 0;
    out->skip_shift = 0;
    if (out->skip) {
        int d = skip_exponent - acc_exponent, most = MAX_SKIP_SHIFT + 8 - out->bits;
        if (d > most) {
            out->pre_shift = d - most > 31 ? 31 : d - most;
            acc_exponent = skip_exponent - most;
            d = most;
        }
        out->skip_shift = d < -31 ? -31 : d;
    }
    int need = run_once(pass, context, out, state->shift);
    bool misfit = (uint64_t)out->over * 64 > n || need <= state->shift - 3;
    if ((!state->seen || misfit || exact) && need != state->shift) {
        state->shift = (uint8_t)need;
        run_once(pass, context, out, need);
    }
    int used = state->shift;
    if (out->seen_bits) {
        state->seen = 1;
        if ((uint64_t)out->saturated * 256 > n) {
            int up = used + 1 > need - 1 ? used + 1 : need - 1;
            state->shift = (uint8_t)(up > 24 ? 24 : up);
            state->low = 0;
        } else if (need < used) {
            if (++state->low >= DECAY_AFTER) {
                state->shift--;
                state->low = 0;
            }
        } else {
            state->low = 0;
        }
    }
    return acc_exponent + used;
}

static inline bool passes(const mt_clamp_mask_t *m, int32_t y) {
    return !(m->low && y <= m->act_min) && !(m->high && y >= m->act_max);
}

void mt_mask_set(uint8_t *bits, size_t n) {
    memset(bits, 0xFF, n / 8);
    if (n % 8) {
        bits[n / 8] = (uint8_t)((1 << n % 8) - 1);
    }
}

void mt_mask_from_output(const mt_clamp_mask_t *m, const int8_t *y, uint8_t *bits, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        size_t end = n - i < 8 ? n - i : 8;
        uint8_t byte = 0;
        for (size_t j = 0; j < end; j++) {
            byte |= (uint8_t)(passes(m, y[i + j]) << j);
        }
        bits[i / 8] = byte;
    }
}

static inline bool mask_passes(const mt_clamp_mask_t *m, const uint8_t *bits, const int8_t *y, size_t i) {
    return bits ? bits[i / 8] >> i % 8 & 1 : passes(m, y[i]);
}

void mt_mask_apply(const mt_clamp_mask_t *m, const uint8_t *bits, const int8_t *y, mt_gradient_t from, void *to, size_t n) {
    if (from.wide) {
        for (size_t i = 0; i < n; i++) {
            ((int16_t *)to)[i] = mask_passes(m, bits, y, i) ? ((const int16_t *)from.data)[i] : 0;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            ((int8_t *)to)[i] = mask_passes(m, bits, y, i) ? ((const int8_t *)from.data)[i] : 0;
        }
    }
}

int mt_fold_extra(uint32_t terms, int gradient_bits) {
    int extra = 8;
    for (uint32_t most = 520; terms > most && extra > 0; most *= 2) {
        extra--;
    }
    return extra - (gradient_bits - 8);
}
