// Depthwise convolution channel by channel through planes of packed words (arch/plane.h); where a shape is unusual it leaves the work to others.
#ifndef MT_DEPTHWISE_PACKED_H
#define MT_DEPTHWISE_PACKED_H

#include "depthwise_conv2d.h"

#define MT_PLANES_STRIDE 2 // largest

// Windows along one axis. An input gradient is a correlation, too: the outputs' gradients with the kernel turned round; with a stride, every phase of
// an input's place has only every `stride`th tap.
typedef struct {
    int32_t source, target; // pixels read and written
    int32_t positions; // windows of a phase
    int32_t stride; // source pixels from window to window
    int32_t phases; // target pixels from window to window
    int32_t lead, extent; // of all phases' windows: pixels before the source's first, and in all
    struct {
        int32_t taps, first, step; // of the kernel
        int32_t offset; // in the extent
        int32_t targets; // target pixels
    } phase[MT_PLANES_STRIDE];
} mt_axis_t;

typedef struct {
    mt_axis_t rows, columns;
    int32_t half, pitch; // words
    int32_t band; // rows of windows at once
    int32_t source_step, target_step; // bytes from pixel to pixel
    int32_t begin, only_high, both, only_low; // words of a row of the plane that pixels go to
    int32_t *plane, *sums, *weights;
} mt_planes_t;

// Bytes of scratch; 0 for a shape that is left to others. They say so too: false, and nothing has been done.
uint32_t mt_depthwise_packed_forward_scratch(const mt_window_t *w);
uint32_t mt_depthwise_packed_backward_scratch(const mt_window_t *w);
uint32_t mt_depthwise_packed_gradient_scratch(const mt_window_t *w);
// `kernel`: all weights, [taps][out_c].
bool mt_depthwise_packed_forward(const mt_depthwise_t *d, const int8_t *kernel, const int8_t *x, int8_t *y, void *scratch);
bool mt_depthwise_packed_backward_input(const mt_depthwise_gradient_t *g, const int8_t *kernel, mt_gradient_out_t *out, void *scratch);
// Of the weights; once an operator.
bool mt_depthwise_packed_gradient_begin(const mt_window_t *w, mt_planes_t *p, void *scratch);
// Gradient [taps] of output channel o's weights from channel i of x, [in_h][in_w][channels].
void mt_depthwise_packed_gradient(mt_planes_t *p, const mt_window_t *w, const int8_t *q, int32_t o, const int8_t *x, int32_t i, int32_t channels,
    int32_t *gradient);

#endif // MT_DEPTHWISE_PACKED_H
