#include "../arch/plane.h"

#if MT_PLANES && defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os") // usual shapes are depthwise_packed.c's
#endif

#include "depthwise_conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"
#include "../fixed.h"
#include "../scale.h"
#include "depthwise_packed.h"

#define LANES 16 // channels whose accumulators are kept in registers at once
#define BLOCK 32 // input channels whose rows are copied aside at once
#define GRADIENT_BLOCK 64 // input channels whose gradient is accumulated at once
#define FOLD_EXTRA 8

static int32_t padded_width(const mt_window_t *w) {
    return (w->out_w - 1) * w->stride_w + w->kernel_w;
}

static uint32_t kernel_bytes(const mt_window_t *w) {
    return (uint32_t)(w->kernel_h * w->kernel_w * w->out_c);
}

static int32_t forward_block_size(const mt_window_t *w) {
    return w->in_c < BLOCK ? w->in_c : BLOCK;
}

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

uint32_t mt_depthwise_forward_scratch(const mt_window_t *w, bool mixed) {
    int32_t block = forward_block_size(w);
    uint32_t plain = (uint32_t)(block * (w->out_c / w->in_c) * 4 + w->kernel_h * padded_width(w) * block);
    return larger(plain, mt_depthwise_packed_forward_scratch(w)) + (mixed ? kernel_bytes(w) : 0);
}

bool mt_depthwise_may_overwrite(const mt_window_t *w) {
    // an output keeps to its channel's bytes of the pixels; row y ends before the first input row that has not been copied aside yet, and
    // the last one inside the input
    return w->out_c == w->in_c && w->out_w <= w->in_w && w->out_h <= w->in_h && w->pad_top < w->kernel_h;
}

// All weights as [taps][out_c], put together in `buffer` where some are trained and some are not.
static const int8_t *whole_kernel(const mt_depthwise_t *d, int8_t *buffer) {
    const mt_weights_t *w = &d->weights;
    if (!mt_weights_are_mixed(w)) {
        return w->trained ? w->trained : w->frozen;
    }
    memcpy(buffer, w->frozen, (size_t)(w->taps * w->in_c));
    for (int32_t t = 0; t < w->taps; t++) {
        for (int32_t i = 0; i < w->count; i++) {
            int32_t channel = mt_weights_channel(w, i / d->multiplier) * d->multiplier + i % d->multiplier;
            buffer[t * w->in_c + channel] = w->trained[t * w->count + i];
        }
    }
    return buffer;
}

typedef struct { // some input channels, with the rows of them that were copied aside
    int32_t from, count;
    int32_t *start; // of the accumulators of their outputs
    int8_t *ring; // [kernel_h][padded_width][count]
    int32_t row_bytes;
} block_t;

static void copy_row(const mt_window_t *w, const block_t *b, const int8_t *x, int32_t iy, int8_t *to) {
    if (iy < 0 || iy >= w->in_h) {
        memset(to, w->in_zero, (size_t)b->row_bytes);
        return;
    }
    int32_t left = w->pad_left * b->count, middle = w->in_w * b->count;
    if (middle > b->row_bytes - left) {
        middle = b->row_bytes - left;
    }
    memset(to, w->in_zero, (size_t)left);
    x += iy * w->in_w * w->in_c + b->from;
    if (b->count == w->in_c) {
        memcpy(to + left, x, (size_t)middle);
    } else {
        for (int32_t at = left; at < left + middle; at += b->count, x += w->in_c) {
            memcpy(to + at, x, (size_t)b->count);
        }
    }
    memset(to + left + middle, w->in_zero, (size_t)(b->row_bytes - left - middle));
}

// Output channels [o, o + n), n <= LANES, of one pixel. Its window starts at padded row `top`, byte `column` of each row in the ring.
static void forward_lanes(const mt_depthwise_t *d, const block_t *b, int32_t top, int32_t column, const int8_t *kernel, int32_t pixel, int32_t o,
    int32_t n, int8_t *y) {
    const mt_window_t *w = &d->window;
    int32_t acc[LANES];
    for (int32_t j = 0; j < n; j++) {
        acc[j] = b->start[o - b->from * d->multiplier + j];
    }
    for (int32_t ky = 0; ky < w->kernel_h; ky++) {
        const int8_t *x = b->ring + (top + ky) % w->kernel_h * b->row_bytes + column;
        const int8_t *k = kernel + ky * w->kernel_w * w->out_c + o;
        for (int32_t kx = 0; kx < w->kernel_w; kx++, x += b->count, k += w->out_c) {
            if (d->multiplier == 1) {
                mt_multiply_add(acc, x + (o - b->from), k, n);
            } else {
                for (int32_t j = 0; j < n; j++) {
                    acc[j] += x[(o + j) / d->multiplier - b->from] * k[j];
                }
            }
        }
    }
    const int32_t *mult = d->channels.mult + o;
    const int8_t *shift = d->channels.shift + o;
    const mt_finish_t f = mt_finish_of(w, d->mask, y);
    for (int32_t j = 0, at = pixel * w->out_c + o; j < n; j++, at++) {
        mt_finish(f, at, acc[j], mult[j], shift[j]);
    }
}

static void forward_block(const mt_depthwise_t *d, const block_t *b, const int8_t *kernel, const int8_t *x, int8_t *y) {
    const mt_window_t *w = &d->window;
    int32_t copied = 0, begin = b->from * d->multiplier, end = begin + b->count * d->multiplier;
    for (int32_t o = begin; o < end; o++) {
        int32_t sum = 0;
        for (int32_t t = 0; d->weights.trained && t < d->weights.taps; t++) {
            sum += kernel[t * w->out_c + o];
        }
        b->start[o - begin] = d->weights.trained ? mt_channel_bias(&d->channels, o) - w->in_zero * sum : mt_channel_start(&d->channels, o);
    }
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        int32_t top = oy * w->stride_h;
        if (copied < top) {
            copied = top;
        }
        for (; copied < top + w->kernel_h; copied++) { // rows below it, counted from the padding's top, are in the ring
            copy_row(w, b, x, copied - w->pad_top, b->ring + copied % w->kernel_h * b->row_bytes);
        }
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            for (int32_t o = begin; o < end; o += LANES) {
                int32_t n = end - o < LANES ? end - o : LANES;
                forward_lanes(d, b, top, ox * w->stride_w * b->count, kernel, oy * w->out_w + ox, o, n, y);
            }
        }
    }
}

void mt_depthwise_forward(const mt_depthwise_t *d, const int8_t *x, int8_t *y, void *scratch) {
    const mt_window_t *w = &d->window;
    if (d->mask) {
        mt_mask_set(d->mask, (size_t)(w->out_h * w->out_w * w->out_c));
    }
    int32_t block = forward_block_size(w);
    block_t b = {.from = d->first, .start = scratch};
    b.ring = (int8_t *)(b.start + block * d->multiplier);
    const int8_t *kernel = whole_kernel(d, (int8_t *)scratch + mt_depthwise_forward_scratch(w, false));
    if (MT_PLANES && mt_depthwise_packed_forward(d, kernel, x, y, scratch)) {
        return;
    }
    for (; b.from < d->end; b.from += block) {
        b.count = d->end - b.from < block ? d->end - b.from : block;
        b.row_bytes = padded_width(w) * b.count;
        forward_block(d, &b, kernel, x, y);
    }
}

// ---- input gradient ----

static int32_t gradient_block(const mt_window_t *w) {
    return w->in_c < GRADIENT_BLOCK ? w->in_c : GRADIENT_BLOCK;
}

uint32_t mt_depthwise_backward_input_scratch(const mt_window_t *w, bool mixed) {
    int32_t block = gradient_block(w);
    uint32_t plain = (uint32_t)(block * (w->out_c / w->in_c) * 4 + block * 4 + block * (w->out_c / w->in_c) * 2);
    return larger(plain, mt_depthwise_packed_backward_scratch(w)) + (mixed ? kernel_bytes(w) : 0);
}

// acc[0..n): gradient of input channels [from, from + n) of pixel (iy, ix).
static void gradient_of_pixel(const mt_depthwise_gradient_t *g, int32_t iy, int32_t ix, int32_t from, int32_t n, const int8_t *kernel,
    const int16_t *multipliers, int32_t *sums, int32_t *acc) {
    const mt_depthwise_t *d = g->depthwise;
    const mt_window_t *w = &d->window;
    int32_t outputs = n * d->multiplier, o = from * d->multiplier;
    memset(sums, 0, (size_t)outputs * 4);
    for (int32_t ky = 0; ky < w->kernel_h; ky++) {
        int32_t oy = mt_window_output(iy, w->pad_top, ky, w->stride_h, w->out_h);
        if (oy < 0) {
            continue;
        }
        for (int32_t kx = 0; kx < w->kernel_w; kx++) {
            int32_t ox = mt_window_output(ix, w->pad_left, kx, w->stride_w, w->out_w);
            if (ox < 0) {
                continue;
            }
            int32_t at = (oy * w->out_w + ox) * w->out_c + o;
            const int8_t *k = kernel + (ky * w->kernel_w + kx) * w->out_c + o;
            if (g->q.wide) {
                mt_multiply_add_wide(sums, (const int16_t *)g->q.data + at, k, outputs);
            } else {
                mt_multiply_add(sums, (const int8_t *)g->q.data + at, k, outputs);
            }
        }
    }
    for (int32_t i = 0; i < n; i++) {
        int64_t a = 0;
        for (int32_t j = 0; j < d->multiplier; j++) {
            a += (int64_t)*sums++ * *multipliers++;
        }
        acc[i] = mt_clamp64(mt_round_shift(a, 15 - FOLD_EXTRA), -INT32_MAX, INT32_MAX);
    }
}

#if !MT_PLANES
MT_HOT
#endif
void mt_depthwise_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_depthwise_gradient_t *g = context;
    const mt_depthwise_t *d = g->depthwise;
    const mt_window_t *w = &d->window;
    int32_t block = gradient_block(w), *sums = out->scratch, *acc = sums + block * d->multiplier;
    int16_t *multipliers = (int16_t *)(acc + block);
    const int8_t *kernel = whole_kernel(d, (int8_t *)out->scratch + mt_depthwise_backward_input_scratch(w, false));
    if (MT_PLANES && mt_depthwise_packed_backward_input(g, kernel, out)) {
        return;
    }
    for (int32_t from = out->first; from < out->end; from += block) {
        int32_t n = out->end - from < block ? out->end - from : block;
        for (int32_t j = 0, o = from * d->multiplier; j < n * d->multiplier; j++, o++) {
            multipliers[j] = mt_fold_multiplier(d->channels.scale[o], d->channels.scale_exponent);
        }
        for (int32_t iy = 0; iy < w->in_h; iy++) {
            for (int32_t ix = 0; ix < w->in_w; ix++) {
                gradient_of_pixel(g, iy, ix, from, n, kernel, multipliers, sums, acc);
                mt_gradient_store(out, acc, (size_t)((iy * w->in_w + ix) * w->in_c + from), (size_t)n);
            }
        }
    }
}

// ---- weight gradient and update ----

uint32_t mt_depthwise_update_scratch(const mt_window_t *w) {
    return mt_depthwise_packed_gradient_scratch(w) + (uint32_t)(w->kernel_h * w->kernel_w) * 6;
}

// Gradient [taps] of output channel o, whose input is channel `i` of `channels` kept ones.
static void weight_gradient(const mt_window_t *w, mt_gradient_t q, int32_t o, const int8_t *x, int32_t i, int32_t channels, int32_t *gradient) {
    memset(gradient, 0, (size_t)(w->kernel_h * w->kernel_w) * 4);
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            int32_t v = mt_gradient_at(q, (oy * w->out_w + ox) * w->out_c + o);
            if (!v) {
                continue;
            }
            for (int32_t ky = 0; ky < w->kernel_h; ky++) {
                int32_t iy = oy * w->stride_h - w->pad_top + ky;
                if (iy < 0 || iy >= w->in_h) {
                    continue;
                }
                for (int32_t kx = 0; kx < w->kernel_w; kx++) {
                    int32_t ix = ox * w->stride_w - w->pad_left + kx;
                    if (ix >= 0 && ix < w->in_w) {
                        gradient[ky * w->kernel_w + kx] += v * (x[(iy * w->in_w + ix) * channels + i] - w->in_zero);
                    }
                }
            }
        }
    }
}

static void copy_bytes(int8_t *to, int32_t to_step, const int8_t *from, int32_t from_step, int32_t n) {
    for (; n > 0; n--, to += to_step, from += from_step) {
        *to = *from;
    }
}

void mt_depthwise_update_weights(const mt_depthwise_t *d, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch) {
    const mt_window_t *w = &d->window;
    int32_t count = d->weights.count, taps = d->weights.taps;
    mt_planes_t planes;
    bool packed = MT_PLANES && !q.wide && mt_depthwise_packed_gradient_begin(w, &planes, scratch);
    int32_t *gradient = (int32_t *)scratch + mt_depthwise_packed_gradient_scratch(w) / 4;
    int8_t *column = (int8_t *)(gradient + taps), *fraction_column = column + taps; // the channel's weights, which lie apart
    for (int32_t i = 0; i < count; i++) {
        int32_t o = mt_weights_channel(&d->weights, i / d->multiplier) * d->multiplier + i % d->multiplier;
        if (packed) {
            mt_depthwise_packed_gradient(&planes, w, q.data, o, x, i / d->multiplier, count / d->multiplier, gradient);
        } else {
            weight_gradient(w, q, o, x, i / d->multiplier, count / d->multiplier, gradient);
        }
        mt_update_observe(u, 0, (uint32_t)o, gradient, (uint32_t)taps);
        int8_t *trained = d->weights.trained + i, *fraction = mt_weights_fraction(&d->weights, i);
        copy_bytes(column, 1, trained, count, taps);
        if (fraction) {
            copy_bytes(fraction_column, 1, fraction, count, taps);
        }
        int32_t moved;
        mt_update_weights(u, (uint32_t)i, d->channels.scale[o], gradient, column, fraction ? fraction_column : NULL, taps, &moved);
        copy_bytes(trained, count, column, 1, taps);
        if (fraction) {
            copy_bytes(fraction, count, fraction_column, 1, taps);
        }
    }
}
