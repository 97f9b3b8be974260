#include "depthwise_packed.h"

#include "../arch/quick.h"
#include "../scale.h"

#define FOLD_SHIFT 7 // of the input gradient's accumulators: 15 - 8 (depthwise_conv2d.c)

uint32_t mt_depthwise_packed_forward_scratch(const mt_window_t *w) {
    mt_planes_t p;
    return w->out_c == w->in_c && mt_planes_forward(&p, w) ? mt_planes_bytes(&p) : 0;
}

uint32_t mt_depthwise_packed_backward_scratch(const mt_window_t *w) {
    mt_planes_t p;
    return mt_planes_backward(&p, w) ? mt_planes_bytes(&p) : 0;
}

uint32_t mt_depthwise_packed_gradient_scratch(const mt_window_t *w) {
    mt_planes_t p;
    return mt_planes_forward(&p, w) ? mt_planes_bytes(&p) : 0;
}

// Nothing is certain: every sum goes the slow way.
static void all_slowly(mt_planes_target_t *t) {
    t->run = mt_steps_stop;
    t->steps.uncertain = UINT32_MAX;
    t->steps.low = t->steps.high = 0;
}

// ---- forward ----

typedef struct {
    mt_planes_target_t target;
    mt_finish_t finish;
    int32_t start, mult, shift; // of the channel
} forward_t;

static void finish_slowly(mt_planes_target_t *t, int32_t sum, int32_t at) {
    const forward_t *f = (const forward_t *)t;
    mt_finish(f->finish, at, f->start + sum, f->mult, f->shift);
}

static void forward_steps(forward_t *f, uint32_t most_sum) {
    mt_steps_t *s = &f->target.steps;
    mt_finish_row_t row;
    mt_quick_t q;
    mt_finish_row(&row, f->start, f->mult, f->shift);
    f->target.run = f->finish.mask ? mt_steps_mask : mt_steps_clamp;
#if MT_HIGH_PRODUCTS
    if (mt_finish_steps_of(s, &f->finish, &row, (int32_t)(most_sum >> 14))) {
        f->target.run = f->finish.once ? mt_finish_steps_once : mt_finish_steps_twice;
        return;
    }
#endif
    if (!mt_quick_of(&q, &row, 1, &f->finish, most_sum)) {
        all_slowly(&f->target);
        return;
    }
    s->low = -q.minus_low;
    s->high = (int32_t)(q.range - (uint32_t)q.minus_low);
    s->multiplier = (int32_t)q.multiplier;
    s->offset = (int32_t)(q.offset + (uint32_t)q.minus_low * q.multiplier);
    s->uncertain = q.uncertain;
}

static int32_t sum_of_weights(const mt_planes_t *p, int32_t n) {
    int32_t sum = 0;
    for (const int32_t *w = p->weights, *end = w + n; w < end; w++) {
        sum += *w;
    }
    return sum;
}

bool mt_depthwise_packed_forward(const mt_depthwise_t *d, const int8_t *kernel, const int8_t *x, int8_t *y, void *scratch) {
    const mt_window_t *w = &d->window;
    mt_planes_t p;
    if (d->multiplier != 1 || !mt_planes_forward(&p, w)) {
        return false;
    }
    const int32_t taps = w->kernel_h * w->kernel_w;
    const bool changing = d->weights.trained; // the weights, and their sum
    p.source_step = p.target_step = w->in_c;
    mt_planes_begin(&p, scratch, w->in_zero);
    forward_t f = {{y, finish_slowly, NULL, {.below = w->act_min, .above = w->act_max, .mask_step = d->mask ? w->out_c / 8 : 0}}, mt_finish_of(w, d->mask, y), 0, 0, 0};
    for (int32_t o = d->first; o < d->end; o++) {
        mt_planes_gather(&p, kernel + o, w->kernel_w, w->out_c);
        f.start = changing ? mt_channel_bias(&d->channels, o) - w->in_zero * sum_of_weights(&p, taps) : mt_channel_start(&d->channels, o);
        f.mult = d->channels.mult[o];
        f.shift = d->channels.shift[o];
        forward_steps(&f, (uint32_t)taps << 14);
        if (d->mask) {
            if (w->out_c % 8) {
                all_slowly(&f.target);
            }
            f.target.steps.mask_bit = 1 << o % 8;
        }
        for (int32_t position = 0; position < w->out_h; position += p.band) {
            mt_planes_pack(&p, x + o, position, w->in_zero);
            f.target.steps.mask = !d->mask ? NULL : d->mask + (position * w->out_w * w->out_c + o) / 8;
            mt_planes_run(&p, &f.target, o, position);
        }
    }
    return true;
}

// ---- input gradient ----

typedef struct {
    mt_planes_target_t target;
    mt_gradient_out_t *out;
    int32_t multiplier; // of the channel
    uint32_t seen_bits;
} backward_t;

// Sums of which nothing is to be noted: not larger than what has been seen, and not clamped.
static void find_quiet_sums(backward_t *b) {
    b->seen_bits = (uint32_t)mt_bit_length(b->out->seen_bits);
    uint32_t most = (1u << (b->seen_bits < 25 ? b->seen_bits : 25)) - 1, clamped = 127u << b->out->shift;
    most = most < clamped ? most : clamped;
    uint32_t quiet = b->multiplier ? ((most << FOLD_SHIFT) + (1 << (FOLD_SHIFT - 1)) - 1) / (uint32_t)b->multiplier : INT32_MAX;
    b->target.steps.high = (int32_t)quiet;
    b->target.steps.low = -(int32_t)quiet;
}

// The same as mt_gradient_store does.
static void store_slowly(mt_planes_target_t *t, int32_t sum, int32_t at) {
    backward_t *b = (backward_t *)t;
    mt_gradient_out_t *out = b->out;
    const int32_t most = 127, part = sum & ((1 << FOLD_SHIFT) - 1);
    const int32_t acc = (sum >> FOLD_SHIFT) * b->multiplier + ((part * b->multiplier + (1 << (FOLD_SHIFT - 1))) >> FOLD_SHIFT);
    const uint32_t magnitude = (uint32_t)mt_abs(acc);
    const int32_t q = (acc + (out->shift ? 1 << (out->shift - 1) : 0)) >> out->shift;
    out->seen_bits |= magnitude;
    out->over += magnitude >> out->shift > (uint32_t)most;
    out->saturated += q > most || q < -most;
    t->out[at] = (int8_t)mt_clamp(q, -most, most);
    if (magnitude >> b->seen_bits) {
        find_quiet_sums(b);
    }
}

// As floors of quotients go into each other, rounding twice is one floor, and exact where the multiplier is.
static void backward_steps(backward_t *b, uint32_t most_sum) {
    mt_steps_t *s = &b->target.steps;
    int down = b->out->shift + FOLD_SHIFT - 24;
    uint32_t m = (uint32_t)b->multiplier;
    s->offset = (1 << 23) + (b->out->shift ? (1 << 23) >> b->out->shift : 0);
    s->uncertain = 0;
    if (down <= 0) {
        m <<= -down;
    } else {
        uint32_t error = most_sum / 2 + 64;
        m = (m + (1u << (down - 1))) >> down;
        s->offset += (int32_t)error;
        s->uncertain = error << 9;
    }
    s->multiplier = (int32_t)m;
    find_quiet_sums(b);
}

bool mt_depthwise_packed_backward_input(const mt_depthwise_gradient_t *g, const int8_t *kernel, mt_gradient_out_t *out) {
    const mt_depthwise_t *d = g->depthwise;
    const mt_window_t *w = &d->window;
    mt_planes_t p;
    if (g->q.wide || out->bits > 8 || out->skip || out->shift > 24 || !mt_planes_backward(&p, w)) {
        return false;
    }
    p.source_step = p.target_step = w->out_c;
    mt_planes_begin(&p, out->scratch, 0);
    backward_t b = {{out->out, store_slowly, mt_steps_stop, {0}}, out, 0, 0};
    for (int32_t o = out->first; o < out->end; o++) {
        mt_planes_gather(&p, kernel + o, w->kernel_w, w->out_c);
        b.multiplier = mt_fold_multiplier(d->channels.scale[o], d->channels.scale_exponent);
        backward_steps(&b, (uint32_t)(w->kernel_h * w->kernel_w) << 14);
        for (int32_t position = 0; position < p.rows.positions; position += p.band) {
            mt_planes_pack(&p, (const int8_t *)g->q.data + o, position, 0);
            mt_planes_run(&p, &b.target, o, position);
        }
    }
    return true;
}

// ---- weight gradient ----

// A band of the gradient as a plane without gaps.
#if MT_PLANE_COLUMN == 2
static void pack_gradient(const mt_planes_t *p, const int8_t *q, int32_t rows, int32_t width, int32_t channels) {
    mt_plane_pack(&(mt_plane_pack_t) {q, p->sums, channels, width * channels, 4 * p->half, rows, 0, width, p->half, 0});
}
#else
// Its halves are swapped: columns 0 to half - 1 are in the upper ones.
static void pack_gradient(const mt_planes_t *p, const int8_t *q, int32_t rows, int32_t width, int32_t channels) {
    int32_t both = width - p->half;
    mt_plane_pack_t pack = {q + p->half * channels, q, p->sums, channels, width * channels, 4 * p->half, rows, 0, both, 0, 0};
    if (both) {
        mt_plane_pack(&pack);
    }
    if (both < p->half) {
        pack.high += both * channels;
        pack.to += both;
        pack.only_high = p->half - both;
        pack.both = 0;
        mt_plane_pack(&pack);
    }
}
#endif

bool mt_depthwise_packed_gradient_begin(const mt_window_t *w, mt_planes_t *p, void *scratch) {
    if (w->kernel_w < 2 || !mt_planes_forward(p, w) || w->out_w < p->half) {
        return false;
    }
    p->target_step = w->out_c;
    mt_planes_begin(p, scratch, w->in_zero);
    return true;
}

void mt_depthwise_packed_gradient(mt_planes_t *p, const mt_window_t *w, const int8_t *q, int32_t o, const int8_t *x, int32_t i, int32_t channels,
    int32_t *gradient) {
    p->source_step = channels;
    const int32_t taps = w->kernel_h * w->kernel_w;
    memset(gradient, 0, (size_t)taps * 4);
    int32_t total = 0;
    for (int32_t position = 0; position < w->out_h; position += p->band) {
        int32_t rows = w->out_h - position < p->band ? w->out_h - position : p->band;
        mt_planes_pack(p, x + i, position, w->in_zero);
        pack_gradient(p, q + position * w->out_w * w->out_c + o, rows, w->out_w, w->out_c);
        total += mt_plane_sum(p->sums, rows * p->half);
        mt_plane_dot_t dot = {NULL, p->sums, gradient, rows, p->half, MT_PLANE_COLUMN * w->stride_w, 4 * p->pitch * w->stride_h};
        for (int32_t ky = 0; ky < w->kernel_h; ky++) {
            const int8_t *row = (const int8_t *)(p->plane + ky * p->pitch);
            for (int32_t left = w->kernel_w, n; left; left -= n, dot.sums += n) {
                dot.a = row + (w->kernel_w - left) * MT_PLANE_COLUMN;
                n = left == 3 || left > 4 ? 3 : 2;
                if (n == 3) {
                    mt_plane_dot_3(&dot);
                } else {
                    mt_plane_dot_2(&dot);
                }
            }
        }
    }
    for (int32_t t = 0; t < taps; t++) {
        gradient[t] -= w->in_zero * total;
    }
}
