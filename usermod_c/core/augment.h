// Random changes of a training sample: of all of it in place, or row by row as it arrives.
#ifndef MT_AUGMENT_H
#define MT_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

#define MT_AUGMENT_MAX 65535

typedef struct { // 0 leaves a change out
    uint32_t flip; // mirror rows, one time in two
    uint32_t shift; // most pixels along w, and along h where h > 1; at most MT_AUGMENT_MAX
    uint32_t brightness; // most that is added to all values, in units of the int8 input; at most 255
    uint32_t cutout; // pixels along the sides of a square that is blanked; at most MT_AUGMENT_MAX
    uint32_t rng; // xorshift32, never 0
} mt_augment_t;

typedef struct { // what one sample gets
    bool flip;
    int32_t brightness, right, down, cut_top, cut_left, cut_side;
} mt_augmentation_t;

typedef struct {
    int32_t h, w, c;
    int8_t zero_point;
} mt_augment_shape_t;

// Draws, each only where that change is on: flip; brightness; shift along w, along h; centre of the square along h, along w.
mt_augmentation_t mt_augment_draw(mt_augment_t *a, const mt_augment_shape_t *shape);
// Changes row y, which holds row y - down of the sample, or anything where there is none, in this order: flip, brightness (clamped to
// int8), shift, cut-out. Pixels that come in or are cut out hold the zero point.
// Source of the cut-out: DeVries and Taylor 2017, the square is clipped at the sample's edges.
void mt_augment_row(const mt_augmentation_t *a, int8_t *row, int32_t y, const mt_augment_shape_t *shape);
// The same for all rows of sample x.
void mt_augment_sample(const mt_augmentation_t *a, int8_t *x, const mt_augment_shape_t *shape);

#endif // MT_AUGMENT_H
