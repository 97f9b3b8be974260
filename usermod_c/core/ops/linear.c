#include "linear.h"

#include "../arch/kernels.h"
#include "../fixed.h"
#include "../scale.h"

#define TERMS 16 // that are added to an input gradient at once

// [packed vector][row put together]
uint32_t mt_head_forward_scratch(const mt_window_t *w, bool mixed) {
    return mt_align((uint32_t)w->in_c, 8) * 2 + (mixed ? (uint32_t)w->in_c : 0);
}

void mt_head_forward(const mt_head_t *h, const int8_t *x, int32_t *logits, void *scratch) {
    const int32_t n = h->window.in_c;
    int8_t *row_buffer = (int8_t *)scratch + mt_align((uint32_t)n, 8) * 2;
    const bool packed = MT_VECTORS && n % 8 == 0;
    if (packed) {
        mt_pack_vector(x, n, scratch);
    }
    for (int32_t o = 0; o < h->window.out_c; o++) {
        const int8_t *row = mt_weights_row(&h->weights, o, 0, 1, row_buffer);
        int32_t sum = packed && !((uintptr_t)row & 3) ? mt_dot_packed(row, scratch, n) : mt_dot(x, row, n);
        logits[o] = mt_requantize(mt_channel_start(&h->channels, o) + sum, h->mult[o], h->shift[o]);
    }
}

uint32_t mt_head_backward_input_scratch(const mt_window_t *w, bool mixed) {
    return (uint32_t)w->in_c * 4 + (mixed ? (uint32_t)w->in_c : 0);
}

void mt_head_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_head_gradient_t *g = context;
    const mt_head_t *h = g->head;
    int32_t n = h->window.in_c, *acc = out->scratch, count = 0;
    int8_t *row_buffer = (int8_t *)(acc + n);
    const bool mixed = mt_weights_are_mixed(&h->weights);
    const int8_t *rows = mixed ? row_buffer : mt_weights_row(&h->weights, 0, 0, 1, row_buffer);
    mt_term_t terms[TERMS];
    memset(acc, 0, (size_t)n * 4);
    for (int32_t o = 0; o < h->window.out_c; o++) {
        int32_t m = mt_fold_multiplier(h->channels.scale[o], h->channels.scale_exponent);
        int32_t folded = mt_clamp64(mt_round_shift((int64_t)g->q[o] * m, 15), -MT_FOLD_MAX, MT_FOLD_MAX);
        if (folded) {
            terms[count++] = (mt_term_t) {folded, mixed ? 0 : o * n};
        }
        if (mixed && count) {
            mt_weights_row(&h->weights, o, 0, 1, row_buffer);
        }
        if (count == (mixed ? 1 : TERMS) || o == h->window.out_c - 1) {
            mt_add_rows(acc, rows, n, n, terms, count);
            count = 0;
        }
    }
    mt_gradient_store(out, acc, 0, (size_t)n);
}

uint32_t mt_head_update_scratch(const mt_window_t *w, int32_t count) {
    return (uint32_t)count * 4 + ((uint32_t)w->out_c + 7) / 8;
}

// Halves row o so that its scale may double.
static void widen(mt_head_t *h, int32_t o) {
    int8_t *row = h->weights.trained + o * h->weights.count;
    for (int32_t i = 0; i < h->weights.count; i++) {
        int8_t *fraction = mt_weights_fraction(&h->weights, o * h->weights.count + i);
        if (fraction) {
            int32_t half = (row[i] * (1 << MT_WEIGHT_FRACTION) + *fraction + 1) >> 1;
            row[i] = (int8_t)mt_round_shift(half, MT_WEIGHT_FRACTION);
            *fraction = (int8_t)(half - row[i] * (1 << MT_WEIGHT_FRACTION));
        } else {
            row[i] = (int8_t)((row[i] + 1) >> 1);
        }
    }
    h->channels.zero_sum[o] = -h->window.in_zero * mt_sum(row, h->weights.count);
    if (h->channels.master) {
        h->channels.master[o] = (h->channels.master[o] + 1) >> 1;
    }
    h->scale[o] *= 2.0f;
}

void mt_head_update(mt_head_t *h, const int16_t *q, const int8_t *x, const mt_update_t *u, void *scratch) {
    int32_t n = h->weights.count, *gradient = scratch;
    uint8_t *clamped = (uint8_t *)(gradient + n);
    bool any = false;
    memset(clamped, 0, ((size_t)h->window.out_c + 7) / 8);
    for (int32_t o = 0; n && o < h->window.out_c; o++) {
        for (int32_t i = 0; i < n; i++) {
            gradient[i] = q[o] * (x[i] - h->window.in_zero);
        }
        mt_update_observe(u, 0, (uint32_t)o, gradient, (uint32_t)n);
        int32_t moved;
        if (mt_update_weights(u, (uint32_t)o, h->channels.scale[o], gradient, h->weights.trained + o * n,
                mt_weights_fraction(&h->weights, o * n), n, &moved)) {
            clamped[o / 8] |= (uint8_t)(1 << o % 8);
            any = true;
        }
        h->channels.zero_sum[o] -= h->window.in_zero * moved;
    }
    for (int32_t o = 0; h->channels.master && o < h->window.out_c; o++) {
        int32_t g = q[o];
        mt_update_observe(u, 1, (uint32_t)o, &g, 1);
        mt_update_bias(u, (uint32_t)o, h->channels.scale[o], g, &h->channels.master[o]);
    }
    // a partly frozen row cannot be halved, and a scale at the format's limit cannot double
    if (!any || n != h->window.in_c) {
        return;
    }
    for (int32_t o = 0; o < h->window.out_c; o++) {
        if (clamped[o / 8] >> o % 8 & 1 && h->scale[o] < 1e29f && h->channels.master && h->channels.master[o] != MT_BIAS_FROZEN) {
            widen(h, o);
        }
    }
    mt_head_refresh(h, u->in_scale);
}

void mt_head_refresh(mt_head_t *h, float in_scale) {
    float largest = 0;
    for (int32_t o = 0; o < h->window.out_c; o++) {
        float scale = h->channels.scale[o];
        mt_q31_t m = mt_q31((double)in_scale * (double)scale * (double)(1 << MT_LOGIT_BITS));
        h->mult[o] = m.exponent < -31 ? 0 : m.mantissa;
        h->shift[o] = (int8_t)mt_clamp(m.exponent, -31, 30);
        largest = scale > largest ? scale : largest;
    }
    h->channels.largest_scale = largest;
    h->channels.scale_exponent = mt_ceil_log2(largest);
}
