// Weights of one operator, part of them trained: rows come from flash, from RAM, or are put together from both.
#ifndef MT_WEIGHTS_H
#define MT_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const int8_t *frozen; // [rows][taps][in_c], NULL for a new head
    int8_t *trained; // [rows][taps][count], NULL where no weight is trained
    int8_t *fraction; // 8 more bits of each, or NULL
    const uint16_t *channels; // the trained input channels, ascending; NULL: the first `count`
    int32_t count;
    int32_t taps, in_c;
} mt_weights_t;

static inline bool mt_weights_are_mixed(const mt_weights_t *w) {
    return w->trained && w->count != w->in_c;
}

// Fractions from trained weight i on.
static inline int8_t *mt_weights_fraction(const mt_weights_t *w, int32_t i) {
    return w->fraction ? w->fraction + i : NULL;
}

static inline int32_t mt_weights_channel(const mt_weights_t *w, int32_t i) {
    return w->channels ? w->channels[i] : i;
}

// Weights of `taps` taps from `tap` of row `row`; `buffer` holds taps * in_c bytes and is used only by mixed weights.
static inline const int8_t *mt_weights_row(const mt_weights_t *w, int32_t row, int32_t tap, int32_t taps, int8_t *buffer) {
    int32_t first = row * w->taps + tap;
    if (!w->trained) {
        return w->frozen + first * w->in_c;
    }
    if (w->count == w->in_c) {
        return w->trained + first * w->in_c;
    }
    memcpy(buffer, w->frozen + first * w->in_c, (size_t)(taps * w->in_c));
    const int8_t *source = w->trained + first * w->count;
    for (int32_t t = 0; t < taps; t++, source += w->count) {
        int8_t *target = buffer + t * w->in_c;
        if (!w->channels) {
            memcpy(target, source, (size_t)w->count);
            continue;
        }
        for (int32_t i = 0; i < w->count; i++) {
            target[w->channels[i]] = source[i];
        }
    }
    return buffer;
}

// Weights of input channels [from, from + n) of one tap of some rows, to rows `pitch` apart.
static inline void mt_weights_copy(const mt_weights_t *w, int32_t row, int32_t rows, int32_t tap, int32_t from, int32_t n, int8_t *to, int32_t pitch) {
    bool mixed = mt_weights_are_mixed(w);
    const int8_t *source = (mixed || !w->trained ? w->frozen : w->trained) + (row * w->taps + tap) * w->in_c + from;
    for (int32_t j = 0; j < rows; j++, source += w->taps * w->in_c) {
        memcpy(to + j * pitch, source, (size_t)n);
    }
    for (int32_t i = 0; mixed && i < w->count; i++) {
        int32_t at = mt_weights_channel(w, i) - from;
        if (at < 0 || at >= n) {
            continue;
        }
        const int8_t *trained = w->trained + (row * w->taps + tap) * w->count + i;
        for (int8_t *p = to + at, *end = p + rows * pitch; p != end; p += pitch, trained += w->taps * w->count) {
            *p = *trained;
        }
    }
}

#endif // MT_WEIGHTS_H
