#include "depthwise_packed.h"

#include "../arch/hot.h"
#include "../arch/plane.h"
#include "../arch/steps.h"
#include "../scale.h"

#define BAND_BYTES 2560 // of a plane and what is computed from it at once
#define FOLD_SHIFT 7 // of the input gradient's accumulators: 15 - 8 (depthwise_conv2d.c)

static int32_t min32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static mt_axis_t forward_axis(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad) {
    return (mt_axis_t) {in, out, out, stride, 1, pad, kernel, {{kernel, 0, 1, 0, out}}};
}

static mt_axis_t backward_axis(int32_t in, int32_t out, int32_t kernel, int32_t stride, int32_t pad) {
    mt_axis_t a = {out, in, (in + stride - 1) / stride, 1, stride, -kernel, 0, {{0}}};
    int32_t pads[MT_PLANES_STRIDE];
    for (int32_t f = 0; f < stride; f++) {
        int32_t first = (f + pad) % stride, taps = (kernel - first + stride - 1) / stride;
        a.phase[f].taps = taps;
        a.phase[f].first = first + stride * (taps - 1);
        a.phase[f].step = -stride;
        pads[f] = taps - 1 - (f + pad) / stride;
        a.lead = pads[f] > a.lead ? pads[f] : a.lead;
    }
    for (int32_t f = 0; f < stride; f++) {
        a.phase[f].offset = a.lead - pads[f];
        a.phase[f].targets = (in - f + stride - 1) / stride;
        int32_t extent = a.phase[f].offset + a.phase[f].taps;
        a.extent = extent > a.extent ? extent : a.extent;
    }
    return a;
}

static int32_t plane_rows(const mt_planes_t *p) {
    return (p->band - 1) * p->rows.stride + p->rows.extent;
}

static uint32_t packed_bytes(const mt_planes_t *p, int32_t more_words) {
    return 4 * (uint32_t)(plane_rows(p) * p->pitch + p->band * 2 * p->half + more_words);
}

// Chooses the band. False where windows are such that rows of a plane would need more than its parts, or a row of windows more than BAND_BYTES.
static bool lay_out(mt_planes_t *p, int32_t taps) {
    const mt_axis_t *c = &p->columns;
    p->half = (c->positions + 3) / 4 * 2;
    int32_t words = (p->half - 1) * c->stride + c->extent, apart = p->half * c->stride;
    p->pitch = words + 1; // kernels of an even width are read one word too far
    int32_t end_high = mt_clamp(c->lead + c->source - apart, 0, words), begin_low = mt_clamp(c->lead, 0, words);
    p->begin = mt_clamp(c->lead - apart, 0, words);
    p->only_high = begin_low - p->begin;
    p->both = end_high - begin_low;
    p->only_low = mt_clamp(c->lead + c->source, 0, words) - end_high;
    if (p->both < 0) {
        return false;
    }
    p->band = 0;
    int32_t row = 4 * (p->rows.stride * p->pitch + 2 * p->half);
    p->band = min32(p->rows.positions, (BAND_BYTES - (int32_t)packed_bytes(p, taps)) / row);
    return p->band > 0;
}

static MT_COLD bool lay_out_forward(const mt_window_t *w, mt_planes_t *p) {
    p->rows = forward_axis(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->pad_top);
    p->columns = forward_axis(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->pad_left);
    return w->stride_w <= MT_PLANES_STRIDE && w->kernel_w <= MT_CORRELATE_WIDTH && lay_out(p, w->kernel_h * w->kernel_w);
}

static MT_COLD bool lay_out_backward(const mt_window_t *w, mt_planes_t *p) {
    if (w->out_c != w->in_c || w->stride_h > MT_PLANES_STRIDE || w->stride_w > MT_PLANES_STRIDE || w->stride_h > w->kernel_h || w->stride_w > w->kernel_w ||
        w->kernel_w > MT_CORRELATE_WIDTH) {
        return false;
    }
    p->rows = backward_axis(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->pad_top);
    p->columns = backward_axis(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->pad_left);
    return lay_out(p, w->kernel_h * w->kernel_w);
}

static uint32_t bytes_if(bool possible, const mt_planes_t *p, const mt_window_t *w) {
    return possible ? packed_bytes(p, w->kernel_h * w->kernel_w) : 0;
}

uint32_t mt_depthwise_packed_forward_scratch(const mt_window_t *w) {
    mt_planes_t p;
    return bytes_if(w->out_c == w->in_c && lay_out_forward(w, &p), &p, w);
}

uint32_t mt_depthwise_packed_backward_scratch(const mt_window_t *w) {
    mt_planes_t p;
    return bytes_if(lay_out_backward(w, &p), &p, w);
}

uint32_t mt_depthwise_packed_gradient_scratch(const mt_window_t *w) {
    mt_planes_t p;
    return bytes_if(lay_out_forward(w, &p), &p, w);
}

static void fill(int32_t *to, int32_t n, int32_t pad) {
    for (int32_t *end = to + n; to < end;) {
        *to++ = pad * 65537;
    }
}

// Splits the scratch and fills the plane, of which many words stay as they are.
static void begin_planes(mt_planes_t *p, void *scratch, int32_t pad) {
    p->plane = scratch;
    p->sums = p->plane + plane_rows(p) * p->pitch;
    p->weights = p->sums + p->band * 2 * p->half;
    fill(p->plane, plane_rows(p) * p->pitch, pad);
}

// Makes the plane that of the windows from row `position` on, of one channel, which the plane holds for the rows before if there are any.
static void pack_band(const mt_planes_t *p, const int8_t *source, int32_t position, int32_t pad) {
    const mt_axis_t *r = &p->rows, *c = &p->columns;
    int32_t top = position * r->stride - r->lead, rows = min32(plane_rows(p), (r->positions - position - 1) * r->stride + r->extent), kept = 0;
    if (position) {
        kept = r->extent > r->stride ? r->extent - r->stride : 0;
        memmove(p->plane, p->plane + p->band * r->stride * p->pitch, (size_t)(kept * p->pitch) * 4);
    }
    int32_t from = mt_clamp(-top, kept, rows), to = mt_clamp(r->source - top, from, rows);
    if (p->band < r->positions) {
        fill(p->plane + kept * p->pitch, (from - kept) * p->pitch, pad);
        fill(p->plane + to * p->pitch, (rows - to) * p->pitch, pad);
    }
    if (from < to) {
        int32_t row = c->source * p->source_step;
        const int8_t *low = source + (top + from) * row + (p->begin - c->lead) * p->source_step;
        mt_plane_pack(&(mt_plane_pack_t) {
            low, low + p->half * c->stride * p->source_step, p->plane + from * p->pitch + p->begin, p->source_step, row, p->pitch * 4, to - from,
            p->only_high, p->both, p->only_low, pad});
    }
}

static int32_t *gather_row(int32_t *to, int32_t n, const int8_t *from, int32_t step) {
    for (int32_t *end = to + n; to < end; from += step) {
        *to++ = *from;
    }
    return to;
}

// Weights of one channel in the order of the phases.
static void gather_weights(const mt_planes_t *p, const int8_t *kernel, int32_t kernel_w, int32_t channels) {
    const mt_axis_t *rows = &p->rows, *columns = &p->columns;
    const int32_t step = columns->phase[0].step * channels, row_step = rows->phase[0].step * kernel_w * channels;
    if (rows->phases == 1 && columns->phases == 1) {
        const int32_t first = rows->phase[0].first * kernel_w + columns->phase[0].first;
        gather_row(p->weights, rows->phase[0].taps * columns->phase[0].taps, kernel + first * channels, step);
        return;
    }
    int32_t *to = p->weights;
    for (int32_t r = 0; r < rows->phases; r++) {
        for (int32_t c = 0; c < columns->phases; c++) {
            const int8_t *k = kernel + (rows->phase[r].first * kernel_w + columns->phase[c].first) * channels;
            for (int32_t i = rows->phase[r].taps; i > 0; i--, k += row_step) {
                to = gather_row(to, columns->phase[c].taps, k, step);
            }
        }
    }
}

typedef struct target target_t;
struct target { // where results go
    int8_t *out; // all of it
    void (*slowly)(target_t *t, int32_t sum, int32_t at); // writes one
    bool (*run)(mt_steps_t *s);
    mt_steps_t steps;
};

// The windows of one phase in a band, from row `position` on.
static void run_phase(const mt_planes_t *p, target_t *t, const int32_t *weights, int32_t channel, int32_t position, int32_t r, int32_t c) {
    const mt_axis_t *rows = &p->rows, *columns = &p->columns;
    int32_t y = position * rows->phases + r, width = columns->phase[c].targets, count = min32(p->band, rows->phase[r].targets - position);
    if (count <= 0) {
        return;
    }
    const mt_correlate_t correlate = {p->plane + rows->phase[r].offset * p->pitch + columns->phase[c].offset, weights, p->sums, p->pitch, p->half, count,
        rows->phase[r].taps, columns->phase[c].taps, rows->stride};
    if (columns->stride == 1) {
        mt_correlate_1(&correlate);
    } else {
        mt_correlate_2(&correlate);
    }
    mt_steps_t *s = &t->steps;
    int32_t at = (y * columns->target + c) * p->target_step + channel, row = rows->phases * columns->target * p->target_step;
    s->sums = p->sums;
    s->out = t->out + at;
    s->step = columns->phases * p->target_step;
    s->gap = 4 * (2 * p->half - width);
    s->out_gap = row - width * s->step;
    s->rows_left = count - 1;
    if (!s->gap && !s->out_gap) { // one long row
        width *= count;
        s->rows_left = 0;
    }
    s->row_bytes = 4 * width;
    s->row_end = p->sums + width;
    while (t->run(s)) {
        t->slowly(t, *s->sums, (int32_t)(s->out - t->out));
        mt_steps_skip(s);
    }
}

static void run_band(const mt_planes_t *p, target_t *t, int32_t channel, int32_t position) {
    const int32_t *weights = p->weights;
    for (int32_t r = 0; r < p->rows.phases; r++) {
        for (int32_t c = 0; c < p->columns.phases; c++) {
            run_phase(p, t, weights, channel, position, r, c);
            weights += p->rows.phase[r].taps * p->columns.phase[c].taps;
        }
    }
}

// Nothing is certain: every sum goes the slow way.
static void all_slowly(target_t *t) {
    t->run = mt_steps_stop;
    t->steps.uncertain = UINT32_MAX;
    t->steps.low = t->steps.high = 0;
}

// ---- forward ----

typedef struct {
    target_t target;
    mt_finish_t finish;
    int32_t start, mult, shift; // of the channel
} forward_t;

static void finish_slowly(target_t *t, int32_t sum, int32_t at) {
    const forward_t *f = (const forward_t *)t;
    mt_finish(f->finish, at, f->start + sum, f->mult, f->shift);
}

// Where the sums do not matter (a channel whose scale is next to nothing): every output is the same.
static bool are_steps_flat(forward_t *f, int32_t most_sum) {
    if (mt_abs(f->start) > INT32_MAX - most_sum) {
        return false;
    }
    int32_t v[2];
    for (int i = 0; i < 2; i++) {
        int32_t acc = f->start + (i ? most_sum : -most_sum);
        v[i] = f->finish.once ? mt_requantize_once(acc, f->mult, f->shift) : mt_requantize(acc, f->mult, f->shift);
    }
    mt_steps_t *s = &f->target.steps;
    s->multiplier = 0;
    s->uncertain = 0;
    s->offset = (int32_t)((uint32_t)(v[0] + f->finish.zero) << 24);
    s->low = -most_sum;
    s->high = most_sum;
    return v[0] == v[1] && v[0] >= f->finish.low && v[0] <= f->finish.high;
}

// Sums of a channel to outputs. An output is sum * mult * 2^(shift - 31), here times 2^24. The multiplier is rounded, which costs half a unit for
// every unit of the sum: at most `error`, with what gemmlowp's first rounding costs.
static void forward_steps(forward_t *f, uint32_t most_sum) {
    const int32_t low = f->finish.low, high = f->finish.high, right = -f->shift;
    const uint32_t far = 1u << 30;
    mt_steps_t *s = &f->target.steps;
    uint32_t start = (uint32_t)mt_abs(f->start);
    f->target.run = f->finish.mask ? mt_steps_mask : mt_steps_clamp;
    if (right > 16 && are_steps_flat(f, (int32_t)most_sum)) {
        return;
    }
    if (right < 2 || low > 0 || high < 0 || start >= far / 2) {
        all_slowly(&f->target);
        return;
    }
    uint32_t m = right > 24 ? 0 : ((uint32_t)f->mult + (1u << (6 + right))) >> (7 + right), error = (start + most_sum) / 2;
    if (m && 0x80000000u / m < error) { // sums that are not clamped are smaller
        error = 0x80000000u / m;
    }
    error += ((1u << 23) >> right) + 2;
    if (error >= 1u << 22) {
        all_slowly(&f->target);
        return;
    }
    uint32_t half = (1u << 23) + error, below = ((uint32_t)-low << 24) + half, above = ((uint32_t)high << 24) + (1u << 24) - 1 - half;
    below = m && below / m < far ? below / m : far;
    above = m && above / m < far ? above / m : far;
    s->low = -(int32_t)below - f->start;
    s->high = (int32_t)above - f->start;
    s->multiplier = (int32_t)m;
    s->uncertain = error << 9;
    s->offset = (int32_t)((uint32_t)f->start * m + half + ((uint32_t)f->finish.zero << 24));
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
    if (d->multiplier != 1 || !lay_out_forward(w, &p)) {
        return false;
    }
    const int32_t taps = w->kernel_h * w->kernel_w;
    const bool changing = d->weights.trained; // the weights, and their sum
    p.source_step = p.target_step = w->in_c;
    begin_planes(&p, scratch, w->in_zero);
    forward_t f = {{y, finish_slowly, NULL, {.below = w->act_min, .above = w->act_max, .mask_step = d->mask ? w->out_c / 8 : 0}}, mt_finish_of(w, d->mask, y), 0, 0, 0};
    for (int32_t o = 0; o < w->out_c; o++) {
        gather_weights(&p, kernel + o, w->kernel_w, w->out_c);
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
            pack_band(&p, x + o, position, w->in_zero);
            f.target.steps.mask = !d->mask ? NULL : d->mask + (position * w->out_w * w->out_c + o) / 8;
            run_band(&p, &f.target, o, position);
        }
    }
    return true;
}

// ---- input gradient ----

typedef struct {
    target_t target;
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
static void store_slowly(target_t *t, int32_t sum, int32_t at) {
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

bool mt_depthwise_packed_backward_input(const mt_depthwise_gradient_t *g, const int8_t *kernel, mt_gradient_out_t *out, void *scratch) {
    const mt_depthwise_t *d = g->depthwise;
    const mt_window_t *w = &d->window;
    mt_planes_t p;
    if (g->q.wide || out->bits > 8 || out->skip || out->shift > 24 || !lay_out_backward(w, &p)) {
        return false;
    }
    p.source_step = p.target_step = w->out_c;
    begin_planes(&p, scratch, 0);
    backward_t b = {{out->out, store_slowly, mt_steps_stop, {0}}, out, 0, 0};
    for (int32_t o = 0; o < w->out_c; o++) {
        gather_weights(&p, kernel + o, w->kernel_w, w->out_c);
        b.multiplier = mt_fold_multiplier(d->channels.scale[o], d->channels.scale_exponent);
        backward_steps(&b, (uint32_t)(w->kernel_h * w->kernel_w) << 14);
        for (int32_t position = 0; position < p.rows.positions; position += p.band) {
            pack_band(&p, (const int8_t *)g->q.data + o, position, 0);
            run_band(&p, &b.target, o, position);
        }
    }
    return true;
}

// ---- weight gradient ----

// A band of the gradient as a plane with its halves swapped: columns 0 to half - 1 are in the upper halves.
static void pack_swapped(const mt_planes_t *p, const int8_t *q, int32_t rows, int32_t width, int32_t channels) {
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

// Of both halves, gradients.
static int32_t sum_of_words(const int32_t *words, int32_t n) {
    int32_t sum = 0;
    for (const int32_t *end = words + n; words < end;) {
        const int32_t *stop = end - words > 256 ? words + 256 : end; // as many fit into a lane of 16 bits
        uint32_t whole = 0;
        while (words < stop) {
            whole += (uint32_t)*words++;
        }
        int32_t low = (int16_t)whole;
        sum += low + (((int32_t)whole - low) >> 16);
    }
    return sum;
}

bool mt_depthwise_packed_gradient_begin(const mt_window_t *w, mt_planes_t *p, void *scratch) {
    if (w->kernel_w < 2 || !lay_out_forward(w, p) || w->out_w < p->half) {
        return false;
    }
    begin_planes(p, scratch, w->in_zero);
    return true;
}

void mt_depthwise_packed_gradient(mt_planes_t *p, const mt_window_t *w, const int8_t *q, int32_t o, const int8_t *x, int32_t i, int32_t channels,
    int32_t *gradient) {
    p->source_step = channels;
    const int32_t taps = w->kernel_h * w->kernel_w;
    memset(gradient, 0, (size_t)taps * 4);
    int32_t total = 0;
    for (int32_t position = 0; position < w->out_h; position += p->band) {
        int32_t rows = min32(p->band, w->out_h - position);
        pack_band(p, x + i, position, w->in_zero);
        pack_swapped(p, q + position * w->out_w * w->out_c + o, rows, w->out_w, w->out_c);
        total += sum_of_words(p->sums, rows * p->half);
        mt_plane_dot_t dot = {p->plane, p->sums, gradient, rows, p->half, 4 * w->stride_w, 4 * p->pitch * w->stride_h};
        for (int32_t ky = 0; ky < w->kernel_h; ky++, dot.a += p->pitch - w->kernel_w) {
            for (int32_t left = w->kernel_w, n; left; left -= n, dot.a += n, dot.sums += n) {
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
