#include "gradient.h"

#include "fixed.h"

// NUMERICS: a skip shifted further than this could leave int32, so the accumulators give way.
#define MAX_SKIP_SHIFT 23
#define DECAY_AFTER 8 // passes with an unused top bit before the shift goes down

void mt_gradient_store(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n) {
    const int shift = g->shift;
    const int64_t full = (int64_t)128 << shift;
    const int64_t half = shift > 0 ? (int64_t)1 << (shift - 1) : 0;
    uint32_t seen = 0, over = 0, saturated = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t a = acc[i] >> g->pre_shift;
        if (g->skip) {
            int32_t q = g->skip[index + i];
            a += g->skip_shift >= 0 ? (int64_t)q * ((int32_t)1 << g->skip_shift) : q >> -g->skip_shift;
        }
        a = mt_clamp64(a, -INT32_MAX, INT32_MAX);
        uint32_t magnitude = (uint32_t)(a < 0 ? -a : a);
        seen |= magnitude;
        over += (int64_t)magnitude >= full;
        int64_t q = (a + half) >> shift;
        saturated += q > MT_GRADIENT_MAX || q < -MT_GRADIENT_MAX;
        g->out[index + i] = (int8_t)mt_clamp64(q, -MT_GRADIENT_MAX, MT_GRADIENT_MAX);
    }
    g->seen_bits |= seen;
    g->over += over;
    g->saturated += saturated;
}

static int run_once(mt_gradient_pass_t pass, const void *context, mt_gradient_out_t *out, int shift) {
    out->shift = shift;
    out->seen_bits = out->over = out->saturated = 0;
    pass(context, out);
    int need = mt_bit_length(out->seen_bits) - 7;
    return need > 0 ? need : 0;
}

int mt_gradient_run(mt_gradient_pass_t pass, const void *context, mt_gradient_out_t *out, size_t n, mt_shift_t *state, int acc_exponent,
    int skip_exponent, bool exact) {
    out->pre_shift = 0;
    out->skip_shift = 0;
    if (out->skip) {
        int d = skip_exponent - acc_exponent;
        if (d > MAX_SKIP_SHIFT) {
            out->pre_shift = d - MAX_SKIP_SHIFT > 31 ? 31 : d - MAX_SKIP_SHIFT;
            acc_exponent = skip_exponent - MAX_SKIP_SHIFT;
            d = MAX_SKIP_SHIFT;
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

void mt_mask_apply(const mt_clamp_mask_t *m, const uint8_t *bits, const int8_t *y, const int8_t *from, int8_t *to, size_t n) {
    if (bits) {
        for (size_t i = 0; i < n; i++) {
            to[i] = bits[i / 8] >> i % 8 & 1 ? from[i] : 0;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            to[i] = passes(m, y[i]) ? from[i] : 0;
        }
    }
}

int mt_fold_extra(uint32_t terms) {
    int extra = 8;
    for (uint32_t most = 520; terms > most && extra > 0; most *= 2) {
        extra--;
    }
    return extra;
}
