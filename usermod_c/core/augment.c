#include "augment.h"

#include <string.h>

#include "fixed.h"

// One of 0 ... n - 1.
static int32_t draw(mt_augment_t *a, uint32_t n) {
    return (int32_t)(((uint64_t)mt_xorshift32(&a->rng) * n) >> 32);
}

// One of -most ... most.
static int32_t draw_around_zero(mt_augment_t *a, uint32_t most) {
    return draw(a, 2 * most + 1) - (int32_t)most;
}

mt_augmentation_t mt_augment_draw(mt_augment_t *a, const mt_augment_shape_t *shape) {
    mt_augmentation_t found = {0};
    found.flip = a->flip && draw(a, 2);
    found.brightness = a->brightness ? draw_around_zero(a, a->brightness) : 0;
    found.right = a->shift ? draw_around_zero(a, a->shift) : 0;
    found.down = a->shift && shape->h > 1 ? draw_around_zero(a, a->shift) : 0;
    if (a->cutout) {
        found.cut_side = (int32_t)a->cutout;
        found.cut_top = draw(a, (uint32_t)shape->h) - found.cut_side / 2;
        found.cut_left = draw(a, (uint32_t)shape->w) - found.cut_side / 2;
    }
    return found;
}

static void flip_row(int8_t *row, int32_t w, int32_t c) {
    for (int8_t *left = row, *right = row + (w - 1) * c; left < right; left += c, right -= c) {
        for (int32_t k = 0; k < c; k++) {
            int8_t value = left[k];
            left[k] = right[k];
            right[k] = value;
        }
    }
}

static void shift_row(int8_t *row, int32_t right, const mt_augment_shape_t *s) {
    int32_t size = s->w * s->c, moved = mt_clamp(mt_abs(right), 0, s->w) * s->c;
    memmove(right > 0 ? row + moved : row, right > 0 ? row : row + moved, (size_t)(size - moved));
    memset(right > 0 ? row : row + size - moved, s->zero_point, (size_t)moved);
}

void mt_augment_row(const mt_augmentation_t *a, int8_t *row, int32_t y, const mt_augment_shape_t *s) {
    int32_t size = s->w * s->c;
    if (y - a->down < 0 || y - a->down >= s->h) {
        memset(row, s->zero_point, (size_t)size);
    } else {
        if (a->flip) {
            flip_row(row, s->w, s->c);
        }
        for (int32_t i = 0; a->brightness && i < size; i++) {
            row[i] = (int8_t)mt_clamp(row[i] + a->brightness, -128, 127);
        }
        shift_row(row, a->right, s);
    }
    if (y >= a->cut_top && y < a->cut_top + a->cut_side) {
        int32_t left = mt_clamp(a->cut_left, 0, s->w), end = mt_clamp(a->cut_left + a->cut_side, 0, s->w);
        memset(row + left * s->c, s->zero_point, (size_t)((end - left) * s->c));
    }
}

void mt_augment_sample(const mt_augmentation_t *a, int8_t *x, const mt_augment_shape_t *s) {
    int32_t size = s->w * s->c;
    for (int32_t i = 0; i < s->h; i++) {
        int32_t y = a->down > 0 ? s->h - 1 - i : i; // a row is read before it is written
        if (a->down && y - a->down >= 0 && y - a->down < s->h) {
            memcpy(x + y * size, x + (y - a->down) * size, (size_t)size);
        }
        mt_augment_row(a, x + y * size, y, s);
    }
}
