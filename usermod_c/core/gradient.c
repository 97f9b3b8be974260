#include "gradient.h"

#include <string.h>

#include "arch/hot.h"
#include "arch/kernels.h"
#include "fixed.h"

// NUMERICS: an int8 skip shifted further than this could leave int32, so the accumulators give way.
#define MAX_SKIP_SHIFT 23
#define DECAY_AFTER 8 // passes with an unused top bit before the shift goes down

#define FIRST_SHIFT 24 // tried where none is known: most accumulators stay within
#define CHUNK 32 // elements that are stored at once
#define SAMPLES 256 // elements by which a density is judged

bool mt_gradient_is_dense(mt_gradient_t g, int32_t n, int32_t zeros) {
    int32_t step = n / SAMPLES | 1, seen = 0, found = 0;
    for (int32_t i = 0; i < n; i += step, seen++) {
        found += !mt_gradient_at(g, i);
    }
    return 4 * found < zeros * seen;
}

// Everything: gradients of 12 bits, values that saturate, sums that leave 32 bits.
static void store_carefully(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n) {
    const int shift = g->shift;
    const int32_t most = mt_gradient_max((uint32_t)g->bits);
    const int64_t full = (int64_t)(most + 1) << shift;
    const int64_t half = shift > 0 ? (int64_t)1 << (shift - 1) : 0;
    const mt_gradient_t skip = {g->skip, g->bits > 8};
    for (size_t i = 0; i < n; i++) {
        int64_t a = acc[i] >> g->pre_shift;
        if (skip.data) {
            int32_t q = mt_gradient_at(skip, (int32_t)(index + i));
            a += g->skip_shift >= 0 ? (int64_t)q * ((int32_t)1 << g->skip_shift) : q >> -g->skip_shift;
        }
        int32_t sum = mt_clamp64(a, -INT32_MAX, INT32_MAX), magnitude = mt_abs(sum), rounded;
        if (magnitude < 1 << 30 && shift < 24) { // the same in 32 bits
            rounded = mt_clamp((sum + (int32_t)half) >> shift, -most - 1, most + 1);
        } else {
            rounded = mt_clamp64((sum + half) >> shift, -most - 1, most + 1);
        }
        g->seen_bits |= (uint32_t)magnitude;
        if (rounded > most || rounded < -most) {
            g->saturated++;
            g->over += magnitude >= full;
            rounded = rounded > 0 ? most : -most;
        }
        if (skip.wide) {
            ((int16_t *)g->out)[index + i] = (int16_t)rounded;
        } else {
            ((int8_t *)g->out)[index + i] = (int8_t)rounded;
        }
    }
}

// acc[0..n) plus what waits, or false where a sum leaves 32 bits.
static inline bool add_skip(const mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n, int32_t *sums) {
    const int8_t *skip = (const int8_t *)g->skip + index;
    const int up = g->skip_shift > 0 ? g->skip_shift : 0, down = up - g->skip_shift;
    uint32_t left = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t a = (uint32_t)acc[i], q = (uint32_t)((skip[i] >> down) * ((int32_t)1 << up)), sum = a + q;
        left |= (sum ^ a) & (sum ^ q);
        sums[i] = (int32_t)sum;
    }
    return !(left >> 31);
}

// What fits 32 bits and is not saturated, up to CHUNK elements, a multiple of 4, to bytes. False where that is not so, and nothing has changed.
static inline bool store_bytes(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n) {
    int32_t sums[CHUNK];
    if (g->skip) {
        if (!add_skip(g, acc, index, n, sums)) {
            return false;
        }
        acc = sums;
    }
    uint32_t seen = mt_round_bytes(acc, (int32_t)n, g->shift, (int8_t *)g->out + index);
    if (seen >> 31) {
        return false;
    }
    g->seen_bits |= seen;
    return true;
}

// Whether store_bytes takes a row of four.
static inline bool is_plain(const mt_gradient_out_t *g) {
    return g->bits == 8 && !g->pre_shift && g->shift >= 1 && g->shift <= 24;
}

MT_HOT void mt_gradient_store(mt_gradient_out_t *g, const int32_t *acc, size_t index, size_t n) {
    size_t i = 0, step = CHUNK, end = is_plain(g) ? n & ~(size_t)3 : 0;
    while (i < end) {
        size_t m = end - i < step ? end - i : step;
        if (store_bytes(g, acc + i, index + i, m)) {
            i += m;
        } else if (m > 4) { // find the four
            step = 4;
        } else {
            store_carefully(g, acc + i, index + i, m);
            i += m;
            step = CHUNK;
        }
    }
    if (i < n) {
        store_carefully(g, acc + i, index + i, n - i);
    }
}

MT_HOT void mt_gradient_store_rows(mt_gradient_out_t *g, const mt_gradient_sums_t *s, size_t index, size_t pitch) {
#if defined(__ARM_FEATURE_DSP)
    if (is_plain(g) && !g->skip && s->columns == 4) {
        uint32_t seen = mt_round_rows(s->sums, 4 * s->column_step, s->rows, g->shift, (int8_t *)g->out + index, 4 * s->row_step, (int32_t)pitch);
        if (!(seen >> 31)) {
            g->seen_bits |= seen;
            return;
        }
    }
#endif
    const int32_t *sums = s->sums;
    for (int32_t i = 0; i < s->rows; i++, sums += s->row_step, index += pitch) {
        int32_t row[CHUNK];
        const int32_t *acc = sums;
        if (s->column_step != 1) {
            for (int32_t j = 0; j < s->columns; j++) {
                row[j] = sums[j * s->column_step];
            }
            acc = row;
        }
        mt_gradient_store(g, acc, index, (size_t)s->columns);
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
    if (!state->seen) {
        state->shift = FIRST_SHIFT;
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

// 0xFF in the bytes of a word whose bits are set.
static inline uint32_t byte_mask(uint32_t bits) {
    return ((bits & 15) * 0x00204081u & 0x01010101u) * 0xFF;
}

// Mask bit of element i.
static inline bool mask_passes(const mt_clamp_mask_t *m, const uint8_t *bits, const int8_t *y, size_t i) {
    return bits ? bits[i / 8] >> i % 8 & 1 : passes(m, y[i]);
}

// Whole words.
static MT_HOT void mask_words(const uint8_t *bits, const uint32_t *from, uint32_t *to, size_t n) {
    for (const uint32_t *end = from + n / 4; from < end; from += 2, to += 2) {
        uint32_t mask = *bits++;
        to[0] = from[0] & byte_mask(mask);
        to[1] = from[1] & byte_mask(mask >> 4);
    }
}

void mt_mask_apply(const mt_clamp_mask_t *m, const uint8_t *bits, const int8_t *y, mt_gradient_t from, void *to, size_t n) {
    size_t i = 0;
    if (bits && !from.wide && !(((uintptr_t)from.data | (uintptr_t)to) & 3)) {
        i = n & ~(size_t)7;
        mask_words(bits, from.data, to, i);
    }
    for (; i < n; i++) {
        bool passed = mask_passes(m, bits, y, i);
        if (from.wide) {
            ((int16_t *)to)[i] = passed ? ((const int16_t *)from.data)[i] : 0;
        } else {
            ((int8_t *)to)[i] = passed ? ((const int8_t *)from.data)[i] : 0;
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
