// Depthwise convolution channel by channel through planes of packed words (arch/plane.h); where a shape is unusual it leaves the work to others.
#ifndef MT_DEPTHWISE_PACKED_H
#define MT_DEPTHWISE_PACKED_H

#include "depthwise_conv2d.h"
#include "planes.h"

// Bytes of scratch; 0 for a shape that is left to others. They say so too: false, and nothing has been done.
uint32_t mt_depthwise_packed_forward_scratch(const mt_window_t *w);
uint32_t mt_depthwise_packed_backward_scratch(const mt_window_t *w);
uint32_t mt_depthwise_packed_gradient_scratch(const mt_window_t *w);
// `kernel`: all weights, [taps][out_c].
bool mt_depthwise_packed_forward(const mt_depthwise_t *d, const int8_t *kernel, const int8_t *x, int8_t *y, void *scratch);
bool mt_depthwise_packed_backward_input(const mt_depthwise_gradient_t *g, const int8_t *kernel, mt_gradient_out_t *out);
// Of the weights; once an operator.
bool mt_depthwise_packed_gradient_begin(const mt_window_t *w, mt_planes_t *p, void *scratch);
// Gradient [taps] of output channel o's weights from channel i of x, [in_h][in_w][channels].
void mt_depthwise_packed_gradient(mt_planes_t *p, const mt_window_t *w, const int8_t *q, int32_t o, const int8_t *x, int32_t i, int32_t channels,
    int32_t *gradient);

#endif // MT_DEPTHWISE_PACKED_H
