#ifndef MT_DEPTHWISE_CONV2D_H
#define MT_DEPTHWISE_CONV2D_H

#include "conv2d.h"

// Weights [kernel_h][kernel_w][out_c]; mt_weights_t there has one row, taps = kernel_h * kernel_w and in_c = out_c, and `channels`
// names input channels, so that input channel i trains its `multiplier` output channels.
typedef struct {
    mt_window_t window;
    mt_weights_t weights;
    mt_channels_t channels;
    uint8_t *mask; // as in mt_conv_t
    int32_t multiplier; // out_c / in_c
    int32_t first, end; // input channels whose outputs are made
} mt_depthwise_t;

// y may be x where mt_depthwise_may_overwrite says so: input rows are copied aside before an output row is written.
void mt_depthwise_forward(const mt_depthwise_t *d, const int8_t *x, int8_t *y, void *scratch);
uint32_t mt_depthwise_forward_scratch(const mt_window_t *w, bool mixed);
bool mt_depthwise_may_overwrite(const mt_window_t *w);

typedef struct {
    const mt_depthwise_t *depthwise;
    mt_gradient_t q;
} mt_depthwise_gradient_t;
// The accumulators' exponent is that of q + scale_exponent - 8.
void mt_depthwise_backward_input(const void *context, mt_gradient_out_t *out);
uint32_t mt_depthwise_backward_input_scratch(const mt_window_t *w, bool mixed);

// x holds the trained input channels only: [in_h][in_w][weights.count / multiplier].
void mt_depthwise_update_weights(const mt_depthwise_t *d, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch);
uint32_t mt_depthwise_update_scratch(const mt_window_t *w);

#endif // MT_DEPTHWISE_CONV2D_H
