#include "conv2d.h"

#include "../arch/hot.h"
#include "../arch/kernels.h"
#include "../arch/mix.h"
#include "../arch/quick.h"

#define COLUMN_BYTES 2048 // of input patches gathered at once
#define MAX_PIXELS 128
#define LEAST_PANEL_BYTES 1536 // of panels packed at once: as much as the output has, so that small networks stay small
#define MOST_PANEL_BYTES 6144
#define PANEL_PIXELS 32 // whose sums are kept at once

static int32_t patch_bytes(const mt_window_t *w) {
    return w->kernel_h * w->kernel_w * w->in_c;
}

// Bytes from one patch, or row of weights in a buffer, to the next: whole words.
static int32_t patch_pitch(const mt_window_t *w) {
    return (int32_t)mt_align((uint32_t)patch_bytes(w), 4);
}

// Panels of four pixels that are packed at once (arch/panel.h), or 0: values must come in fours, which in patches can be arranged.
static int32_t panels_at_once(const mt_window_t *w) {
    int32_t pixels = w->out_h * w->out_w;
    bool fours = !mt_is_pointwise(w) || w->in_c % 4 == 0;
    int32_t bytes = mt_clamp(pixels * w->out_c, LEAST_PANEL_BYTES, MOST_PANEL_BYTES);
    return !fours || pixels < 4 ? 0 : mt_clamp(bytes / (8 * patch_pitch(w)), 1, mt_min(MAX_PIXELS / 4, (pixels + 3) / 4));
}

// Input patches gathered at once.
static int32_t patches_at_once(const mt_window_t *w) {
    int32_t most = 4 * panels_at_once(w);
    return mt_clamp(COLUMN_BYTES / patch_bytes(w), 4, most > 16 ? most : 16);
}

// Whether rows of weights are put together, or filled up to words, in a buffer.
static bool rows_are_buffered(const mt_window_t *w, bool mixed) {
    return mixed || (panels_at_once(w) && patch_bytes(w) % 4);
}

// Whether too few pixels for a panel may be one, which is packed as a vector (arch/dot.h): of many pixels a stream may leave one at a time.
static bool may_be_vector(const mt_window_t *w) {
    return mt_is_pointwise(w) && w->in_c % 8 == 0 && !panels_at_once(w);
}

// Bytes of panels, or of a vector.
static int32_t packed_bytes(const mt_window_t *w) {
    return may_be_vector(w) ? 2 * w->in_c : 8 * panels_at_once(w) * patch_pitch(w);
}

// [panels or vector][four rows of weights][patches]
uint32_t mt_conv2d_forward_scratch(const mt_window_t *w, bool mixed) {
    int32_t patches = mt_is_pointwise(w) ? 0 : mt_min(patches_at_once(w), w->out_h * w->out_w);
    return (uint32_t)(packed_bytes(w) + (patches + (rows_are_buffered(w, mixed) ? 4 : 0)) * patch_pitch(w));
}

#define FEW 32

// For a few bytes, which take less time than memcpy to be called. Numbers without a sign, which the Cortex-M0+ has more ways to load.
static inline void copy_few(uint8_t *to, const uint8_t *from, int32_t n) {
#if defined(__ARM_FEATURE_UNALIGNED)
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        memcpy(to, from, 4);
    }
#endif
    for (; n >= 3; n -= 3, to += 3, from += 3) { // pixels often have three channels
        to[0] = from[0];
        to[1] = from[1];
        to[2] = from[2];
    }
    for (const uint8_t *end = from + n; from < end; from++, to++) {
        *to = *from;
        __asm__ volatile (""); // a loop, not memcpy
    }
}

// Input under the window of output pixel (oy, ox), positions outside filled with the zero point.
static void gather_patch(const mt_window_t *w, const int8_t *x, int32_t oy, int32_t ox, int8_t *patch) {
    const int32_t x0 = ox * w->stride_w - w->pad_left, row = w->kernel_w * w->in_c, pitch = w->in_w * w->in_c, in_h = w->in_h;
    const int32_t left = x0 < 0 ? -x0 : 0, right = mt_min(w->kernel_w, w->in_w - x0), zero = w->in_zero;
    const bool few = right - left == w->kernel_w && row <= FEW;
    int32_t iy = oy * w->stride_h - w->pad_top, at = iy * pitch + x0 * w->in_c;
    for (const int32_t end = iy + w->kernel_h; iy < end; iy++, patch += row, at += pitch) {
        if (iy < 0 || iy >= in_h) {
            memset(patch, zero, (size_t)row);
        } else if (few) {
            copy_few((uint8_t *)patch, (const uint8_t *)x + at, row);
        } else {
            memset(patch, zero, (size_t)(left * w->in_c));
            memcpy(patch + left * w->in_c, x + at + left * w->in_c, (size_t)((right - left) * w->in_c));
            memset(patch + right * w->in_c, zero, (size_t)((w->kernel_w - right) * w->in_c));
        }
    }
}

typedef struct { // up to four output channels
    int32_t count;
    bool whole; // four, and mt_finish_rows takes them
    bool quick; // and there is `quick`
    const int8_t *weights[4];
    mt_finish_row_t finish[4];
    mt_quick_t quickly[4];
} rows_t;

// mt_mix of the first channels.
static __attribute__((noinline)) void mix_first(const mt_mix_t *m) {
    for (int32_t row = 0; row < m->rows; row++) {
        int8_t *to = m->to + row * m->pitch;
        const int8_t *trained = m->trained + row * m->trained_pitch;
        m->moved[row] += mt_sum(trained, m->count) - mt_sum(to, m->count);
        memcpy(to, trained, (size_t)m->count);
    }
}

// Rows [row, row + n) of frozen weights, into which the trained ones go, `pitch` apart; moved[j]: by what that changes the sum of each.
static MT_HOT void mix_rows(const mt_weights_t *w, int32_t row, int32_t n, int8_t *to, int32_t pitch, int32_t *moved) {
    const int32_t taps = w->taps, in_c = w->in_c, count = w->count, k = taps * in_c;
    const int8_t *frozen = w->frozen + row * k;
    mt_mix_t m = {to, pitch, w->trained + row * taps * count, taps * count, w->channels, count, n, moved};
    for (int32_t j = 0; j < n; j++) {
        moved[j] = 0;
    }
    if (pitch == k) { // one long row
        memcpy(to, frozen, (size_t)(n * k));
    } else {
        for (int32_t j = 0; j < n; j++) {
            memcpy(to + j * pitch, frozen + j * k, (size_t)k);
        }
    }
    for (int32_t t = 0; t < taps; t++, m.to += in_c, m.trained += count) {
        if (m.channels) {
            mt_mix(&m);
        } else {
            mix_first(&m);
        }
    }
}

// What the sums of output channel r begin with, given its row of weights.
static inline int32_t row_start(const mt_conv_t *c, int32_t r, const int8_t *weights, int32_t moved) {
    const mt_channels_t *ch = &c->channels;
    if (!c->weights.trained && !ch->master) {
        return ch->fold[r];
    }
    if (ch->zero_sum || !c->weights.trained) {
        return mt_channel_start(ch, r);
    }
    if (mt_weights_are_mixed(&c->weights)) {
        return mt_channel_start(ch, r) - c->window.in_zero * moved;
    }
    return mt_channel_bias(ch, r) - c->window.in_zero * mt_sum(weights, patch_bytes(&c->window));
}

// Channels from o on, for n pixels; for panels their rows lie `pitch` apart, in `row_buffer` if not so by themselves.
static void load_rows(const mt_conv_t *c, const mt_finish_t *f, int32_t o, int32_t n, int32_t pitch, bool packed, int8_t *row_buffer, rows_t *rows) {
    const mt_channels_t *ch = &c->channels;
    const mt_weights_t *w = &c->weights;
    const int32_t k = patch_bytes(&c->window);
    const bool mixed = mt_weights_are_mixed(w), filled = packed && k != pitch;
    const int8_t *source = (w->trained ? w->trained : w->frozen) + o * k;
    int32_t moved[4];
    rows->count = mt_min(4, c->end - o);
    rows->whole = packed && rows->count == 4;
    if (mixed) {
        mix_rows(w, o, rows->count, row_buffer, pitch, moved);
    }
    for (int32_t j = 0; j < 4; j++) {
        int32_t row = mt_min(j, rows->count - 1);
        int8_t *buffer = row_buffer + row * pitch;
        if (filled && !mixed) {
            memcpy(buffer, source + row * k, (size_t)k);
        }
        if (filled) {
            memset(buffer + k, 0, (size_t)(pitch - k));
        }
        rows->weights[j] = mixed || filled ? buffer : source + row * k;
        mt_finish_row_t *finish = &rows->finish[j];
        mt_finish_row(finish, row_start(c, o + row, rows->weights[j], mixed ? moved[row] : 0), ch->mult[o + row], ch->shift[o + row]);
        rows->whole = rows->whole && mt_finish_takes(c->window.round_once, finish, k);
    }
    rows->quick = MT_QUICK && n >= MT_QUICK && rows->whole && mt_quick_of(rows->quickly, rows->finish, 4, f, (uint32_t)k << 14);
}

// Out of the way.
static __attribute__((noinline)) void finish_channel(const mt_finish_t *finish, int32_t at, const mt_finish_row_t *row, const int32_t *sums, int32_t n) {
    const mt_finish_t f = *finish;
    const int32_t start = row->start, mult = mt_finish_mult(row), shift = -row->shift;
    for (int32_t i = 0; i < n; i++, at += f.step) {
        mt_finish(f, at, start + sums[i], mult, shift);
    }
}

// `n` pixels whose inputs lie `pitch` apart at `x`; outputs from y[at] on.
static void forward_rows(const mt_finish_t f, const rows_t *rows, const int8_t *x, int32_t k, int32_t pitch, int32_t n, int32_t at) {
    for (int32_t i = 0; i < n; i++, at += f.step, x += pitch) {
        int32_t acc[4] = {0};
        mt_dot4(x, rows->weights, k, acc);
        for (int32_t j = 0; j < rows->count; j++) {
            const mt_finish_row_t *row = &rows->finish[j];
            if (MT_PANELS) { // seldom here
                finish_channel(&f, at + j, row, &acc[j], 1);
            } else {
                mt_finish(f, at + j, row->start + acc[j], mt_finish_mult(row), -row->shift);
            }
        }
    }
}

// The same from panels, four output channels.
static void forward_panels(const mt_finish_t f, const rows_t *rows, const int32_t *panels, int32_t k, int32_t n, int32_t at) {
    int32_t sums[4 * PANEL_PIXELS];
    for (int32_t left; n > 0; n -= left, panels += 2 * k * (left / 4), at += left * f.step) {
        left = mt_min(n, PANEL_PIXELS);
        int32_t count = (left + 3) / 4;
        mt_panel_rows(rows->weights[0], panels, k, count, sums);
        if (rows->whole && left == 4 * count) {
            if (rows->quick) {
                mt_quick_rows(&f, at, rows->finish, rows->quickly, sums, left);
            } else {
                mt_finish_rows(&f, at, rows->finish, sums, left);
            }
            continue;
        }
        for (int32_t j = 0; j < 4; j++) {
            finish_channel(&f, at + j, &rows->finish[j], sums + 4 * count * j, left);
        }
    }
}

// One pixel, packed as a vector.
static void forward_vector(const mt_conv_t *c, const mt_finish_t f, const int8_t *x, const int32_t *vector, int8_t *row_buffer) {
    const mt_channels_t *ch = &c->channels;
    const mt_weights_t *w = &c->weights;
    const int32_t k = c->window.in_c;
    for (int32_t o = c->first; o < c->end; o++) {
        int32_t moved = 0;
        const int8_t *row = row_buffer;
        if (mt_weights_are_mixed(w)) {
            mix_rows(w, o, 1, row_buffer, k, &moved);
        } else {
            row = (w->trained ? w->trained : w->frozen) + o * k;
        }
        int32_t sum = (uintptr_t)row & 3 ? mt_dot(x, row, k) : mt_dot_packed(row, vector, k);
        mt_finish(f, o, row_start(c, o, row, moved) + sum, ch->mult[o], ch->shift[o]);
    }
}

static void pack_panels(const int8_t *x, int32_t k, int32_t n, int32_t *panel) {
    for (int32_t i = 0; i < n; i += 4, panel += 2 * k) {
        const int8_t *pixels[4];
        for (int32_t j = 0; j < 4; j++) {
            pixels[j] = x + mt_min(i + j, n - 1) * k;
        }
        mt_panel_pack(pixels, k, panel);
    }
}

MT_HOT void mt_conv2d_forward(const mt_conv_t *c, const int8_t *x, int8_t *y, void *scratch) {
    const mt_window_t *w = &c->window;
    int32_t pitch = patch_pitch(w), pixels = w->out_h * w->out_w, panels = panels_at_once(w);
    bool pointwise = mt_is_pointwise(w), packed = MT_PANELS && panels, vector = MT_VECTORS && pixels == 1 && may_be_vector(w);
    int32_t block = pointwise ? MAX_PIXELS : mt_min(patches_at_once(w), pixels), input_pitch = pointwise ? w->in_c : pitch;
    if (packed) {
        block = mt_min(block, 4 * panels);
    }
    if (c->mask) {
        mt_mask_set(c->mask, (size_t)(pixels * w->out_c));
    }
    const mt_finish_t f = mt_finish_of(w, c->mask, y);
    int32_t *panel = scratch;
    int8_t *row_buffer = (int8_t *)scratch + packed_bytes(w);
    int8_t *patches = row_buffer + (rows_are_buffered(w, mt_weights_are_mixed(&c->weights)) ? 4 * pitch : 0);
    for (int32_t p = 0, oy = 0, ox = 0, n; p < pixels; p += n) {
        n = mt_min(block, pixels - p);
        n = packed && n > 4 ? n & ~3 : n; // the last pixels by themselves
        const int8_t *input = pointwise ? x + p * input_pitch : patches;
        for (int32_t i = 0; !pointwise && i < n; i++) {
            gather_patch(w, x, oy, ox, patches + i * pitch);
            if (++ox == w->out_w) {
                ox = 0;
                oy++;
            }
        }
        if (packed) {
            pack_panels(input, pitch, n, panel);
        } else if (vector) {
            mt_pack_vector(x, w->in_c, panel);
            forward_vector(c, f, x, panel, row_buffer);
            return;
        }
        for (int32_t o = c->first; o < c->end; o += 4) {
            rows_t rows;
            load_rows(c, &f, o, n, pitch, packed, row_buffer, &rows);
            if (packed && rows.count == 4) {
                forward_panels(f, &rows, panel, pitch, n, p * w->out_c + o);
            } else {
                forward_rows(f, &rows, input, patch_bytes(w), input_pitch, n, p * w->out_c + o);
            }
        }
    }
}
