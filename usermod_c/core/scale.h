// Real scales to integer constants. IEEE double operations in a fixed order, so that every target gets the same bits.
#ifndef MT_SCALE_H
#define MT_SCALE_H

#include <stdint.h>

typedef struct { // value = mantissa * 2^(exponent - 31), mantissa in [2^30, 2^31)
    int32_t mantissa;
    int exponent;
} mt_q31_t;

// x finite and > 0, normal.
mt_q31_t mt_q31(double x);
// Smallest e with x <= 2^e; x finite and > 0.
int mt_ceil_log2(float x);
// Multiplier that folds a channel's weight scale into its gradient: round(scale / 2^exponent * 2^15), at most 32767.
int16_t mt_fold_multiplier(float scale, int exponent);
// A channel whose scale is this far below the layer's largest says nothing and is never updated.
static inline int mt_channel_is_dead(float scale, float largest) {
    return scale * 512.0f < largest;
}

#endif // MT_SCALE_H
