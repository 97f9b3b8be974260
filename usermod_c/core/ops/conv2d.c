#include "conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"
#include "../scale.h"

#define COLUMN_BYTES 2048 // of input patches gathered at once
#define MAX_PIXELS 128
#define PANEL_BYTES 6144 // of panels packed at once
#define PANEL_PIXELS 32 // whose sums are kept at once
#define TILE 8 // most input pixels of one row whose gradient is accumulated at once
#define TILE_BYTES 4096 // of their accumulators

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

// Channels from o on; for panels their rows lie `pitch` apart, in `row_buffer` if not so by themselves.
static void load_rows(const mt_conv_t *c, int32_t o, int32_t pitch, bool packed, int8_t *row_buffer, rows_t *rows) {
    const mt_channels_t *ch = &c->channels;
    const int32_t k = patch_bytes(&c->window);
    bool changing = c->weights.trained && !ch->zero_sum;
    rows->count = min32(4, c->window.out_c - o);
    rows->quick = rows->count == 4;
    for (int32_t j = 0; j < 4; j++) {
        int32_t r = o + min32(j, rows->count - 1);
        rows->weights[j] = j < rows->count ? mt_weights_row(&c->weights, r, 0, c->weights.taps, row_buffer + j * pitch) : rows->weights[0];
        if (packed && k != pitch && j < rows->count) {
            int8_t *row = row_buffer + j * pitch;
            memmove(row, rows->weights[j], (size_t)k);
            memset(row + k, 0, (size_t)(pitch - k));
            rows->weights[j] = row;
        }
        int32_t start = changing ? mt_channel_bias(ch, r) - c->window.in_zero * mt_sum(rows->weights[j], k) : mt_channel_start(ch, r);
        rows->finish[j] = mt_finish_row(start, ch->mult[r], ch->shift[r]);
        rows->quick = rows->quick && mt_finish_takes(c->window.round_once, &rows->finish[j], k);
    }
}

static void finish_channel(const mt_finish_t f, int32_t at, const mt_finish_row_t row, const int32_t *sums, int32_t n) {
    const int32_t mult = row.mult_high * 65536 + row.mult_low;
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

// Output columns whose window meets input columns [x0, x1).
static void columns_meeting(const mt_window_t *w, int32_t x0, int32_t x1, int32_t *first, int32_t *end) {
    int32_t low = x0 + w->pad_left - w->kernel_w + 1;
    *first = low <= 0 ? 0 : (low + w->stride_w - 1) / w->stride_w;
    *end = min32(w->out_w, (x1 - 1 + w->pad_left) / w->stride_w + 1);
}

static int32_t tile_width(const mt_window_t *w) {
    return min32(w->in_w, mt_clamp(TILE_BYTES / 4 / w->in_c, 1, TILE));
}

static int32_t most_columns(const mt_window_t *w) {
    return min32(w->out_w, (tile_width(w) + w->kernel_w - 2) / w->stride_w + 1);
}

typedef struct {
    int32_t *acc; // [tile_width][in_c]
    int16_t *multipliers; // [out_c]
    int16_t *folded; // [columns][out_c]
    int8_t *row_buffer; // [kernel_w][in_c]
} backward_scratch_t;

static uint32_t split_scratch(const mt_window_t *w, void *scratch, backward_scratch_t *s) {
    uint32_t acc = (uint32_t)(tile_width(w) * w->in_c) * 4, multipliers = (uint32_t)w->out_c * 2;
    uint32_t folded = (uint32_t)(most_columns(w) * w->out_c) * 2;
    if (s) {
        uint8_t *p = scratch;
        *s = (backward_scratch_t) {(int32_t *)p, (int16_t *)(p + acc), (int16_t *)(p + acc + multipliers), (int8_t *)(p + acc + multipliers + folded)};
    }
    return acc + multipliers + folded;
}

uint32_t mt_conv2d_backward_input_scratch(const mt_window_t *w, bool mixed) {
    return split_scratch(w, NULL, NULL) + (mixed ? (uint32_t)(w->kernel_w * w->in_c) : 0);
}

uint32_t mt_conv2d_backward_terms(const mt_window_t *w) {
    int32_t rows = (w->kernel_h + w->stride_h - 1) / w->stride_h, columns = (w->kernel_w + w->stride_w - 1) / w->stride_w;
    return (uint32_t)(rows * columns * w->out_c);
}

// Adds output row `oy`, window row `ky`, to the accumulators of input columns [x0, x1).
static void backward_window_row(const mt_conv_gradient_t *g, const backward_scratch_t *s, int32_t oy, int32_t ky, int32_t x0, int32_t x1) {
    const mt_conv_t *c = g->conv;
    const mt_window_t *w = &c->window;
    int32_t first, end;
    columns_meeting(w, x0, x1, &first, &end);
    const mt_gradient_t q = g->q;
    const int fold_shift = 15 - g->fold_extra;
    const int32_t half = 1 << (fold_shift - 1);
    for (int32_t ox = first; ox < end; ox++) {
        int32_t at = (oy * w->out_w + ox) * w->out_c;
        int16_t *h = s->folded + (ox - first) * w->out_c;
        for (int32_t o = 0; o < w->out_c; o++) {
            int32_t product = mt_gradient_at(q, at + o) * s->multipliers[o];
            h[o] = (int16_t)mt_clamp((product + half) >> fold_shift, -MT_FOLD_MAX, MT_FOLD_MAX);
        }
    }
    for (int32_t o = 0; o < w->out_c; o++) {
        const int8_t *row = NULL;
        for (int32_t ox = first; ox < end; ox++) {
            int32_t h = s->folded[(ox - first) * w->out_c + o];
            if (!h) {
                continue; // masked, and half of all gradients are
            }
            if (!row) {
                row = mt_weights_row(&c->weights, o, ky * w->kernel_w, w->kernel_w, s->row_buffer);
            }
            int32_t left = ox * w->stride_w - w->pad_left;
            int32_t from = left < x0 ? x0 : left, to = min32(left + w->kernel_w, x1);
            if (from < to) { // neighbouring taps are neighbours in memory on both sides
                mt_axpy(s->acc + (from - x0) * w->in_c, h, row + (from - left) * w->in_c, (to - from) * w->in_c);
            }
        }
    }
}

MT_HOT void mt_conv2d_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_conv_gradient_t *g = context;
    const mt_window_t *w = &g->conv->window;
    const mt_channels_t *ch = &g->conv->channels;
    backward_scratch_t s;
    split_scratch(w, g->scratch, &s);
    for (int32_t o = 0; o < w->out_c; o++) {
        s.multipliers[o] = mt_fold_multiplier(ch->scale[o], ch->scale_exponent);
    }
    for (int32_t iy = 0; iy < w->in_h; iy++) {
        for (int32_t x0 = 0, tile = tile_width(w); x0 < w->in_w; x0 += tile) {
            int32_t x1 = min32(x0 + tile, w->in_w), n = (x1 - x0) * w->in_c;
            memset(s.acc, 0, (size_t)n * 4);
            for (int32_t ky = 0; ky < w->kernel_h; ky++) {
                int32_t oy = mt_window_output(iy, w->pad_top, ky, w->stride_h, w->out_h);
                if (oy >= 0) {
                    backward_window_row(g, &s, oy, ky, x0, x1);
                }
            }
            mt_gradient_store(out, s.acc, (size_t)((iy * w->in_w + x0) * w->in_c), (size_t)n);
        }
    }
}

// ---- weight gradient and update ----

uint32_t mt_conv2d_update_scratch(const mt_window_t *w, int32_t count) {
    return (uint32_t)(w->kernel_h * w->kernel_w * (count + 1)) * 4;
}

// gradient [taps][count] and position sums [taps] of output channel o.
static void weight_gradient(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, int32_t o, int32_t *gradient, int32_t *sums) {
    const mt_window_t *w = &c->window;
    int32_t count = c->weights.count, taps = c->weights.taps;
    memset(gradient, 0, (size_t)(taps * count) * 4);
    memset(sums, 0, (size_t)taps * 4);
    for (int32_t oy = 0, at = o; oy < w->out_h; oy++) {
        int32_t y0 = oy * w->stride_h - w->pad_top;
        for (int32_t ox = 0; ox < w->out_w; ox++, at += w->out_c) {
            int32_t v = mt_gradient_at(q, at);
            if (!v) {
                continue;
            }
            int32_t x0 = ox * w->stride_w - w->pad_left;
            int32_t left = x0 < 0 ? -x0 : 0, right = min32(w->kernel_w, w->in_w - x0);
            for (int32_t ky = y0 < 0 ? -y0 : 0; ky < w->kernel_h && y0 + ky < w->in_h; ky++) {
                int32_t tap = ky * w->kernel_w + left;
                mt_axpy(gradient + tap * count, v, x + ((y0 + ky) * w->in_w + x0 + left) * count, (right - left) * count);
                for (int32_t kx = left; kx < right; kx++, tap++) {
                    sums[tap] += v;
                }
            }
        }
    }
    for (int32_t t = 0; t < taps; t++) {
        int32_t zero = w->in_zero * sums[t];
        for (int32_t i = 0; i < count; i++) {
            gradient[t * count + i] -= zero;
        }
    }
}

MT_HOT void mt_conv2d_update_weights(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch) {
    int32_t n = c->weights.taps * c->weights.count;
    int32_t *gradient = scratch, *sums = gradient + n;
    for (int32_t o = 0; o < c->window.out_c; o++) {
        weight_gradient(c, q, x, o, gradient, sums);
        mt_update_observe(u, 0, (uint32_t)o, gradient, (uint32_t)n);
        int32_t moved;
        mt_update_weights(u, (uint32_t)o, c->channels.scale[o], gradient, c->weights.trained + o * n, mt_weights_fraction(&c->weights, o * n), n,
            &moved);
        if (c->channels.zero_sum) {
            c->channels.zero_sum[o] -= c->window.in_zero * moved;
        }
    }
}

void mt_update_channel_biases(const mt_window_t *w, const mt_channels_t *channels, mt_gradient_t q, const mt_update_t *u) {
    for (int32_t o = 0; o < w->out_c; o++) {
        int32_t g = 0;
        for (int32_t p = 0; p < w->out_h * w->out_w; p++) {
            g += mt_gradient_at(q, p * w->out_c + o);
        }
        mt_update_observe(u, 1, (uint32_t)o, &g, 1);
        mt_update_bias(u, (uint32_t)o, channels->scale[o], g, &channels->master[o]);
    }
}
