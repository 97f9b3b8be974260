// conv2d, and everything that is one: 1x1 convolution, linear (h = w = 1), 1-D convolution (h = 1).
#ifndef MT_CONV2D_H
#define MT_CONV2D_H

#include "../arch/finish.h"
#include "../fixed.h"
#include "../gradient.h"
#include "../optim.h"
#include "../weights.h"

typedef struct { // shapes and clamp of a windowed operator
    int32_t in_h, in_w, in_c, out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
    int32_t in_zero, out_zero, act_min, act_max;
    bool round_once;
} mt_window_t;

typedef struct { // per output channel
    const int32_t *bias, *fold; // image; NULL for a new head
    int32_t *master; // trained bias, MT_BIAS_FRACTION bits, or NULL
    int32_t *zero_sum; // of trained weights with few output pixels: minus input zero point times their sum, kept current; or NULL
    const int32_t *mult;
    const int8_t *shift;
    const float *scale; // weight scale
    float largest_scale;
    int scale_exponent; // smallest e with largest_scale <= 2^e
} mt_channels_t;

typedef struct {
    mt_window_t window;
    mt_weights_t weights;
    mt_channels_t channels;
    uint8_t *mask; // MT_ACT_RANGE: receives a bit an output, set where the clamp changed nothing; else NULL
    int32_t first, end; // output channels that are made
} mt_conv_t;

static inline mt_finish_t mt_finish_of(const mt_window_t *w, uint8_t *mask, int8_t *y) {
    return (mt_finish_t) {w->out_c, w->act_min - w->out_zero, w->act_max - w->out_zero, w->out_zero, y, mask, w->round_once};
}

// Bias of output channel i.
static inline int32_t mt_channel_bias(const mt_channels_t *c, int32_t i) {
    int32_t frozen = c->bias ? c->bias[i] : 0;
    return c->master ? mt_bias_value(c->master[i], frozen) : frozen;
}

// Accumulator of output channel i before the first product: bias with the input's zero point folded in; of frozen weights, or with zero_sum.
static inline int32_t mt_channel_start(const mt_channels_t *c, int32_t i) {
    return mt_channel_bias(c, i) + (c->zero_sum ? c->zero_sum[i] : c->fold[i] - (c->bias ? c->bias[i] : 0));
}

// Output along one axis whose window meets input `at` with its tap `tap`, or -1. Backward passes walk the windows of an input with it.
static inline int32_t mt_window_output(int32_t at, int32_t pad, int32_t tap, int32_t stride, int32_t outputs) {
    int32_t start = at + pad - tap;
    if (stride == 1) { // a division takes long where there is none in hardware
        return start >= 0 && start < outputs ? start : -1;
    }
    return start >= 0 && start % stride == 0 && start / stride < outputs ? start / stride : -1;
}

// Whether every window is one input pixel, so that the input itself is the matrix of patches.
static inline bool mt_is_pointwise(const mt_window_t *w) {
    return w->kernel_h == 1 && w->kernel_w == 1 && w->stride_h == 1 && w->stride_w == 1 && w->pad_top == 0 && w->pad_left == 0;
}

// x [in_h][in_w][in_c] -> y [out_h][out_w][out_c], TFLite int8 semantics.
void mt_conv2d_forward(const mt_conv_t *c, const int8_t *x, int8_t *y, void *scratch);
uint32_t mt_conv2d_forward_scratch(const mt_window_t *w, bool mixed);

// One pass of the input gradient: q [out_h][out_w][out_c] times the weights, exponent + scale_exponent - fold_extra.
typedef struct {
    const mt_conv_t *conv;
    mt_gradient_t q;
    int fold_extra;
} mt_conv_gradient_t;
void mt_conv2d_backward_input(const void *context, mt_gradient_out_t *out);
uint32_t mt_conv2d_backward_input_scratch(const mt_window_t *w);
// Largest number of terms in one accumulator of the input gradient.
uint32_t mt_conv2d_backward_terms(const mt_window_t *w);

// Weight gradient of the trained channels fused with their update. x holds those channels only: [in_h][in_w][count].
void mt_conv2d_update_weights(const mt_conv_t *c, mt_gradient_t q, const int8_t *x, const mt_update_t *u, void *scratch);
uint32_t mt_conv2d_update_scratch(const mt_window_t *w, int32_t count);
// Bias gradient and update of any operator but a head.
void mt_update_channel_biases(const mt_window_t *w, const mt_channels_t *channels, mt_gradient_t q, const mt_update_t *u);

#endif // MT_CONV2D_H
