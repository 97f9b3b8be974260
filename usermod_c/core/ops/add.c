#include "add.h"

#include "../fixed.h"

#define LEFT_SHIFT 20

void mt_add_forward(const mt_add_t *p, const int8_t *a, const int8_t *b, int8_t *y, uint32_t n) {
    int32_t low = p->act_min - p->out_zero, high = p->act_max - p->out_zero;
    for (uint32_t i = 0; i < n; i++) {
        int32_t sum = mt_requantize((a[i] - p->zero[0]) * (1 << LEFT_SHIFT), p->param[0], p->param[1])
            + mt_requantize((b[i] - p->zero[1]) * (1 << LEFT_SHIFT), p->param[2], p->param[3]);
        y[i] = (int8_t)(mt_clamp(mt_requantize(sum, p->param[4], p->param[5]), low, high) + p->out_zero);
    }
}
