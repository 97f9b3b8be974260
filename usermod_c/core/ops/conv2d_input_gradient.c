// Input gradient of conv2d.
#include "conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"
#include "../scale.h"

// Sums of some pixels' gradients, for some of their channels, from blocks of weights that are copied to RAM, as one row after the other streams
// through them.
#define MOST_COLUMNS 96 // input channels, where there are several pixels
#define SUM_BYTES 3072
#define BLOCK_BYTES 3584

typedef struct {
    int32_t columns, pixels, rows;
    int32_t *sums; // [pixels][columns]
    int32_t *totals, total; // [pixels], of all factors; of one pixel
    mt_term_t *terms; // [rows]
    int8_t *weights; // [rows][columns]
    int16_t *multipliers; // [rows]
} backward_blocks_t;

typedef struct { // weights of some output channels
    const int8_t *rows;
    int32_t pitch;
} weight_rows_t;

// Of a term, its weights and the multiplier.
static int32_t row_bytes(int32_t columns) {
    return (int32_t)(sizeof(mt_term_t) + sizeof(int16_t)) + columns;
}

// Sizes, and the bytes of scratch.
static uint32_t backward_blocks(const mt_window_t *w, backward_blocks_t *b) {
    int32_t pixels = w->in_h * w->in_w, most = pixels > 1 ? MOST_COLUMNS : SUM_BYTES / 4, parts = (w->in_c + most - 1) / most;
    b->columns = (int32_t)mt_align((uint32_t)((w->in_c + parts - 1) / parts), 4);
    b->pixels = mt_min(SUM_BYTES / 4 / b->columns, pixels);
    b->rows = mt_min(BLOCK_BYTES / row_bytes(b->columns), w->out_c);
    int32_t sums = 4 * b->pixels * b->columns, bytes = sums + (b->rows < w->out_c ? BLOCK_BYTES : b->rows * row_bytes(b->columns));
    if (b->pixels > 1 && b->rows < w->out_c) { // the totals find room in it
        b->rows = (BLOCK_BYTES - 4 * b->pixels) / row_bytes(b->columns);
    } else if (b->pixels > 1) {
        b->pixels = b->pixels * b->columns / (b->columns + 1);
    }
    return (uint32_t)bytes;
}

static void place_blocks(const mt_window_t *w, backward_blocks_t *b, void *scratch) {
    b->sums = scratch;
    b->totals = b->sums + b->pixels * b->columns;
    b->terms = (mt_term_t *)(b->totals + b->pixels);
    if (w->in_h * w->in_w == 1) {
        b->terms = (mt_term_t *)b->totals;
        b->totals = &b->total;
    }
    b->weights = (int8_t *)(b->terms + b->rows);
    b->multipliers = (int16_t *)(b->weights + b->rows * b->columns);
}

uint32_t mt_conv2d_backward_input_scratch(const mt_window_t *w) {
    backward_blocks_t b;
    return backward_blocks(w, &b);
}

uint32_t mt_conv2d_backward_terms(const mt_window_t *w) {
    int32_t rows = (w->kernel_h + w->stride_h - 1) / w->stride_h, columns = (w->kernel_w + w->stride_w - 1) / w->stride_w;
    return (uint32_t)(rows * columns * w->out_c);
}

// Terms of output channels [at, at + n) of q: gradients with the weights' scales folded in. |q| * multiplier < 2^(fold_shift + 15).
static MT_HOT int32_t fold_terms(mt_gradient_t q, int32_t at, int32_t n, const int16_t *multipliers, int fold_shift, int32_t pitch, mt_term_t *terms,
    int32_t *total) {
    if (!q.wide) {
        return (int32_t)(mt_fold_bytes((const int8_t *)q.data + at, n, multipliers, fold_shift, pitch, terms, total) - terms);
    }
    const int32_t half = 1 << (fold_shift - 1);
    const mt_term_t *first = terms;
    const int16_t *from = (const int16_t *)q.data + at;
    for (int32_t o = 0, offset = 0; o < n; o++, offset += pitch) {
        if (from[o]) {
            terms->factor = (from[o] * multipliers[o] + half) >> fold_shift;
            terms->offset = offset;
            *total += terms->factor;
            terms++;
        }
    }
    return (int32_t)(terms - first);
}

// Adds what rows [o, o + n) of tap (ky, kx) give to `count` pixels from `pixel` on.
static MT_HOT void add_tap(const mt_conv_gradient_t *g, const backward_blocks_t *b, weight_rows_t rows, int32_t o, int32_t n, int32_t ky, int32_t kx,
    int32_t pixel, int32_t count) {
    const mt_window_t *w = &g->conv->window;
    int32_t *sums = b->sums, iy = pixel / w->in_w, ix = pixel % w->in_w;
    for (int32_t i = 0; i < count; i++, sums += b->columns) {
        int32_t oy = mt_window_output(iy, w->pad_top, ky, w->stride_h, w->out_h), ox = mt_window_output(ix, w->pad_left, kx, w->stride_w, w->out_w);
        if (oy >= 0 && ox >= 0) {
            int32_t at = (oy * w->out_w + ox) * w->out_c + o;
            int32_t terms = fold_terms(g->q, at, n, b->multipliers, 15 - g->fold_extra, rows.pitch, b->terms, &b->totals[i]);
            if (MT_NESTED && b->weights) {
                mt_add_nested(sums, rows.rows, b->columns, b->terms, terms);
            } else {
                mt_add_rows(sums, rows.rows, rows.pitch, b->columns, b->terms, terms);
            }
        }
        if (++ix == w->in_w) {
            ix = 0;
            iy++;
        }
    }
}

// One pixel alone takes the weights from where they are, and so do others if a cache keeps them; the memory of their copies holds more terms.
static void leave_in_place(const mt_window_t *w, backward_blocks_t *b, bool alone) {
    b->rows = mt_min(b->rows * row_bytes(b->columns) / row_bytes(0), w->out_c);
    if (!alone) {
        b->rows = mt_clamp(MT_ROWS_IN_PLACE / b->columns, 1, b->rows);
    }
    b->multipliers = (int16_t *)(b->terms + b->rows);
    b->weights = NULL;
}

// Weights of rows [o, o + rows) and of `n` input channels from `from` on, as add_tap needs them.
static void copy_weights(const mt_weights_t *w, const backward_blocks_t *b, int32_t o, int32_t rows, int32_t tap, int32_t from, int32_t n) {
    const int32_t pitch = w->taps * w->in_c;
    const int8_t *source = mt_weights_are_mixed(w) ? NULL : mt_weights_row(w, o, tap, 1, b->weights) + from;
    if (!MT_NESTED || !source || n < b->columns || ((uintptr_t)source | (uint32_t)pitch) & 3) {
        mt_weights_copy(w, o, rows, tap, from, n, b->weights, b->columns);
        if (MT_NESTED) {
            mt_copy_nested(b->weights, b->weights, rows * b->columns);
        }
    } else if (n == pitch) {
        mt_copy_nested(source, b->weights, rows * n);
    } else {
        for (int8_t *to = b->weights, *end = to + rows * n; to < end; to += n, source += pitch) {
            mt_copy_nested(source, to, n);
        }
    }
}

// Sums of `n` input channels from `from` on, of `count` pixels.
static void sum_pixels(const mt_conv_gradient_t *g, const backward_blocks_t *b, int32_t from, int32_t n, int32_t pixel, int32_t count) {
    const mt_conv_t *c = g->conv;
    const mt_weights_t *w = &c->weights;
    memset(b->sums, 0, (size_t)(4 * count * b->columns));
    memset(b->totals, 0, (size_t)(4 * count));
    for (int32_t tap = 0; tap < w->taps; tap++) {
        for (int32_t o = 0; o < c->window.out_c; o += b->rows) {
            int32_t rows = mt_min(b->rows, c->window.out_c - o);
            weight_rows_t source = {b->weights, b->columns};
            if (!b->weights) {
                source = (weight_rows_t) {mt_weights_row(w, o, tap, 1, (int8_t *)b->terms) + from, w->taps * w->in_c};
            } else {
                copy_weights(w, b, o, rows, tap, from, n);
            }
            for (int32_t j = 0; j < rows; j++) {
                b->multipliers[j] = mt_fold_multiplier(c->channels.scale[o + j], c->channels.scale_exponent);
            }
            add_tap(g, b, source, o, rows, tap / c->window.kernel_w, tap % c->window.kernel_w, pixel, count);
        }
    }
    for (int32_t i = 0; MT_NESTED && b->weights && i < count; i++) {
        mt_settle_nested(b->sums + i * b->columns, b->columns, b->totals[i]);
    }
}

// The same where few gradients are zero: of all output channels at once, whose weights are widened for four input channels after the other.
typedef struct {
    int32_t depth, pixels; // depth: output channels, rounded up
    int32_t *panel; // [depth][4]
    int16_t *multipliers; // [depth], in the panel's memory before it
    int32_t *sums; // [pixels][MT_DENSE_COLUMNS]
    int16_t *factors; // [pixels][depth], as mt_factor_at says
} dense_blocks_t;

// In the memory of the blocks above. Returns whether that is enough.
static bool dense_blocks(const mt_window_t *w, void *scratch, uint32_t bytes, dense_blocks_t *d) {
    d->depth = (int32_t)mt_align((uint32_t)w->out_c, 8);
    int32_t panel = 4 * MT_PANEL_WORDS * d->depth, rest = (int32_t)bytes - panel, pixels = w->in_h * w->in_w;
    int32_t most = rest / (2 * d->depth + 4 * MT_DENSE_COLUMNS) / MT_FACTOR_ROWS * MT_FACTOR_ROWS;
    if (rest < 0 || most < 4) {
        return false;
    }
    int32_t parts = (pixels + most - 1) / most;
    d->pixels = (int32_t)mt_align((uint32_t)((pixels + parts - 1) / parts), MT_FACTOR_ROWS);
    d->panel = scratch;
    d->sums = (int32_t *)((int8_t *)scratch + panel);
    d->multipliers = scratch;
    d->factors = (int16_t *)(d->sums + d->pixels * MT_DENSE_COLUMNS);
    return true;
}

// `count` pixels from `pixel` on; what is left of interleaved rows holds the last pixel's factors.
static __attribute__((noinline)) void fold_pixels(const mt_conv_gradient_t *g, const dense_blocks_t *d, int32_t pixel, int32_t count) {
    const mt_channels_t *ch = &g->conv->channels;
    const int32_t out_c = g->conv->window.out_c, rows = MT_FACTOR_ROWS;
    const int shift = 15 - g->fold_extra;
    for (int32_t o = 0; o < out_c; o++) {
        d->multipliers[o] = mt_fold_multiplier(ch->scale[o], ch->scale_exponent);
    }
    for (int32_t i = 0; i < count; i += rows) {
        mt_fold_t f = {d->multipliers, d->factors + i * d->depth, out_c, d->depth, shift, {0}};
        for (int32_t j = 0; j < rows; j++) {
            f.at[j] = (pixel + mt_min(i + j, count - 1)) * out_c;
        }
        mt_fold(&f, g->q.data, g->q.wide);
    }
}

// Weights of input channels [from, from + 4), widened.
static MT_HOT __attribute__((noinline)) void widen_weights(const mt_weights_t *w, int32_t out_c, int32_t from, const dense_blocks_t *d) {
    bool mixed = mt_weights_are_mixed(w);
    mt_widen_columns((mixed || !w->trained ? w->frozen : w->trained) + from, w->in_c, out_c, d->depth, d->panel);
    for (int32_t i = 0; mixed && i < w->count; i++) {
        int32_t column = mt_weights_channel(w, i) - from;
        for (int32_t o = 0; column >= 0 && column < 4 && o < out_c; o++) {
            mt_panel_set(d->panel, d->depth, o, column, w->trained[o * w->count + i]);
        }
    }
}

static void backward_dense(const mt_conv_gradient_t *g, const dense_blocks_t *d, mt_gradient_out_t *out) {
    const mt_window_t *w = &g->conv->window;
    int32_t pitch = MT_SUMS_BY_COLUMN ? d->pixels : MT_DENSE_COLUMNS;
    for (int32_t pixel = out->first; pixel < out->end; pixel += d->pixels) {
        int32_t count = mt_min(d->pixels, out->end - pixel);
        fold_pixels(g, d, pixel, count);
        for (int32_t from = 0; from < w->in_c; from += MT_DENSE_COLUMNS) {
            int32_t n = mt_min(MT_DENSE_COLUMNS, w->in_c - from);
            for (int32_t j = 0; j < n; j += 4) {
                widen_weights(&g->conv->weights, w->out_c, from + j, d);
                mt_multiply_panel(d->factors, d->panel, d->depth, count, d->sums + j, pitch);
            }
            mt_gradient_sums_t sums = {d->sums, MT_SUMS_BY_COLUMN ? 1 : pitch, MT_SUMS_BY_COLUMN ? pitch : 1, count, n};
            mt_gradient_store_rows(out, &sums, (size_t)(pixel * w->in_c + from), (size_t)w->in_c);
        }
    }
}

// Whether all pixels have one and the same gradient, as a mean over them leaves it.
static bool pixels_are_alike(const mt_window_t *w, mt_gradient_t q) {
    size_t pixel = (size_t)w->out_c * (q.wide ? 2 : 1), rest = (size_t)(w->out_h * w->out_w - 1) * pixel;
    return mt_is_pointwise(w) && !memcmp(q.data, (const uint8_t *)q.data + pixel, rest);
}

void mt_conv2d_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_conv_gradient_t *g = context;
    const mt_window_t *w = &g->conv->window;
    const mt_weights_t *weights = &g->conv->weights;
    backward_blocks_t b;
    dense_blocks_t d;
    uint32_t bytes = backward_blocks(w, &b);
    place_blocks(w, &b, out->scratch);
    int32_t pixels = w->in_h * w->in_w;
    bool alike = pixels_are_alike(w, g->q), words = !(((uint32_t)w->in_c | (uintptr_t)weights->frozen | (uintptr_t)weights->trained) & 3);
    if (MT_ROWS && MT_FACTOR_ZEROS && mt_is_pointwise(w) && words && !alike && mt_gradient_is_dense(g->q, pixels * w->out_c, MT_FACTOR_ZEROS) &&
        dense_blocks(w, out->scratch, bytes, &d)) {
        backward_dense(g, &d, out);
        return;
    }
    bool alone = alike || pixels == 1;
    if ((alone || (MT_ROWS_IN_PLACE && mt_is_pointwise(w))) && w->in_c % b.columns == 0 && !mt_weights_are_mixed(weights)) {
        leave_in_place(w, &b, alone);
    }
    for (int32_t from = 0; from < w->in_c; from += b.columns) {
        int32_t n = mt_min(b.columns, w->in_c - from);
        for (int32_t pixel = out->first, count; pixel < out->end; pixel += count) {
            count = alike ? out->end - out->first : mt_min(b.pixels, out->end - pixel);
            sum_pixels(g, &b, from, n, pixel, alike ? 1 : count);
            for (int32_t i = 0; i < count; i++) {
                mt_gradient_store(out, b.sums + (alike ? 0 : i * b.columns), (size_t)((pixel + i) * w->in_c + from), (size_t)n);
            }
        }
    }
}
