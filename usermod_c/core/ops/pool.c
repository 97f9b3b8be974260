#include "pool.h"

#include "../fixed.h"

typedef struct { // part of the input that a window covers
    int32_t y0, y1, x0, x1;
} box_t;

static box_t covered(const mt_window_t *w, int32_t oy, int32_t ox) {
    int32_t y = oy * w->stride_h - w->pad_top, x = ox * w->stride_w - w->pad_left;
    return (box_t) {y < 0 ? 0 : y, y + w->kernel_h < w->in_h ? y + w->kernel_h : w->in_h, x < 0 ? 0 : x,
                    x + w->kernel_w < w->in_w ? x + w->kernel_w : w->in_w};
}

static int32_t box_size(const box_t *b) {
    return (b->y1 - b->y0) * (b->x1 - b->x0);
}

void mt_average_pool_forward(const mt_window_t *w, const int8_t *x, int8_t *y) {
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            box_t b = covered(w, oy, ox);
            int32_t count = box_size(&b);
            for (int32_t c = 0; c < w->in_c; c++) {
                int32_t sum = 0;
                for (int32_t iy = b.y0; iy < b.y1; iy++) {
                    for (int32_t ix = b.x0; ix < b.x1; ix++) {
                        sum += x[(iy * w->in_w + ix) * w->in_c + c];
                    }
                }
                int32_t mean = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *y++ = (int8_t)mt_clamp(mean, w->act_min, w->act_max);
            }
        }
    }
}

void mt_max_pool_forward(const mt_window_t *w, const int8_t *x, int8_t *y, uint8_t *chosen) {
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++) {
            box_t b = covered(w, oy, ox);
            int32_t top = oy * w->stride_h - w->pad_top, left = ox * w->stride_w - w->pad_left;
            for (int32_t c = 0; c < w->in_c; c++) {
                int32_t best = -129, where = 0;
                for (int32_t iy = b.y0; iy < b.y1; iy++) {
                    for (int32_t ix = b.x0; ix < b.x1; ix++) {
                        int32_t v = x[(iy * w->in_w + ix) * w->in_c + c];
                        if (v > best) {
                            best = v;
                            where = (iy - top) * w->kernel_w + ix - left;
                        }
                    }
                }
                *y++ = (int8_t)mt_clamp(best, w->act_min, w->act_max);
                if (chosen) {
                    *chosen++ = (uint8_t)where;
                }
            }
        }
    }
}

void mt_mean_forward(const mt_window_t *w, int32_t mult, int32_t shift, const int8_t *x, int8_t *y) {
    int32_t n = w->in_h * w->in_w, low = w->act_min - w->out_zero, high = w->act_max - w->out_zero;
    for (int32_t c = 0; c < w->in_c; c++) {
        int32_t sum = -w->in_zero * n;
        for (int32_t i = 0; i < n; i++) {
            sum += x[i * w->in_c + c];
        }
        y[c] = (int8_t)(mt_clamp(mt_requantize(sum, mult, shift), low, high) + w->out_zero);
    }
}

uint32_t mt_pool_backward_input_scratch(const mt_window_t *w) {
    return (uint32_t)w->in_c * 4;
}

uint32_t mt_pool_backward_terms(const mt_window_t *w) {
    return (uint32_t)((w->kernel_h + w->stride_h - 1) / w->stride_h * ((w->kernel_w + w->stride_w - 1) / w->stride_w));
}

// Adds output (oy, ox)'s share to input (iy, ix).
static void add_share(const mt_pool_gradient_t *g, int32_t oy, int32_t ox, int32_t iy, int32_t ix, int32_t *acc) {
    const mt_window_t *w = &g->window;
    int32_t at = (oy * w->out_w + ox) * w->out_c;
    if (g->chosen) {
        int32_t position = (iy - oy * w->stride_h + w->pad_top) * w->kernel_w + ix - ox * w->stride_w + w->pad_left;
        for (int32_t c = 0; c < w->in_c; c++) {
            acc[c] += g->chosen[at + c] == position ? mt_gradient_at(g->q, at + c) : 0;
        }
        return;
    }
    box_t b = covered(w, oy, ox);
    int32_t count = box_size(&b), share = ((1 << MT_POOL_BITS) + count / 2) / count;
    for (int32_t c = 0; c < w->in_c; c++) {
        acc[c] += mt_gradient_at(g->q, at + c) * share;
    }
}

void mt_pool_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_pool_gradient_t *g = context;
    const mt_window_t *w = &g->window;
    int32_t *acc = out->scratch;
    for (int32_t iy = 0; iy < w->in_h; iy++) {
        for (int32_t ix = 0; ix < w->in_w; ix++) {
            memset(acc, 0, (size_t)w->in_c * 4);
            for (int32_t ky = 0; ky < w->kernel_h; ky++) {
                int32_t oy = mt_window_output(iy, w->pad_top, ky, w->stride_h, w->out_h);
                if (oy < 0) {
                    continue;
                }
                for (int32_t kx = 0; kx < w->kernel_w; kx++) {
                    int32_t ox = mt_window_output(ix, w->pad_left, kx, w->stride_w, w->out_w);
                    if (ox >= 0) {
                        add_share(g, oy, ox, iy, ix, acc);
                    }
                }
            }
            mt_gradient_store(out, acc, (size_t)((iy * w->in_w + ix) * w->in_c), (size_t)w->in_c);
        }
    }
}

int mt_average_pool_exact_bits(const mt_window_t *w) {
    int32_t n = w->kernel_h * w->kernel_w;
    bool apart = (w->out_h == 1 || w->stride_h >= w->kernel_h) && (w->out_w == 1 || w->stride_w >= w->kernel_w);
    bool within = !w->pad_top && !w->pad_left && (w->out_h - 1) * w->stride_h + w->kernel_h <= w->in_h
        && (w->out_w - 1) * w->stride_w + w->kernel_w <= w->in_w;
    return apart && within && (n & (n - 1)) == 0 ? mt_bit_length((uint32_t)n) - 1 : -1;
}

void mt_average_pool_spread(const mt_window_t *w, mt_gradient_t q, void *out) {
    const size_t pixel = (size_t)w->in_c * (q.wide ? 2 : 1); // bytes
    const uint8_t *from = q.data;
    memset(out, 0, (size_t)(w->in_h * w->in_w) * pixel);
    for (int32_t oy = 0; oy < w->out_h; oy++) {
        for (int32_t ox = 0; ox < w->out_w; ox++, from += pixel) {
            box_t b = covered(w, oy, ox);
            for (int32_t iy = b.y0; iy < b.y1; iy++) {
                for (int32_t ix = b.x0; ix < b.x1; ix++) {
                    memcpy((uint8_t *)out + (size_t)(iy * w->in_w + ix) * pixel, from, pixel);
                }
            }
        }
    }
}
