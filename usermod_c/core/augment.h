// Random changes of a training sample, in place.
#ifndef MT_AUGMENT_H
#define MT_AUGMENT_H

#include <stdint.h>

#define MT_AUGMENT_MAX 65535

typedef struct { // 0 leaves a change out
    uint32_t flip; // mirror rows, one time in two
    uint32_t shift; // most pixels along w, and along h where h > 1; at most MT_AUGMENT_MAX
    uint32_t brightness; // most that is added to all values, in units of the int8 input; at most 255
    uint32_t cutout; // pixels along the sides of a square that is blanked; at most MT_AUGMENT_MAX
    uint32_t rng; // xorshift32, never 0
} mt_augment_t;

// Sample x of h * w * c in this order: flip, brightness (clamped to int8), shift, cut-out; pixels that come in or are cut out hold
// `zero_point`. Draws, each only where that change is on: flip; brightness; shift along w, along h; centre of the square along h, along w.
// Source of the cut-out: DeVries and Taylor 2017, the square is clipped at the sample's edges.
void mt_augment(mt_augment_t *a, int8_t *x, uint32_t h, uint32_t w, uint32_t c, int8_t zero_point);

#endif // MT_AUGMENT_H
