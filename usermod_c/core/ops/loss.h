// Softmax cross-entropy and mean squared error in fixed point, and the int8 softmax operator.
#ifndef MT_LOSS_H
#define MT_LOSS_H

#include <stdint.h>

#define MT_LOSS_GRADIENT_BITS 15 // of an int16 gradient at the top; 7 for int8

// Most bits a gradient of `n` outputs may have so that the head's accumulators stay in int32.
int mt_loss_bits(uint32_t n);
// logits Q16. gradient[i] * 2^*exponent = softmax - onehot, summing to 0 before rounding; all 0 where the largest is 0.
// `weights` holds n words of scratch. Returns the loss, Q16 nats.
uint32_t mt_cross_entropy(const int32_t *logits, uint32_t n, uint32_t label, int bits, int16_t *gradient, int *exponent, uint32_t *weights);
// Mean of (output - target)^2, all Q16; gradient[i] * 2^*exponent = 2 (output - target) / n. Returns the loss, Q16, saturating.
uint32_t mt_mean_squared_error(const int32_t *outputs, const int32_t *targets, uint32_t n, int bits, int16_t *gradient, int *exponent);
// int8 logits of scale `scale` -> probabilities of scale 1/256, zero point -128. `weights` holds n words of scratch.
void mt_softmax_forward(const int8_t *x, uint32_t n, float scale, int8_t *y, uint32_t *weights);

#endif // MT_LOSS_H
