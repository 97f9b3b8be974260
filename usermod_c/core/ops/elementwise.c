#include "elementwise.h"

#include "../fixed.h"

void mt_pad_forward(const mt_window_t *w, const int8_t *x, int8_t *y) {
    memset(y, w->out_zero, (size_t)(w->out_h * w->out_w * w->out_c));
    for (int32_t iy = 0; iy < w->in_h; iy++) {
        memcpy(y + ((iy + w->pad_top) * w->out_w + w->pad_left) * w->in_c, x + iy * w->in_w * w->in_c, (size_t)(w->in_w * w->in_c));
    }
}

void mt_requantize_forward(const mt_window_t *w, int32_t mult, int32_t shift, const int8_t *x, int8_t *y) {
    int32_t n = w->in_h * w->in_w * w->in_c, low = w->act_min - w->out_zero, high = w->act_max - w->out_zero;
    for (int32_t i = 0; i < n; i++) {
        y[i] = (int8_t)(mt_clamp(mt_requantize(x[i] - w->in_zero, mult, shift), low, high) + w->out_zero);
    }
}

void mt_move_backward_input(const void *context, mt_gradient_out_t *out) {
    const mt_move_gradient_t *g = context;
    const mt_window_t *w = &g->window;
    int32_t acc[32], row = w->in_w * w->in_c;
    for (int32_t iy = 0; iy < w->in_h; iy++) {
        int32_t at = ((iy + w->pad_top) * w->out_w + w->pad_left) * w->in_c;
        for (int32_t i = 0; i < row; i += 32) {
            int32_t n = row - i < 32 ? row - i : 32;
            for (int32_t j = 0; j < n; j++) {
                acc[j] = mt_gradient_at(g->q, at + i + j) * (1 << g->up);
            }
            mt_gradient_store(out, acc, (size_t)(iy * row + i), (size_t)n);
        }
    }
}
