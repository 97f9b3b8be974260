#include "planes.h"

#include <string.h>

#include "../arch/hot.h"

#define BAND_BYTES 2560 // of a plane and what is computed from it at once

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

uint32_t mt_planes_bytes(const mt_planes_t *p) {
    return 4 * (uint32_t)(plane_rows(p) * p->pitch + p->band * 2 * p->half + p->taps);
}

// Chooses the band. False where windows are such that rows of a plane would need more than its parts, or a row of windows more than BAND_BYTES.
static bool lay_out(mt_planes_t *p, int32_t taps) {
    p->taps = taps;
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
    p->band = mt_min(p->rows.positions, (BAND_BYTES - (int32_t)mt_planes_bytes(p)) / row);
    return p->band > 0;
}

MT_COLD bool mt_planes_forward(mt_planes_t *p, const mt_window_t *w) {
    p->rows = forward_axis(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->pad_top);
    p->columns = forward_axis(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->pad_left);
    return w->stride_w <= MT_PLANES_STRIDE && w->kernel_w <= MT_CORRELATE_WIDTH && lay_out(p, w->kernel_h * w->kernel_w);
}

MT_COLD bool mt_planes_backward(mt_planes_t *p, const mt_window_t *w) {
    if (w->out_c != w->in_c || w->stride_h > MT_PLANES_STRIDE || w->stride_w > MT_PLANES_STRIDE || w->stride_h > w->kernel_h || w->stride_w > w->kernel_w ||
        w->kernel_w > MT_CORRELATE_WIDTH) {
        return false;
    }
    p->rows = backward_axis(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->pad_top);
    p->columns = backward_axis(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->pad_left);
    return lay_out(p, w->kernel_h * w->kernel_w);
}

static void fill(int32_t *to, int32_t n, int32_t pad) {
    for (int32_t *end = to + n; to < end;) {
        *to++ = mt_plane_word(pad, pad);
    }
}

void mt_planes_begin(mt_planes_t *p, void *scratch, int32_t pad) {
    const mt_axis_t *rows = &p->rows, *columns = &p->columns;
    p->plane = scratch;
    p->sums = p->plane + plane_rows(p) * p->pitch;
    p->weights = p->sums + p->band * 2 * p->half;
    fill(p->plane, plane_rows(p) * p->pitch, pad);
    const int32_t *weights = p->weights;
    for (int32_t r = 0; r < rows->phases; r++) {
        for (int32_t c = 0; c < columns->phases; c++) {
            const int32_t height = rows->phase[r].taps, width = columns->phase[c].taps, targets = columns->phase[c].targets;
            const void *first = (const int8_t *)(p->plane + rows->phase[r].offset * p->pitch) + columns->phase[c].offset * MT_PLANE_COLUMN;
            p->window[r][c].correlate = (mt_correlate_t) {first, weights, p->sums, p->pitch, p->half, 0, height, width, rows->stride};
            p->window[r][c].width = targets;
            p->window[r][c].at = (r * columns->target + c) * p->target_step;
            p->window[r][c].step = columns->phases * p->target_step;
            p->window[r][c].gap = (rows->phases * columns->target - targets * columns->phases) * p->target_step;
            weights += height * width;
        }
    }
}

void mt_planes_pack(const mt_planes_t *p, const int8_t *source, int32_t position, int32_t pad) {
    const mt_axis_t *r = &p->rows, *c = &p->columns;
    int32_t top = position * r->stride - r->lead, rows = mt_min(plane_rows(p), (r->positions - position - 1) * r->stride + r->extent), kept = 0;
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
#if MT_PLANE_COLUMN == 2
        int32_t skipped = c->lead < 0 ? -c->lead : 0, lead = c->lead + skipped, columns = mt_min(c->source - skipped, 2 * p->pitch - lead);
        mt_plane_pack(&(mt_plane_pack_t) {source + (top + from) * row + skipped * p->source_step, p->plane + from * p->pitch, p->source_step, row,
            p->pitch * 4, to - from, lead, columns, 0, pad});
#else
        const int8_t *low = source + (top + from) * row + (p->begin - c->lead) * p->source_step;
        mt_plane_pack(&(mt_plane_pack_t) {
            low, low + p->half * c->stride * p->source_step, p->plane + from * p->pitch + p->begin, p->source_step, row, p->pitch * 4, to - from,
            p->only_high, p->both, p->only_low, pad});
#endif
    }
}

static __attribute__((noinline)) int32_t *gather_row(int32_t *to, int32_t n, const int8_t *from, int32_t step) {
    for (int32_t *end = to + n; to < end; from += step) {
        *to++ = *from;
    }
    return to;
}

void mt_planes_gather(const mt_planes_t *p, const int8_t *kernel, int32_t kernel_w, int32_t channels) {
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

void mt_planes_run(mt_planes_t *p, mt_planes_target_t *t, int32_t channel, int32_t position) {
    mt_steps_t *s = &t->steps;
    const int32_t row = p->rows.phases * p->columns.target * p->target_step;
    for (int32_t r = 0; r < p->rows.phases; r++) {
        const int32_t count = mt_min(p->band, p->rows.phase[r].targets - position);
        for (int32_t c = 0; c < p->columns.phases && count > 0; c++) {
            mt_correlate_t *correlate = &p->window[r][c].correlate;
            correlate->rows = count;
            if (p->columns.stride == 1) {
                mt_correlate_1(correlate);
            } else {
                mt_correlate_2(correlate);
            }
            int32_t width = p->window[r][c].width;
            s->sums = p->sums;
            s->out = t->out + p->window[r][c].at + position * row + channel;
            s->step = p->window[r][c].step;
            s->gap = 4 * (2 * p->half - width);
            s->out_gap = p->window[r][c].gap;
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
    }
}
