#include "add.h"

#include "../fixed.h"

#define LEFT_SHIFT 20

typedef struct { // multiplier of an input in two halves, shift to the right
    int32_t zero, low, high, shift;
} input_t;

// mt_requantize((x - zero) << LEFT_SHIFT, ...) for shift >= 0: of 9 bits times 31, 32 are enough.
static inline int32_t scaled(int32_t x, const input_t in) {
    x -= in.zero;
    int32_t v = x * in.high * (1 << (LEFT_SHIFT - 15)) + ((x * in.low + (1 << (30 - LEFT_SHIFT))) >> (31 - LEFT_SHIFT));
    return mt_round_right(v, in.shift);
}

static input_t input_of(const mt_add_t *p, int k) {
    return (input_t) {p->zero[k], p->param[2 * k] & 0xFFFF, p->param[2 * k] >> 16, -p->param[2 * k + 1]};
}

void mt_add_forward(const mt_add_t *p, const int8_t *a, const int8_t *b, int8_t *y, uint32_t n) {
    const input_t first = input_of(p, 0), second = input_of(p, 1);
    const int32_t low = p->act_min - p->out_zero, high = p->act_max - p->out_zero, zero = p->out_zero;
    const int32_t mult = p->param[4], shift = p->param[5];
    for (uint32_t i = 0; i < n; i++) {
        int32_t v = mt_requantize(scaled(a[i], first) + scaled(b[i], second), mult, shift);
        y[i] = (int8_t)(mt_clamp(v, low, high) + zero);
    }
}
