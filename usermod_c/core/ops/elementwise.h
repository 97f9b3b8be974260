// pad, requantize, softmax, and the gradient of operators that only move values.
#ifndef MT_ELEMENTWISE_H
#define MT_ELEMENTWISE_H

#include "conv2d.h"

// Surrounds x with the zero point; pad_top and pad_left of `w` and the output size say where.
void mt_pad_forward(const mt_window_t *w, const int8_t *x, int8_t *y);
// TFLite int8 RELU, RELU6 and QUANTIZE: another scale, zero point and clamp. y may be x.
void mt_requantize_forward(const mt_window_t *w, int32_t mult, int32_t shift, const int8_t *x, int8_t *y);

typedef struct {
    mt_window_t window; // of the pad; a window of in == out without padding passes everything
    mt_gradient_t q;
    int up; // accumulators are q * 2^up, to keep the bits of a smaller waiting gradient
} mt_move_gradient_t;
// Input gradient of pad (the inner part), or of an operator that passes its gradient where another one waits already.
void mt_move_backward_input(const void *context, mt_gradient_out_t *out);

#endif // MT_ELEMENTWISE_H
