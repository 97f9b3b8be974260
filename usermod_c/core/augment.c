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

static void flip_row(int8_t *row, uint32_t w, uint32_t c) {
    for (int8_t *left = row, *right = row + (w - 1) * c; left < right; left += c, right -= c) {
        for (uint32_t k = 0; k < c; k++) {
            int8_t value = left[k];
            left[k] = right[k];
            right[k] = value;
        }
    }
}

static void shift_sample(int8_t *x, int32_t h, int32_t w, int32_t c, int32_t down, int32_t right, int8_t zero_point) {
    int32_t size = w * c, moved = mt_clamp(mt_abs(right), 0, w) * c;
    for (int32_t i = 0; i < h; i++) {
        int32_t y = down > 0 ? h - 1 - i : i; // a row is read before it is written
        int8_t *row = x + y * size;
        if (y - down < 0 || y - down >= h) {
            memset(row, zero_point, (size_t)size);
            continue;
        }
        const int8_t *from = x + (y - down) * size;
        memmove(right > 0 ? row + moved : row, right > 0 ? from : from + moved, (size_t)(size - moved));
        memset(right > 0 ? row : row + size - moved, zero_point, (size_t)moved);
    }
}

static void cut_out(int8_t *x, int32_t h, int32_t w, int32_t c, int32_t y, int32_t left, int32_t side, int8_t zero_point) {
    int32_t end = mt_clamp(left + side, 0, w), bottom = mt_clamp(y + side, 0, h);
    left = mt_clamp(left, 0, w);
    for (y = mt_clamp(y, 0, h); y < bottom; y++) {
        memset(x + (y * w + left) * c, zero_point, (size_t)((end - left) * c));
    }
}

void mt_augment(mt_augment_t *a, int8_t *x, uint32_t h, uint32_t w, uint32_t c, int8_t zero_point) {
    if (a->flip && draw(a, 2)) {
        for (uint32_t y = 0; y < h; y++) {
            flip_row(x + y * w * c, w, c);
        }
    }
    if (a->brightness) {
        int32_t added = draw_around_zero(a, a->brightness);
        for (uint32_t i = 0; i < h * w * c; i++) {
            x[i] = (int8_t)mt_clamp(x[i] + added, -128, 127);
        }
    }
    if (a->shift) {
        int32_t right = draw_around_zero(a, a->shift), down = h > 1 ? draw_around_zero(a, a->shift) : 0;
        shift_sample(x, (int32_t)h, (int32_t)w, (int32_t)c, down, right, zero_point);
    }
    if (a->cutout) {
        int32_t side = (int32_t)a->cutout, y = draw(a, h) - side / 2, left = draw(a, w) - side / 2;
        cut_out(x, (int32_t)h, (int32_t)w, (int32_t)c, y, left, side, zero_point);
    }
}
