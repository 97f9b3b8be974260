// The classifier head: linear with int32 logits (Q16, real units), trained from an int16 gradient. A linear operator with int8 outputs is a conv2d.
#ifndef MT_LINEAR_H
#define MT_LINEAR_H

#include "conv2d.h"

#define MT_LOGIT_BITS 16 // fraction bits of a logit

typedef struct { // mt_conv_t with h = w = 1 and tables of its own in RAM
    mt_window_t window;
    mt_weights_t weights;
    mt_channels_t channels;
    float *scale; // trained heads: doubled where a weight meets the clamp; else NULL
    int32_t *mult; // of logits
    int8_t *shift;
} mt_head_t;

// x [in_c] -> logits [out_c].
void mt_head_forward(const mt_head_t *h, const int8_t *x, int32_t *logits, void *scratch);
uint32_t mt_head_forward_scratch(const mt_window_t *w, bool mixed);

typedef struct {
    const mt_head_t *head;
    const int16_t *q; // bounded by mt_loss_bits so that the sum over classes stays in int32
} mt_head_gradient_t;
// The accumulators' exponent is that of q + scale_exponent.
void mt_head_backward_input(const void *context, mt_gradient_out_t *out);
uint32_t mt_head_backward_input_scratch(const mt_window_t *w, bool mixed);

// Weights (where trained), then biases, then wider scales for the rows that met the clamp.
void mt_head_update(mt_head_t *h, const int16_t *q, const int8_t *x, const mt_update_t *u, void *scratch);
uint32_t mt_head_update_scratch(const mt_window_t *w, int32_t count);

// Recomputes the logits' multipliers of all channels from the scales, largest_scale and scale_exponent.
void mt_head_refresh(mt_head_t *h, float in_scale);

#endif // MT_LINEAR_H
