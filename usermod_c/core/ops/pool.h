// Average, maximum and mean pooling.
#ifndef MT_POOL_H
#define MT_POOL_H

#include "conv2d.h"

// Same scale in and out; positions outside the input are not counted; rounds half away from zero (TFLite).
void mt_average_pool_forward(const mt_window_t *w, const int8_t *x, int8_t *y);
// `chosen`, where not NULL, receives the window position of each maximum (the first of equals), kernel_h * kernel_w <= 256.
void mt_max_pool_forward(const mt_window_t *w, const int8_t *x, int8_t *y, uint8_t *chosen);
// Mean over the whole map, requantised: TFLite MEAN over the spatial axes.
void mt_mean_forward(const mt_window_t *w, int32_t mult, int32_t shift, const int8_t *x, int8_t *y);

typedef struct {
    mt_window_t window;
    mt_gradient_t q;
    const uint8_t *chosen; // max pool; NULL: average
} mt_pool_gradient_t;
// The accumulators' exponent is that of q for max, q - MT_POOL_BITS for average.
#define MT_POOL_BITS 15
void mt_pool_backward_input(const void *context, mt_gradient_out_t *out);
uint32_t mt_pool_backward_input_scratch(const mt_window_t *w);
// Most windows that one input position lies in.
uint32_t mt_pool_backward_terms(const mt_window_t *w);
// log2 of the window size where every window covers the same power of two of positions, none twice; else -1.
// Then the input gradient is q itself, repeated, at an exponent smaller by this.
int mt_average_pool_exact_bits(const mt_window_t *w);
void mt_average_pool_spread(const mt_window_t *w, mt_gradient_t q, void *out);

#endif // MT_POOL_H
