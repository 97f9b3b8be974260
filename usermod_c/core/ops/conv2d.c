#include "conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"
#include "../scale.h"

#define COLUMN_BYTES 2048 // of input patches gathered at once
#define MAX_PIXELS 128
#define PANEL_BYTES 6144 // of panels packed at once
#define PANEL_PIXELS 32 // whose sums are kept at once

static int32_t min32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t patch_bytes(const mt_window_t *w) {
    return w->kernel_h * w->kernel_w * w->in_c;
}

static int32_t patches_at_once(const mt_window_t *w) {
    return mt_clamp(COLUMN_BYTES / patch_bytes(w), 4, MAX_PIXELS);
}

// Bytes from one patch, or row of weights in a buffer, to the next: whole words.
static int32_t patch_pitch(const mt_window_t *w) {
    return (int32_t)mt_align((uint32_t)patch_bytes(w), 4);
}

// Panels of four pixels that are packed at once (arch/panel.h), or 0: values must come in fours, which in patches can be arranged.
static int32_t panels_at_once(const mt_window_t *w) {
    int32_t pixels = w->out_h * w->out_w;
    bool fours = !mt_is_pointwise(w) || w->in_c % 4 == 0;
    return !fours || pixels < 4 ? 0 : mt_clamp(PANEL_BYTES / (8 * patch_pitch(w)), 1, min32(MAX_PIXELS / 4, (pixels + 3) / 4));
}

// Whether rows of weights are put together, or filled up to words, in a buffer.
static bool rows_are_buffered(const mt_window_t *w, bool mixed) {
    return mixed || (panels_at_once(w) && patch_bytes(w) % 4);
}

// [panels][four rows of weights][patches]
uint32_t mt_conv2d_forward_scratch(const mt_window_t *w, bool mixed) {
    int32_t patches = mt_is_pointwise(w) ? 0 : min32(patches_at_once(w), w->out_h * w->out_w);
    return (uint32_t)((8 * panels_at_once(w) + patches + (rows_are_buffered(w, mixed) ? 4 : 0)) * patch_pitch(w));
}

#define FEW 32

// For a few bytes, which take less time than memcpy to be called.
static inline void copy_few(int8_t *to, const int8_t *from, int32_t n) {
#if defined(__ARM_FEATURE_UNALIGNED)
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        memcpy(to, from, 4);
    }
#endif
    for (const int8_t *end = from + n; from < end; from++, to++) {
        *to = *from;
        __asm__ volatile (""); // a loop, not memcpy
    }
}

// Input under the window of output pixel p, positions outside filled with the zero point.
static void gather_patch(const mt_window_t *w, const int8_t *x, int32_t p, int8_t *patch) {
    int32_t y0 = p / w->out_w * w->stride_h - w->pad_top, x0 = p % w->out_w * w->stride_w - w->pad_left;
    int32_t row = w->kernel_w * w->in_c;
    int32_t left = x0 < 0 ? -x0 : 0, right = min32(w->kernel_w, w->in_w - x0);
    for (int32_t ky = 0; ky < w->kernel_h; ky++, patch += row) {
        int32_t iy = y0 + ky;
        if (iy < 0 || iy >= w->in_h) {
            memset(patch, w->in_zero, (size_t)row);
            continue;
        }
        if (right - left == w->kernel_w && row <= FEW) {
            copy_few(patch, x + (iy * w->in_w + x0) * w->in_c, row);
            continue;
        }
        memset(patch, w->in_zero, (size_t)(left * w->in_c));
        memcpy(patch + left * w->in_c, x + (iy * w->in_w + x0 + left) * w->in_c, (size_t)((right - left) * w->in_c));
        memset(patch + right * w->in_c, w->in_zero, (size_t)((w->kernel_w - right) * w->in_c));
    }
}

typedef struct { // up to four output channels
    int32_t count;
    bool quick; // four, and mt_finish_rows takes them
    const int8_t *weights[4];
    mt_finish_row_t finish[4];
} rows_t;

// Rows [row, row + n) of mixed weights put together, `pitch` apart; moved[j]: by what training has changed the sum of each.
static void mix_rows(const mt_weights_t *w, int32_t row, int32_t n, int8_t *to, int32_t pitch, int32_t *moved) {
    const int32_t k = w->taps * w->in_c, trained_k = w->taps * w->count;
    for (int32_t j = 0; j < n; j++) {
        memcpy(to + j * pitch, w->frozen + (row + j) * k, (size_t)k);
        moved[j] = 0;
    }
    for (int32_t t = 0; t < w->taps; t++, to += w->in_c) {
        for (int32_t i = 0; i < w->count; i++) {
            int8_t *p = to + mt_weights_channel(w, i);
            const int8_t *trained = w->trained + row * trained_k + t * w->count + i;
            for (int32_t j = 0; j < n; j++, p += pitch, trained += trained_k) {
                moved[j] += *trained - *p;
                *p = *trained;
            }
        }
    }
}

// What the sums of output channel r begin with, given its row of weights.
static int32_t row_start(const mt_conv_t *c, int32_t r, const int8_t *weights, int32_t moved) {
    const mt_channels_t *ch = &c->channels;
    if (ch->zero_sum || !c->weights.trained) {
        return mt_channel_start(ch, r);
    }
    if (mt_weights_are_mixed(&c->weights)) {
        return mt_channel_start(ch, r) - c->window.in_zero * moved;
    }
    return mt_channel_bias(ch, r) - c->window.in_zero * mt_sum(weights, patch_bytes(&c->window));
}

// Channels from o on; for panels their rows lie `pitch` apart, in `row_buffer` if not so by themselves.
static void load_rows(const mt_conv_t *c, int32_t o, int32_t pitch, bool packed, int8_t *row_buffer, rows_t *rows) {
    const mt_channels_t *ch = &c->channels;
    const mt_weights_t *w = &c->weights;
    const int32_t k = patch_bytes(&c->window);
    const bool mixed = mt_weights_are_mixed(w), filled = packed && k != pitch;
    const int8_t *source = (w->trained ? w->trained : w->frozen) + o * k;
    int32_t moved[4] = {0};
    rows->count = min32(4, c->window.out_c - o);
    rows->quick = rows->count == 4;
    if (mixed) {
        mix_rows(w, o, rows->count, row_buffer, pitch, moved);
    }
    for (int32_t j = 0; j < 4; j++) {
        int32_t row = min32(j, rows->count - 1);
        int8_t *buffer = row_buffer + row * pitch;
        if (filled && !mixed) {
            memcpy(buffer, source + row * k, (size_t)k);
        }
        if (filled) {
            memset(buffer + k, 0, (size_t)(pitch - k));
        }
        rows->weights[j] = mixed || filled ? buffer : source + row * k;
        rows->finish[j] = mt_finish_row(row_start(c, o + row, rows->weights[j], moved[row]), ch->mult[o + row], ch->shift[o + row]);
        rows->quick = rows->quick && mt_finish_takes(c->window.round_once, &rows->finish[j], k);
    }
}

static void finish_channel(const mt_finish_t f, int32_t at, const mt_finish_row_t row, const int32_t *sums, int32_t n) {
    const int32_t mult = mt_finish_mult(&row);
    for (int32_t i = 0; i < n; i++, at += f.step) {
        mt_finish(f, at, row.start + sums[i], mult, -row.shift);
    }
}

// `n` pixels whose inputs lie `pitch` apart at `x`; outputs from y[at] on.
static void forward_rows(const mt_finish_t f, const rows_t *rows, const int8_t *x, int32_t k, int32_t pitch, int32_t n, int32_t at) {
    for (int32_t i = 0; i < n; i++, at += f.step, x += pitch) {
        int32_t acc[4] = {0};
        mt_dot4(x, rows->weights, k, acc);
        for (int32_t j = 0; j < rows->count; j++) {
            finish_channel(f, at + j, rows->finish[j], &acc[j], 1);
        }
    }
}

// The same from panels, four output channels.
static void forward_panels(const mt_finish_t f, const rows_t *rows, const int32_t *panels, int32_t k, int32_t n, int32_t at) {
    int32_t sums[4 * PANEL_PIXELS];
    for (int32_t left; n > 0; n -= left, panels += 2 * k * (left / 4), at += left * f.step) {
        left = min32(n, PANEL_PIXELS);
        int32_t count = (left + 3) / 4;
        mt_panel_rows(rows->weights[0], panels, k, count, sums);
        if (rows->quick && left == 4 * count) {
            mt_finish_rows(&f, at, rows->finish, sums, left);
            continue;
        }
        for (int32_t j = 0; j < 4; j++) {
            finish_channel(f, at + j, rows->finish[j], sums + 4 * count * j, left);
        }
    }
}

static void pack_panels(const int8_t *x, int32_t k, int32_t n, int32_t *panel) {
    for (int32_t i = 0; i < n; i += 4, panel += 2 * k) {
        const int8_t *pixels[4];
        for (int32_t j = 0; j < 4; j++) {
            pixels[j] = x + min32(i + j, n - 1) * k;
        }
        mt_panel_pack(pixels, k, panel);
    }
}

MT_HOT void mt_conv2d_forward(const mt_conv_t *c, const int8_t *x, int8_t *y, void *scratch) {
    const mt_window_t *w = &c->window;
    int32_t pitch = patch_pitch(w), pixels = w->out_h * w->out_w, panels = panels_at_once(w);
    bool pointwise = mt_is_pointwise(w), packed = MT_PANELS && panels;
    int32_t block = pointwise ? MAX_PIXELS : min32(patches_at_once(w), pixels), input_pitch = pointwise ? w->in_c : pitch;
    if (packed) {
        block = min32(block, 4 * panels);
    }
    if (c->mask) {
        mt_mask_set(c->mask, (size_t)(pixels * w->out_c));
    }
    const mt_finish_t f = mt_finish_of(w, c->mask, y);
    int32_t *panel = scratch;
    int8_t *row_buffer = (int8_t *)(panel + 2 * panels * pitch);
    int8_t *patches = row_buffer + (rows_are_buffered(w, mt_weights_are_mixed(&c->weights)) ? 4 * pitch : 0);
    for (int32_t p = 0, n; p < pixels; p += n) {
        n = min32(block, pixels - p);
        n = packed && n > 4 ? n & ~3 : n; // the last pixels by themselves
        const int8_t *input = pointwise ? x + p * input_pitch : patches;
        for (int32_t i = 0; !pointwise && i < n; i++) {
            gather_patch(w, x, p + i, patches + i * pitch);
        }
        if (packed) {
            pack_panels(input, pitch, n, panel);
        }
        for (int32_t o = 0; o < w->out_c; o += 4) {
            rows_t rows;
            load_rows(c, o, pitch, packed, row_buffer, &rows);
            if (packed && rows.count == 4) {
                forward_panels(f, &rows, panel, pitch, n, p * w->out_c + o);
            } else {
                forward_rows(f, &rows, input, patch_bytes(w), input_pitch, n, p * w->out_c + o);
            }
        }
    }
}

// ---- input gradient ----

// Sums of some pixels' gradients, for some of their channels, from blocks of weights that are copied to RAM, as one row after the other streams
// through them.
#define MOST_COLUMNS 96 // input channels
#define SUM_BYTES 3072
#define BLOCK_BYTES 2560

typedef struct {
    int32_t columns, pixels, rows;
    int32_t *sums; // [pixels][columns]
    mt_term_t *terms; // [rows]
    int8_t *weights; // [rows][columns]
    int16_t *multipliers; // [rows]
} backward_blocks_t;

typedef struct { // weights of some output channels
    const int8_t *rows;
    int32_t pitch;
} weight_rows_t;

static uint32_t backward_blocks(const mt_window_t *w, void *scratch, backward_blocks_t *b) {
    int32_t parts = (w->in_c + MOST_COLUMNS - 1) / MOST_COLUMNS;
    b->columns = (int32_t)mt_align((uint32_t)((w->in_c + parts - 1) / parts), 4);
    b->pixels = min32(SUM_BYTES / 4 / b->columns, w->in_h * w->in_w);
    int32_t row_bytes = b->columns + (int32_t)(sizeof(mt_term_t) + sizeof(int16_t));
    b->rows = min32(BLOCK_BYTES / row_bytes, w->out_c);
    b->sums = scratch;
    b->terms = (mt_term_t *)(b->sums + b->pixels * b->columns);
    b->weights = (int8_t *)(b->terms + b->rows);
    b->multipliers = (int16_t *)(b->weights + b->rows * b->columns);
    return (uint32_t)(4 * b->pixels * b->columns + b->rows * row_bytes);
}

uint32_t mt_conv2d_backward_input_scratch(const mt_window_t *w) {
    backward_blocks_t b;
    return backward_blocks(w, NULL, &b);
}

uint32_t mt_conv2d_backward_terms(const mt_window_t *w) {
    int32_t rows = (w->kernel_h + w->stride_h - 1) / w->stride_h, columns = (w->kernel_w + w->stride_w - 1) / w->stride_w;
    return (uint32_t)(rows * columns * w->out_c);
}

// Terms of output channels [at, at + n) of q: gradients with the weights' scales folded in. |q| * multiplier < 2^(fold_shift + 15).
static MT_HOT int32_t fold_terms(mt_gradient_t q, int32_t at, int32_t n, const int16_t *multipliers, int fold_shift, int32_t pitch, mt_term_t *terms) {
    const int32_t half = 1 << (fold_shift - 1);
    const mt_term_t *first = terms;
    for (int32_t o = 0, offset = 0; o < n; o++, offset += pitch) {
        int32_t v = mt_gradient_at(q, at + o);
        if (v) {
            terms->factor = (v * multipliers[o] + half) >> fold_shift;
            terms->offset = offset;
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
            int32_t terms = fold_terms(g->q, at, n, b->multipliers, 15 - g->fold_extra, rows.pitch, b->terms);
            mt_add_rows(sums, rows.rows, rows.pitch, b->columns, b->terms, terms);
        }
        if (++ix == w->in_w) {
            ix = 0;
            iy++;
        }
    }
}

// Sums of `n` input channels from `from` on, of `count` pixels. One pixel alone takes the weights from where they are.
static void sum_pixels(const mt_conv_gradient_t *g, const backward_blocks_t *b, int32_t from, int32_t n, int32_t pixel, int32_t count) {
    const mt_conv_t *c = g->conv;
    const mt_weights_t *w = &c->weights;
    bool in_place = count == 1 && n == b->columns && !mt_weights_are_mixed(w);
    memset(b->sums, 0, (size_t)(4 * count * b->columns));
    for (int32_t tap = 0; tap < w->taps; tap++) {
        for (int32_t o = 0; o < c->window.out_c; o += b->rows) {
            int32_t rows = min32(b->rows, c->window.out_c - o);
            weight_rows_t source = {b->weights, b->columns};
            if (in_place) {
                source = (weight_rows_t) {mt_weights_row(w, o, tap, 1, b->weights) + from, w->taps * w->in_c};
            } else {
                mt_weights_copy(w, o, rows, tap, from, n, b->weights, b->columns);
            }
            for (int32_t j = 0; j < rows; j++) {
                b->multipliers[j] = mt_fold_multiplier(c->channels.scale[o + j], c->channels.scale_exponent);
            }
            add_tap(g, b, source, o, rows, tap / c->window.kernel_w, tap % c->window.kernel_w, pixel, count);
        }
    }
}

// The same where few gradients are zero: of all output channels at once, whose weights are widened for four input channels after the other.
#define DENSE_COLUMNS 8 // input channels that are stored at once
#define DENSE_SAMPLES 256

typedef struct {
    int32_t depth, pixels; // depth: output channels, rounded up
    int32_t *panel; // [depth][4]
    int32_t *sums; // [pixels][DENSE_COLUMNS]
    int16_t *factors; // [pixels][depth]
} dense_blocks_t;

// In the memory of the blocks above. Returns whether that is enough.
static bool dense_blocks(const mt_window_t *w, void *scratch, uint32_t bytes, dense_blocks_t *d) {
    d->depth = (int32_t)mt_align((uint32_t)w->out_c, 8);
    int32_t rest = (int32_t)bytes - 16 * d->depth, pixels = w->in_h * w->in_w, most = rest / (2 * d->depth + 4 * DENSE_COLUMNS);
    if (rest < 0 || most < 4) {
        return false;
    }
    int32_t parts = (pixels + most - 1) / most;
    d->pixels = (pixels + parts - 1) / parts;
    d->panel = scratch;
    d->sums = d->panel + 4 * d->depth;
    d->factors = (int16_t *)(d->sums + d->pixels * DENSE_COLUMNS);
    return true;
}

// Whether three of four gradients are not zero, as far as some of them tell.
static bool is_dense(mt_gradient_t q, int32_t n) {
    int32_t step = n / DENSE_SAMPLES | 1, seen = 0, zeros = 0;
    for (int32_t i = 0; i < n; i += step, seen++) {
        zeros += !mt_gradient_at(q, i);
    }
    return 4 * zeros < seen;
}

static void fold_pixels(const mt_conv_gradient_t *g, const dense_blocks_t *d, int32_t pixel, int32_t count) {
    const mt_channels_t *ch = &g->conv->channels;
    const int32_t out_c = g->conv->window.out_c, fold_shift = 15 - g->fold_extra, half = 1 << (fold_shift - 1);
    for (int32_t o = 0; o < d->depth; o++) {
        int16_t *to = d->factors + o;
        int32_t at = pixel * out_c + o, multiplier = o < out_c ? mt_fold_multiplier(ch->scale[o], ch->scale_exponent) : 0;
        for (int32_t i = 0; i < count; i++, at += out_c, to += d->depth) {
            *to = (int16_t)(multiplier ? (mt_gradient_at(g->q, at) * multiplier + half) >> fold_shift : 0);
        }
    }
}

// Weights of input channels [from, from + 4), widened.
static MT_HOT void widen_weights(const mt_weights_t *w, int32_t out_c, int32_t from, const dense_blocks_t *d) {
    bool mixed = mt_weights_are_mixed(w);
    const int8_t *row = (mixed || !w->trained ? w->frozen : w->trained) + from;
    int32_t *to = d->panel, *end = to + 4 * out_c;
    for (; to < end; to += 4, row += w->in_c) {
        int32_t word = *(const int32_t *)(const void *)row;
        to[0] = (int8_t)word;
        to[1] = (int8_t)(word >> 8);
        to[2] = (int8_t)(word >> 16);
        to[3] = word >> 24;
    }
    memset(to, 0, (size_t)(d->depth - out_c) * 16);
    for (int32_t i = 0; mixed && i < w->count; i++) {
        int32_t column = mt_weights_channel(w, i) - from;
        for (int32_t o = 0; column >= 0 && column < 4 && o < out_c; o++) {
            d->panel[4 * o + column] = w->trained[o * w->count + i];
        }
    }
}

static void backward_dense(const mt_conv_gradient_t *g, const dense_blocks_t *d, mt_gradient_out_t *out) {
    const mt_window_t *w = &g->conv->window;
    int32_t pixels = w->in_h * w->in_w;
    for (int32_t pixel = 0; pixel < pixels; pixel += d->pixels) {
        int32_t count = min32(d->pixels, pixels - pixel);
        fold_pixels(g, d, pixel, count);
        for (int32_t from = 0; from < w->in_c; from += DENSE_COLUMNS) {
            int32_t n = min32(DENSE_COLUMNS, w->in_c - from);
            for (int32_t j = 0; j < n; j += 4) {
                widen_weights(&g->conv->weights, w->out_c, from + j, d);
                mt_multiply_panel(d->factors, d->panel, d->depth, count, d->sums + j, DENSE_COLUMNS);
            }
            for (int32_t i = 0; i < count; i++) {
                mt_gradient_store(out, d->sums + i * DENSE_COLUMNS, (size_t)((pixel + i) * w->in_c + from), (size_t)n);
            }
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
    uint32_t bytes = backward_blocks(w, g->scratch, &b);
    int32_t pixels = w->in_h * w->in_w;
    bool alike = pixels_are_alike(w, g->q), words = !(((uint32_t)w->in_c | (uintptr_t)weights->frozen | (uintptr_t)weights->trained) & 3);
    if (MT_PANELS && mt_is_pointwise(w) && words && !alike && is_dense(g->q, pixels * w->out_c) && dense_blocks(w, g->scratch, bytes, &d)) {
        backward_dense(g, &d, out);
        return;
    }
    for (int32_t from = 0; from < w->in_c; from += b.columns) {
        int32_t n = min32(b.columns, w->in_c - from);
        for (int32_t pixel = 0, count; pixel < pixels; pixel += count) {
            count = alike ? pixels : min32(b.pixels, pixels - pixel);
            sum_pixels(g, &b, from, n, pixel, alike ? 1 : count);
            for (int32_t i = 0; i < count; i++) {
                mt_gradient_store(out, b.sums + (alike ? 0 : i * b.columns), (size_t)((pixel + i) * w->in_c + from), (size_t)n);
            }
        }
    }
}

// ---- weight gradient and update ----

// Gradients of some output channels, whose input pixels are packed where that pays and a window is one pixel.
#define ROW_BYTES 2048 // of gradients
#define PIXEL_BYTES 3072 // of packed pixels
#define BIASES 32 // whose gradients are summed at once

typedef struct {
    int32_t pitch, rows, pixels; // pitch: from the gradient of one tap to the next
    int32_t *gradient; // [rows][taps][pitch]
    int32_t *sums; // [rows][taps]
    mt_term_t *terms; // [pixels, made even]
    int32_t *packed; // [pixels][pitch / 2]
} update_blocks_t;

static uint32_t update_blocks(const mt_window_t *w, int32_t count, void *scratch, update_blocks_t *b) {
    bool pointwise = mt_is_pointwise(w);
    int32_t taps = w->kernel_h * w->kernel_w, pixels = w->out_h * w->out_w;
    b->pitch = pointwise ? (int32_t)mt_align((uint32_t)count, 4) : count;
    b->rows = mt_clamp(ROW_BYTES / (4 * taps * (b->pitch + 1)), 1, w->out_c);
    b->pixels = min32(pixels, pointwise ? mt_clamp(PIXEL_BYTES / (2 * b->pitch), 8, 64) : 64);
    int32_t terms = (b->pixels + 1) & ~1;
    b->gradient = scratch;
    b->sums = b->gradient + b->rows * taps * b->pitch;
    b->terms = (mt_term_t *)(b->sums + b->rows * taps);
    b->packed = (int32_t *)(b->terms + terms);
    return (uint32_t)(4 * b->rows * taps * (b->pitch + 1) + 8 * terms + (pointwise ? 2 * b->pixels * b->pitch : 0));
}

uint32_t mt_conv2d_update_scratch(const mt_window_t *w, int32_t count) {
    update_blocks_t b;
    return update_blocks(w, count, NULL, &b);
}

// Terms of output channel o of pixels [pixel, pixel + n), whose rows lie `pitch` bytes apart.
static MT_HOT int32_t pixel_terms(mt_gradient_t q, int32_t at, int32_t n, int32_t step, int32_t pitch, mt_term_t *terms, int32_t *sum) {
    const mt_term_t *first = terms;
    int32_t total = 0;
    for (int32_t offset = 0, end = n * pitch; offset < end; offset += pitch, at += step) {
        int32_t v = mt_gradient_at(q, at);
        if (v) {
            total += v;
            terms->factor = v;
            terms->offset = offset;
            terms++;
        }
    }
    *sum += total;
    return (int32_t)(terms - first);
}

// The same for one tap of the windows of output pixels [pixel, pixel + n): where it meets the input.
static int32_t window_terms(const mt_window_t *w, mt_gradient_t q, int32_t o, int32_t tap, int32_t pixel, int32_t n, int32_t pitch, mt_term_t *terms,
    int32_t *sum) {
    const mt_term_t *first = terms;
    int32_t oy = pixel / w->out_w, ox = pixel % w->out_w, total = 0;
    int32_t top = tap / w->kernel_w - w->pad_top, left = tap % w->kernel_w - w->pad_left;
    for (int32_t i = 0, at = pixel * w->out_c + o; i < n; i++, at += w->out_c) {
        int32_t v = mt_gradient_at(q, at), iy = oy * w->stride_h + top, ix = ox * w->stride_w + left;
        if (v && iy >= 0 && iy < w->in_h && ix >= 0 && ix < w->in_w) {
            total += v;
            terms->factor = v;
            terms->offset = (iy * w->in_w + ix) * pitch;
            terms++;
        }
        if (++ox == w->out_w) {
            ox = 0;
            oy++;
        }
    }
    *sum += total;
    return (int32_t)(terms - first);
}

// What pixels [pixel, pixel + n) add to the gradient of output channel o, row j of the block. x is packed, or as it is.
static void add_pixels(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, bool packed, const update_blocks_t *b, int32_t o, int32_t j,
    int32_t pixel, int32_t n) {
    const mt_window_t *w = &c->window;
    int32_t taps = c->weights.taps, count = c->weights.count;
    for (int32_t tap = 0; tap < taps; tap++) {
        int32_t *gradient = b->gradient + (j * taps + tap) * b->pitch, *sum = b->sums + j * taps + tap;
        if (packed) {
            int32_t terms = pixel_terms(q, pixel * w->out_c + o, n, w->out_c, 2 * b->pitch, b->terms, sum);
            if (terms & 1) {
                b->terms[terms++] = (mt_term_t) {0, 0};
            }
            mt_add_packed_rows(gradient, b->packed, b->pitch, b->terms, terms);
        } else {
            int32_t terms = window_terms(w, q, o, tap, pixel, n, count, b->terms, sum);
            mt_add_rows(gradient, x, count, count, b->terms, terms);
        }
    }
}

static MT_HOT void pack_pixels(const int8_t *x, int32_t count, int32_t pitch, int32_t n, int32_t *packed) {
    for (int32_t i = 0; i < n; i++, x += count, packed += pitch / 2) {
        int32_t whole = count & ~3;
        mt_pack_row(x, whole, packed);
        if (whole < count) {
            int8_t rest[4] = {0};
            memcpy(rest, x + whole, (size_t)(count - whole));
            mt_pack_row(rest, 4, packed + whole / 2);
        }
    }
}

// Gradients [taps][count] of output channels [o, o + rows), less the input's zero point times the sums of what they were multiplied with.
static void weight_gradients(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, const update_blocks_t *b, int32_t o, int32_t rows) {
    const mt_window_t *w = &c->window;
    const int32_t taps = c->weights.taps, pixels = w->out_h * w->out_w;
    const bool packed = MT_PANELS && mt_is_pointwise(w) && !q.wide;
    memset(b->gradient, 0, (size_t)(4 * rows * taps * b->pitch));
    memset(b->sums, 0, (size_t)(4 * rows * taps));
    for (int32_t pixel = 0; pixel < pixels; pixel += b->pixels) {
        int32_t n = min32(b->pixels, pixels - pixel);
        if (packed && (o == 0 || b->pixels < pixels)) {
            pack_pixels(x + pixel * c->weights.count, c->weights.count, b->pitch, n, b->packed);
        }
        for (int32_t j = 0; j < rows; j++) {
            add_pixels(c, q, x, packed, b, o + j, j, pixel, n);
        }
    }
    for (int32_t t = 0; t < rows * taps; t++) {
        int32_t zero = w->in_zero * b->sums[t], *gradient = b->gradient + t * b->pitch;
        for (int32_t i = 0; i < c->weights.count; i++) {
            gradient[i] -= zero;
        }
    }
}

void mt_conv2d_update_weights(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch) {
    int32_t n = c->weights.taps * c->weights.count;
    update_blocks_t b;
    update_blocks(&c->window, c->weights.count, scratch, &b);
    for (int32_t first = 0; first < c->window.out_c; first += b.rows) {
        int32_t rows = min32(b.rows, c->window.out_c - first);
        weight_gradients(c, q, x, &b, first, rows);
        for (int32_t j = 0, o = first; j < rows; j++, o++) {
            int32_t *gradient = b.gradient + j * c->weights.taps * b.pitch, moved;
            mt_update_observe(u, 0, (uint32_t)o, gradient, (uint32_t)n);
            mt_update_weights(u, (uint32_t)o, c->channels.scale[o], gradient, c->weights.trained + o * n, mt_weights_fraction(&c->weights, o * n), n,
                &moved);
            if (c->channels.zero_sum) {
                c->channels.zero_sum[o] -= c->window.in_zero * moved;
            }
        }
    }
}

// Sums of n channels over all pixels, `step` channels apart.
static MT_HOT void sum_channels(mt_gradient_t q, int32_t at, int32_t pixels, int32_t step, int32_t n, int32_t *sums) {
    const bool words = !q.wide && pixels <= 256 && !(((uintptr_t)q.data | (uint32_t)(at | step | n)) & 3);
    for (int32_t j = 0; words && j < n; j += 4) { // two bytes each, as numbers from 0 to 255
        const uint32_t *from = (const uint32_t *)q.data + (at + j) / 4, low = 0x00FF00FF;
        uint32_t even = 0, odd = 0;
        for (const uint32_t *end = from + pixels * (step / 4); from < end; from += step / 4) {
            uint32_t word = *from ^ 0x80808080;
            even += word & low;
            odd += word >> 8 & low;
        }
        for (int32_t k = 0; k < 4; k++) {
            sums[j + k] = (int32_t)((k % 2 ? odd : even) >> k / 2 * 16 & 0xFFFF) - 128 * pixels;
        }
    }
    for (int32_t j = 0; !words && j < n; j++) {
        sums[j] = 0;
        for (int32_t p = 0; p < pixels; p++) {
            sums[j] += mt_gradient_at(q, at + j + p * step);
        }
    }
}

void mt_update_channel_biases(const mt_window_t *w, const mt_channels_t *channels, mt_gradient_t q, const mt_update_t *u) {
    int32_t sums[BIASES];
    for (int32_t first = 0; first < w->out_c; first += BIASES) {
        int32_t n = min32(BIASES, w->out_c - first);
        sum_channels(q, first, w->out_h * w->out_w, w->out_c, n, sums);
        for (int32_t j = 0, o = first; j < n; j++, o++) {
            mt_update_observe(u, 1, (uint32_t)o, &sums[j], 1);
            mt_update_bias(u, (uint32_t)o, channels->scale[o], sums[j], &channels->master[o]);
        }
    }
}
