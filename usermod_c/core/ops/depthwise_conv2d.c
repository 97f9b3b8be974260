#include "depthwise_conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"
#include "../fixed.h"
#include "../scale.h"

#define LANES 16 // channels whose accumulators are kept in registers at once
#define FOLD_EXTRA 8

static int32_t padded_row_bytes(const mt_window_t *w) {
    return ((w->out_w - 1) * w->stride_w + w->kernel_w) * w->in_c;
}

static uint32_t kernel_bytes(const mt_window_t *w) {
    return (uint32_t)(w->kernel_h * w->kernel_w * w->out_c);
}

uint32_t mt_depthwise_forward_scratch(const mt_window_t *w, bool mixed) {
    return (uint32_t)(w->kernel_h * padded_row_bytes(w)) + (mixed ? kernel_bytes(w) : 0);
}

bool mt_depthwise_may_overwrite(const mt_window_t *w) {
    // output row y ends before the first input row that has not been copied aside yet, and the last one inside the input
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

static void copy_row(const mt_window_t *w, const int8_t *x, int32_t iy, int8_t *to) {
    int32_t bytes = padded_row_bytes(w);
    if (iy < 0 || iy >= w->in_h) {
        memset(to, w->in_zero, (size_t)bytes);
        return;
    }
    int32_t left = w->pad_left * w->in_c, middle = w->in_w * w->in_c;
    if (middle > bytes - left) {
        middle = bytes - left;
    }
    memset(to, w->in_zero, (size_t)left);
    memcpy(to + left, x + iy * w->in_w * w->in_c, (size_t)middle);
    memset(to + left + middle, w->in_zero, (size_t)(bytes - left - middle));
}

// Output channels [o, o + n), n <= LANES, of one pixel. Its window starts at padded row `top`, byte `column` of each row in the ring.
static void forward_lanes(const mt_depthwise_t *d, const int8_t *ring, int32_t bytes, int32_t top, int32_t column, const int8_t *kernel,
    int32_t pixel, int32_t o, int32_t n, int8_t *y) {
    const mt_window_t *w = &d->window;
    int32_t acc[LANES];
    for (int32_t j = 0; j < n; j++) {
        acc[j] = mt_channel_start(&d->channels, o + j);
    }
    for (int32_t ky = 0; ky < w->kernel_h; ky++) {
        const int8_t *x = ring + (top + ky) % w->kernel_h * bytes + column;
        const int8_t *k = kernel + ky * w->kernel_w * w->out_c + o;
        for (int32_t kx = 0; kx < w->kernel_w; kx++, x += w->in_c, k += w->out_c) {
            if (d->multiplier == 1) {
                mt_multiply_add(acc, x + o, k, n);
            } else {
                for (int32_t j = 0; j < n; j++) {
                    acc[j] += x[(o + j) / d->multiplier] * k[j];
                }
            }
        }
    }
    for (int32_t j = 0, at = pixel * w->out_c + o; j < n; j++, at++) {
        y[at] = mt_channel_finish(w, d->mask, at, acc[j], d->channels.mult[o + j], d->channels.shift[o + j]);
    }
}

void mt_depthwise_forward(const mt_depthwise_t *d, const int8_t *x, int8_t *y, void *scratch) {
    const mt_window_t *w = &d->window;
    int32_t bytes = padded_row_bytes(w), copied = 0; // input rows below this, counted from the padding's top, are in the ring
    int8_t *ring = scratch;
    if (d->mask) {
        memset(d->mask, 0, (size_t)(w->out_h * w->out_w * w->out_c + 7) / 8);
    }
    const int8_t *kernel = whole_kernel(d, ring + w->kernel_h * bytes);
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        int32_t top = oy * w->stride_h;
        if (copied < top) {
            copied = top;
        }
        for (; copied < top + w->kernel_h; copied++) {
            copy_row(w, x, copied - w->pad_top, ring + copied % w->kernel_h * bytes);
        }
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            for (int32_t o = 0; o < w->out_c; o += LANES) {
                int32_t n = w->out_c - o < LANES ? w->out_c - o : LANES;
                forward_lanes(d, ring, bytes, top, ox * w->stride_w * w->in_c, kernel, oy * w->out_w + ox, o, n, y);
            }
        }
    }
}

// ---- input gradient ----

uint32_t mt_depthwise_backward_input_scratch(const mt_window_t *w, bool mixed) {
    return (uint32_t)(w->out_c * 4 + w->in_c * 4 + w->out_c * 2) + (mixed ? kernel_bytes(w) : 0);
}

MT_HOT void mt_depthwise_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_depthwise_gradient_t *g = context;
    const mt_depthwise_t *d = g->depthwise;
    const mt_window_t *w = &d->window;
    int32_t *sums = g->scratch, *acc = sums + w->out_c;
    int16_t *multipliers = (int16_t *)(acc + w->in_c);
    const int8_t *kernel = whole_kernel(d, (int8_t *)(multipliers + w->out_c));
    for (int32_t o = 0; o < w->out_c; o++) {
        multipliers[o] = mt_fold_multiplier(d->channels.scale[o], d->channels.scale_exponent);
    }
    for (int32_t iy = 0; iy < w->in_h; iy++) {
        for (int32_t ix = 0; ix < w->in_w; ix++) {
            memset(sums, 0, (size_t)w->out_c * 4);
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
                    int32_t at = (oy * w->out_w + ox) * w->out_c;
                    const int8_t *k = kernel + (ky * w->kernel_w + kx) * w->out_c;
                    if (g->q.wide) {
                        mt_multiply_add_wide(sums, (const int16_t *)g->q.data + at, k, w->out_c);
                    } else {
                        mt_multiply_add(sums, (const int8_t *)g->q.data + at, k, w->out_c);
                    }
                }
            }
            for (int32_t i = 0, o = 0; i < w->in_c; i++) {
                int64_t a = 0;
                for (int32_t j = 0; j < d->multiplier; j++, o++) {
                    a += (int64_t)sums[o] * multipliers[o];
                }
                acc[i] = mt_clamp64(mt_round_shift(a, 15 - FOLD_EXTRA), -INT32_MAX, INT32_MAX);
            }
            mt_gradient_store(out, acc, (size_t)((iy * w->in_w + ix) * w->in_c), (size_t)w->in_c);
        }
    }
}

// ---- weight gradient and update ----

uint32_t mt_depthwise_update_scratch(const mt_window_t *w) {
    return (uint32_t)(w->kernel_h * w->kernel_w) * 6;
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

void mt_depthwise_update_weights(const mt_depthwise_t *d, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch) {
    const mt_window_t *w = &d->window;
    int32_t count = d->weights.count, taps = d->weights.taps;
    int32_t *gradient = scratch;
    int8_t *column = (int8_t *)(gradient + taps), *fraction_column = column + taps; // the channel's weights, which lie apart
    for (int32_t i = 0; i < count; i++) {
        int32_t o = mt_weights_channel(&d->weights, i / d->multiplier) * d->multiplier + i % d->multiplier;
        weight_gradient(w, q, o, x, i / d->multiplier, count / d->multiplier, gradient);
        mt_update_observe(u, 0, (uint32_t)o, gradient, (uint32_t)taps);
        int8_t *trained = d->weights.trained + i, *fraction = mt_weights_fraction(&d->weights, i);
        for (int32_t t = 0; t < taps; t++) {
            column[t] = trained[t * count];
            fraction_column[t] = fraction ? fraction[t * count] : 0;
        }
        int32_t moved;
        mt_update_weights(u, (uint32_t)i, d->channels.scale[o], gradient, column, fraction ? fraction_column : NULL, taps, &moved);
        for (int32_t t = 0; t < taps; t++) {
            trained[t * count] = column[t];
            if (fraction) {
                fraction[t * count] = fraction_column[t];
            }
        }
        d->channels.zero_sum[o] -= w->in_zero * moved;
    }
}
