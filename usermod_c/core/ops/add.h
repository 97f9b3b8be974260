#ifndef MT_ADD_H
#define MT_ADD_H

#include "../microtrain.h"

typedef struct {
    int32_t zero[2], out_zero, act_min, act_max;
    const int32_t *param; // mult and shift of input 0, input 1, output
} mt_add_t;

// TFLite int8 ADD of two tensors with scales of their own. y may be a or b.
// Backward: a gradient with respect to real values passes unchanged to both inputs.
void mt_add_forward(const mt_add_t *p, const int8_t *a, const int8_t *b, int8_t *y, uint32_t n);

#endif // MT_ADD_H
