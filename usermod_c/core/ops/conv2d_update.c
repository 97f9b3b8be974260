// Weight gradient of conv2d with its update, and the bias updates of all operators but a head.
#include "conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"

// Gradients of some output channels, whose input pixels are packed where that pays and a window is one pixel.
#define ROW_BYTES 2880 // of gradients
#define PIXEL_BYTES 3072 // of packed pixels
#define BIASES 32 // whose gradients are summed at once

typedef struct {
    int32_t pitch, rows, pixels, taps; // pitch: from the gradient of one tap to the next
    int32_t *gradient; // [rows][taps][pitch]
    int32_t *sums; // [rows][taps]
    mt_term_t *terms; // [pixels, made even]
    int32_t *packed; // [pixels][pitch / 2]
} update_blocks_t;

static int32_t most_terms(const update_blocks_t *b) {
    return (b->pixels + 1) & ~1;
}

// Sizes, and the bytes of scratch.
static uint32_t update_blocks(const mt_window_t *w, int32_t count, update_blocks_t *b) {
    bool pointwise = mt_is_pointwise(w);
    b->taps = w->kernel_h * w->kernel_w;
    b->pitch = pointwise ? (int32_t)mt_align((uint32_t)count, 4) : count;
    b->rows = mt_clamp(ROW_BYTES / (4 * b->taps * (b->pitch + 1)), 1, w->out_c);
    b->pixels = mt_min(w->out_h * w->out_w, pointwise ? mt_clamp(PIXEL_BYTES / (2 * b->pitch), 8, 64) : 64);
    return (uint32_t)(4 * b->rows * b->taps * (b->pitch + 1) + 8 * most_terms(b) + (pointwise ? 2 * b->pixels * b->pitch : 0));
}

static void place_blocks(update_blocks_t *b, void *scratch) {
    b->gradient = scratch;
    b->sums = b->gradient + b->rows * b->taps * b->pitch;
    b->terms = (mt_term_t *)(b->sums + b->rows * b->taps);
    b->packed = (int32_t *)(b->terms + most_terms(b));
}

#define DENSE_BYTES 6656 // of the blocks below, which are the same on all processors: words for a panel, 16 bits for factors
#define DENSE_DEPTH 64 // pixels at once

static int32_t dense_depth(const mt_window_t *w) {
    return mt_min(DENSE_DEPTH, (int32_t)mt_align((uint32_t)(w->out_h * w->out_w), 4));
}

uint32_t mt_conv2d_update_scratch(const mt_window_t *w, int32_t count) {
    update_blocks_t b;
    int32_t bytes = (int32_t)update_blocks(w, count, &b), depth = dense_depth(w);
    int32_t dense = mt_is_pointwise(w) && b.pixels >= 8 ? mt_min(8 * depth + w->out_c * (4 * count + 2 * depth), DENSE_BYTES) : 0;
    return (uint32_t)(dense > bytes ? dense : bytes);
}

// Terms of output channel o of pixels [pixel, pixel + n), whose rows lie `pitch` bytes apart; of gradients of 8 bits.
static MT_HOT int32_t pixel_terms(mt_gradient_t q, int32_t at, int32_t n, int32_t step, int32_t pitch, mt_term_t *terms, int32_t *sum) {
    const mt_term_t *first = terms;
    const int8_t *from = (const int8_t *)q.data + at;
    int32_t total = 0;
    for (int32_t offset = 0, end = n * pitch; offset < end; offset += pitch, from += step) {
        int32_t v = *from;
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
    if (count == pitch) { // one long row
        mt_pack_row(x, n * count, packed);
        return;
    }
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

static MT_HOT void one_pixel(int32_t v, const int8_t *x, int32_t zero, int32_t n, int32_t *gradient) {
    mt_scale_row(v, v * zero, x, n, gradient);
}

static MT_HOT void subtract(int32_t *from, int32_t less, int32_t n) {
    for (const int32_t *end = from + (n & ~3); from < end; from += 4) {
        int32_t a = from[0], b = from[1], c = from[2], d = from[3];
        from[0] = a - less;
        from[1] = b - less;
        from[2] = c - less;
        from[3] = d - less;
    }
    for (const int32_t *end = from + (n & 3); from < end; from++) {
        *from -= less;
    }
}

// Gradients [taps][count] of output channels [o, o + rows), less the input's zero point times the sums of what they were multiplied with.
static void weight_gradients(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, const update_blocks_t *b, int32_t o, int32_t rows) {
    const mt_window_t *w = &c->window;
    const int32_t taps = c->weights.taps, pixels = w->out_h * w->out_w;
    const bool packed = MT_ROWS && mt_is_pointwise(w) && !q.wide;
    if (mt_is_pointwise(w) && pixels == 1) {
        for (int32_t j = 0; j < rows; j++) {
            one_pixel(mt_gradient_at(q, o + j), x, w->in_zero, c->weights.count, b->gradient + j * b->pitch);
        }
        return;
    }
    memset(b->gradient, 0, (size_t)(4 * rows * taps * b->pitch));
    memset(b->sums, 0, (size_t)(4 * rows * taps));
    for (int32_t pixel = 0; pixel < pixels; pixel += b->pixels) {
        int32_t n = mt_min(b->pixels, pixels - pixel);
        if (packed && (o == 0 || b->pixels < pixels)) {
            pack_pixels(x + pixel * c->weights.count, c->weights.count, b->pitch, n, b->packed);
        }
        for (int32_t j = 0; j < rows; j++) {
            add_pixels(c, q, x, packed, b, o + j, j, pixel, n);
        }
    }
    for (int32_t t = 0; t < rows * taps; t++) {
        subtract(b->gradient + t * b->pitch, w->in_zero * b->sums[t], b->pitch);
    }
}

// The same of 1x1 convolutions where few gradients are zero: of some output channels, four input channels' pixels after the other are made a panel.
typedef struct {
    int32_t rows, depth; // rows: a multiple of 4
    int32_t *panel; // [depth][4]
    int32_t *gradient; // [rows][count]
    mt_outer_t *factors; // [rows][depth]
} dense_blocks_t;

// Whether these channels can be computed so.
static bool dense_blocks(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, void *scratch, dense_blocks_t *d) {
    const mt_window_t *w = &c->window;
    const int32_t pixels = w->out_h * w->out_w, count = c->weights.count;
    bool words = !(((uint32_t)w->out_c | (uint32_t)count | (uintptr_t)q.data | (uintptr_t)x) & 3);
    if (!MT_DENSE || !mt_is_pointwise(w) || pixels < 8 || q.wide || !words || !mt_gradient_is_dense(q, pixels * w->out_c, MT_OUTER_ZEROS)) {
        return false;
    }
    d->depth = dense_depth(w);
    int32_t bytes = (int32_t)mt_conv2d_update_scratch(w, count), panel = 4 * MT_OUTER_WORDS * d->depth;
    int32_t row = 4 * count + d->depth * (int32_t)sizeof(mt_outer_t);
    d->rows = mt_min((bytes - panel) / row & ~3, w->out_c);
    d->panel = scratch;
    d->gradient = (int32_t *)((int8_t *)scratch + panel);
    d->factors = (mt_outer_t *)(d->gradient + d->rows * count);
    return d->rows >= 4;
}

static MT_HOT __attribute__((noinline)) void dense_gradients(const mt_conv_t *c, const int8_t *q, const int8_t *x, const dense_blocks_t *d, int32_t o,
    int32_t rows) {
    const int32_t pixels = c->window.out_h * c->window.out_w, out_c = c->window.out_c, count = c->weights.count;
    int32_t *to = d->gradient;
    for (int32_t j = 0; j < rows; j += 4) {
        int32_t sums[4];
        sum_channels((mt_gradient_t) {q, false}, o + j, pixels, out_c, 4, sums);
        for (int32_t i = 0; i < 4; i++) {
            const int32_t less = -c->window.in_zero * sums[i];
            for (const int32_t *end = to + count; to < end; to += 4) {
                to[0] = to[1] = to[2] = to[3] = less;
            }
        }
    }
    for (int32_t pixel = 0; pixel < pixels; pixel += d->depth) {
        const int32_t n = mt_min(d->depth, pixels - pixel), depth = (int32_t)mt_align((uint32_t)n, 4);
        for (int32_t j = 0; j < rows; j += 4) {
            mt_outer_factors(q + pixel * out_c + o + j, out_c, n, depth, d->factors + j * depth);
        }
        for (int32_t i = 0; i < count; i += 4) {
            mt_outer_panel(x + pixel * count + i, count, n, depth, d->panel);
            mt_outer_add(d->factors, d->panel, depth, rows, d->gradient + i, count);
        }
    }
}

void mt_conv2d_update_weights(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch) {
    int32_t n = c->weights.taps * c->weights.count;
    update_blocks_t b;
    dense_blocks_t d;
    update_blocks(&c->window, c->weights.count, &b);
    place_blocks(&b, scratch);
    const bool dense = dense_blocks(c, q, x, scratch, &d);
    const int32_t most = dense ? d.rows : b.rows, pitch = dense ? n : c->weights.taps * b.pitch;
    for (int32_t first = 0; first < c->window.out_c; first += most) {
        int32_t rows = mt_min(most, c->window.out_c - first);
        if (dense) {
            dense_gradients(c, q.data, x, &d, first, rows);
        } else {
            weight_gradients(c, q, x, &b, first, rows);
        }
        for (int32_t j = 0, o = first; j < rows; j++, o++) {
            int32_t *gradient = (dense ? d.gradient : b.gradient) + j * pitch, moved;
            mt_update_observe(u, 0, (uint32_t)o, gradient, (uint32_t)n);
            mt_update_weights(u, (uint32_t)o, c->channels.scale[o], gradient, c->weights.trained + o * n, mt_weights_fraction(&c->weights, o * n), n,
                &moved);
            if (c->channels.zero_sum) {
                c->channels.zero_sum[o] -= c->window.in_zero * moved;
            }
        }
    }
}

void mt_update_channel_biases(const mt_window_t *w, const mt_channels_t *channels, mt_gradient_t q, const mt_update_t *u) {
    int32_t sums[BIASES];
    for (int32_t first = 0; first < w->out_c; first += BIASES) {
        int32_t n = mt_min(BIASES, w->out_c - first);
        sum_channels(q, first, w->out_h * w->out_w, w->out_c, n, sums);
        for (int32_t j = 0, o = first; j < n; j++, o++) {
            mt_update_observe(u, 1, (uint32_t)o, &sums[j], 1);
            mt_update_bias(u, (uint32_t)o, channels->scale[o], sums[j], &channels->master[o]);
        }
    }
}
